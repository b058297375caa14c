//! Who speaks first decides, and nobody is waited for: the clock here stands still unless everybody waits for it.

use super::{FirstSpeaker, first_speaker};
use crate::detect::{Detected, SNIFF_TIMEOUT, Sniffer};
use crate::failure::Failure;
use codec::Io;
use model::Reason;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

const IDLE: Duration = Duration::from_secs(3600);

/// Where connections go that are opened at once.
fn opened(up: DuplexStream) -> impl Future<Output = Result<(DuplexStream, ()), Reason>> {
    ready(Ok((up, ())))
}

/// Who spoke first, and what both sides of the connection still hold after a moment of `say`.
async fn check<F: Future<Output = ()>>(
    say: impl FnOnce(DuplexStream, DuplexStream) -> F,
    expected: (&str, &str, &str, Duration),
) {
    let ((client, down), (server, up)) = (duplex(64), duplex(64));
    let started = Instant::now();
    let mut down = Sniffer::new(down);
    let listen = async {
        let first = first_speaker(&mut down, opened(up), pin!(pending::<Failure>()), IDLE).await;
        (first, started.elapsed())
    };
    let ((first, waited), ()) = tokio::join!(listen, say(client, server));
    let (who, up) = match first {
        FirstSpeaker::Http(detected) => (format!("{detected:?}"), String::new()),
        FirstSpeaker::Opaque(up, ()) => ("opaque".to_owned(), heard(up).await),
        FirstSpeaker::Nobody(failure) => (failure.reason.row().code.to_owned(), String::new()),
    };
    let down = heard(down.into_io()).await;
    assert_eq!((who.as_str(), down.as_str(), up.as_str(), waited), expected);
}

async fn heard(mut io: impl Io) -> String {
    let mut heard = String::new();
    let _ = io.read_to_string(&mut heard).await;
    heard
}

const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_first_is_heard_at_once() {
    let say = |client: DuplexStream, mut server: DuplexStream| async move {
        server.write_all(b"220 hello\r\n").await.unwrap();
        tokio::task::yield_now().await;
        drop((client, server));
    };
    check(say, ("opaque", "", "220 hello\r\n", AT_ONCE)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_speaks_first_is_taken_for_what_it_says() {
    for (words, expected) in [
        ("GET / HTTP/1.1\r\n", "Http1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Http2"),
        ("EHLO there\r\n", "opaque"),
        ("\u{0}\u{0}\u{0}\u{8}", "opaque"),
    ] {
        let say = |mut client: DuplexStream, server: DuplexStream| async move {
            client.write_all(words.as_bytes()).await.unwrap();
            drop(server);
        };
        check(say, (expected, words, "", AT_ONCE)).await;
    }
}

/// It waits for the answer to something that could still become HTTP.
#[tokio::test(start_paused = true)]
async fn a_client_that_only_begins_is_opaque_soon() {
    let say = |mut client: DuplexStream, server: DuplexStream| async move {
        client.write_all(b"GE").await.unwrap();
        tokio::time::advance(SNIFF_TIMEOUT).await;
        drop(server);
    };
    check(say, ("opaque", "GE", "", SNIFF_TIMEOUT)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_answers_while_the_client_has_only_begun() {
    let say = |mut client: DuplexStream, mut server: DuplexStream| async move {
        client.write_all(b"GE").await.unwrap();
        tokio::task::yield_now().await;
        server.write_all(b"hello").await.unwrap();
    };
    check(say, ("opaque", "GE", "hello", AT_ONCE)).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_without_a_byte_is_passed_on() {
    let say = |mut client: DuplexStream, server: DuplexStream| async move {
        client.shutdown().await.unwrap();
        drop(server);
    };
    check(say, ("opaque", "", "", AT_ONCE)).await;
    let say = |client: DuplexStream, mut server: DuplexStream| async move {
        server.shutdown().await.unwrap();
        drop(client);
    };
    check(say, ("opaque", "", "", AT_ONCE)).await;
}

#[tokio::test(start_paused = true)]
async fn two_that_say_nothing_are_idle_at_last() {
    let (client, down) = duplex(64);
    let (server, up) = duplex(64);
    let started = Instant::now();
    let first = first_speaker(&mut Sniffer::new(down), opened(up), pin!(pending::<Failure>()), IDLE).await;
    assert!(matches!(first, FirstSpeaker::Nobody(failure) if failure.reason == Reason::StreamIdle));
    assert_eq!(started.elapsed(), IDLE);
    drop((client, server));
}

#[tokio::test(start_paused = true)]
async fn where_the_server_cannot_be_reached_http_is_still_told_so() {
    for (words, expected) in
        [("GET / HTTP/1.1\r\n", Some(Detected::Http1)), ("EHLO there\r\n", None), ("", None)]
    {
        let (mut client, down) = duplex(64);
        let opening = ready(Err::<(DuplexStream, ()), _>(Reason::ConnectFailed));
        let mut down = Sniffer::new(down);
        let say = async {
            tokio::task::yield_now().await;
            client.write_all(words.as_bytes()).await.unwrap();
        };
        let mut cut = pin!(pending::<Failure>());
        let (first, ()) = tokio::join!(first_speaker(&mut down, opening, cut.as_mut(), IDLE), say);
        match first {
            FirstSpeaker::Http(detected) => assert_eq!(Some(detected), expected),
            FirstSpeaker::Nobody(failure) => {
                assert_eq!((failure.reason, None), (Reason::ConnectFailed, expected))
            }
            FirstSpeaker::Opaque(..) => panic!("there is no server"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_become_forbidden_is_cut_in_silence_too() {
    let ((client, down), (server, up)) = (duplex(64), duplex(64));
    let cut = pin!(ready(Failure::from(Reason::Denied)));
    let first = first_speaker(&mut Sniffer::new(down), opened(up), cut, IDLE).await;
    assert!(matches!(first, FirstSpeaker::Nobody(failure) if failure.reason == Reason::Denied));
    drop((client, server));
}
