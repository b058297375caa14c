#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Notify, oneshot};
use tokio::task::{LocalSet, spawn_local};

use super::{connect, serve};
use crate::{Body, BodyEnd, Reply, SendErrorKind, ServeError, ServerOptions, Violation, Watch};

/// Runs on one thread; time jumps to the next deadline whenever nothing else can happen.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// Answers with what it saw.
async fn echo(request: Request<Body>) -> Reply {
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned());
    let length = request.headers().get(CONTENT_LENGTH).map(|len| len.to_str().unwrap().to_owned());
    let line = format!("{} {} {host:?} {length:?} ", request.method(), request.uri());
    match request.into_body().collect(1 << 20).await {
        Ok(body) => Reply::Response(Response::new(Body::full([line.as_bytes(), &body].concat()))),
        Err(_) => {
            let mut response = Response::new(Body::full("broken body"));
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
            Reply::Response(response)
        }
    }
}

/// Sends bytes, ends the sending side, and returns all that comes back and how serving ended.
async fn converse(bytes: &[u8], options: ServerOptions) -> (String, Result<(), ServeError>) {
    let (mut client, server) = duplex(1 << 20);
    let serving = spawn_local(async move { serve(server, &options, std::future::pending(), echo).await });
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    (String::from_utf8(answer).unwrap(), serving.await.unwrap())
}

fn statuses(answer: &str) -> Vec<&str> {
    answer.lines().filter_map(|line| line.find("HTTP/1.").map(|at| &line[at + 9..at + 12])).collect()
}

fn check(bytes: &str, expected: &[&str]) {
    let (answer, _) = run(converse(bytes.as_bytes(), ServerOptions::default()));
    assert_eq!(statuses(&answer), expected, "{bytes:?} -> {answer}");
}

fn refused(bytes: &str, violation: Violation) {
    let (answer, ended) = run(converse(bytes.as_bytes(), ServerOptions::default()));
    assert_eq!(statuses(&answer), ["400"], "{bytes:?} -> {answer}");
    assert!(matches!(ended, Err(ServeError::Malformed(v)) if v == violation), "{bytes:?} -> {ended:?}");
}

#[test]
fn a_connection_is_kept_and_pipelines_in_order() {
    let request = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    check(&request.repeat(3), &["200", "200", "200"]);
}

#[test]
fn smuggling_is_refused_and_nothing_behind_it_is_answered() {
    let good = "GET /good HTTP/1.1\r\nHost: h\r\n\r\n";
    refused(
        &format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX{good}"
        ),
        Violation::BothLengths,
    );
    refused(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n31\r\nGPOST / HTTP/1.1\r\n",
        Violation::BothLengths,
    );
    refused(
        &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello{good}"),
        Violation::ContentLength,
    );
    refused("GET / HTTP/1.1\nHost: a\n\n", Violation::LineEnd);
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Violation::Host);
    refused("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", Violation::HeaderLine);
}

#[test]
fn the_malformed_one_of_many_ends_the_row() {
    let good = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    let bytes = format!("{}GET /a HTTP/1.1\r\nHost : h\r\n\r\n{}", good.repeat(49), good.repeat(50));
    let mut expected = vec!["200"; 49];
    expected.push("400");
    check(&bytes, &expected);
}

#[test]
fn a_broken_chunk_breaks_the_body() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["5 \r\nhello\r\n0\r\n\r\n", "5;\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n"] {
        let (answer, ended) = run(converse(format!("{head}{body}").as_bytes(), ServerOptions::default()));
        assert!(answer.contains("broken body"), "{body:?} -> {answer}");
        assert!(matches!(ended, Err(ServeError::Malformed(Violation::Chunk))), "{body:?} -> {ended:?}");
    }
}

#[test]
fn requests_become_canonical() {
    let (answer, _) = run(converse(
        b"POST http://a:81/p?q HTTP/1.1\r\nHost: b\r\nContent-Length: 003\r\n\r\nabc",
        ServerOptions::default(),
    ));
    assert!(answer.ends_with("POST /p?q Some(\"a:81\") Some(\"3\") abc"), "{answer}");
    check("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", &["400"]);
    check("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &["400"]);
    check("GET HTTP://a/ HTTP/1.1\r\nHost: a\r\n\r\n", &["200"]);
    check("GET a.b HTTP/1.1\r\nHost: a\r\n\r\n", &["400"]);
    for to in ["a", "a:", "a:0", "a:65536", "[::1]"] {
        check(&format!("CONNECT {to} HTTP/1.1\r\nHost: a\r\n\r\n"), &["400"]);
    }
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &["200"]);
}

#[test]
fn large_heads_are_refused() {
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    check(&large, &["431"]);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101));
    check(&many, &["431"]);
    let few = ServerOptions { max_headers: 5, ..ServerOptions::default() };
    let six = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(5));
    assert_eq!(statuses(&run(converse(six.as_bytes(), few)).0), ["431"]);
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    check("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", &["200"]);
}

#[test]
fn a_slow_head_ends_the_connection() {
    run(async {
        let (mut client, server) = duplex(1);
        let serving = spawn_local(async move {
            serve(server, &ServerOptions::default(), std::future::pending(), echo).await
        });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
        let begun = tokio::time::Instant::now();
        // With a pipe of one byte the server has read the first part by now. Trickling extends nothing.
        tokio::time::advance(Duration::from_secs(9)).await;
        client.write_all(b"X: y\r\n").await.unwrap();
        assert!(matches!(serving.await.unwrap(), Err(ServeError::HeaderTimeout)));
        assert_eq!(begun.elapsed().as_secs(), 10);
    });
}

#[test]
fn an_idle_connection_ends_quietly() {
    run(async {
        let (mut client, server) = duplex(1024);
        let serving = spawn_local(async move {
            serve(server, &ServerOptions::default(), std::future::pending(), echo).await
        });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let begun = tokio::time::Instant::now();
        assert!(serving.await.unwrap().is_ok());
        assert_eq!(begun.elapsed().as_secs(), 300);
    });
}

#[test]
fn a_drain_answers_the_request_at_hand_and_ends() {
    run(async {
        let (mut client, server) = duplex(1024);
        let (drain, draining) = oneshot::channel::<()>();
        let (at_hand, go_on) = (Rc::new(Notify::new()), Rc::new(Notify::new()));
        let service = {
            let (at_hand, go_on) = (Rc::clone(&at_hand), Rc::clone(&go_on));
            move |_| {
                let (at_hand, go_on) = (Rc::clone(&at_hand), Rc::clone(&go_on));
                async move {
                    at_hand.notify_one();
                    go_on.notified().await;
                    Reply::Response(Response::new(Body::full("done")))
                }
            }
        };
        let serving = spawn_local(async move {
            let drain = async { drop(draining.await) };
            serve(server, &ServerOptions::default(), drain, service).await
        });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        at_hand.notified().await;
        drain.send(()).unwrap();
        tokio::task::yield_now().await;
        go_on.notify_one();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
        assert!(serving.await.unwrap().is_ok());
    });
}

#[test]
fn a_drain_does_not_lose_the_next_request_of_an_idle_connection() {
    run(async {
        let (mut client, server) = duplex(1024);
        let (drain, draining) = oneshot::channel::<()>();
        let serving = spawn_local(async move {
            let drain = async { drop(draining.await) };
            serve(server, &ServerOptions::default(), drain, echo).await
        });
        drain.send(()).unwrap();
        tokio::time::advance(Duration::from_millis(500)).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("200 OK") && answer.contains("connection: close"), "{answer}");
        assert!(serving.await.unwrap().is_ok());
    });
}

#[test]
fn an_idle_connection_ends_after_the_linger_of_a_drain() {
    run(async {
        let (_client, server) = duplex(1024);
        let begun = tokio::time::Instant::now();
        serve(server, &ServerOptions::default(), std::future::ready(()), echo).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 1);
    });
}

/// A server that turns every upgrade or CONNECT into an echo, unless the path says no.
async fn tunnels(request: Request<Body>) -> Reply {
    if request.uri().path() == "/no" {
        return echo(request).await;
    }
    let mut headers = HeaderMap::new();
    headers.insert("connection", HeaderValue::from_static("upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("foo"));
    Reply::Tunnel {
        headers,
        run: Box::new(|mut tunnel| {
            Box::pin(async move {
                let (mut read, mut write) = tokio::io::split(&mut tunnel);
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            })
        }),
    }
}

async fn converse_tunnels(bytes: &[u8]) -> String {
    let (mut client, server) = duplex(1 << 16);
    let options = ServerOptions::default();
    spawn_local(async move { serve(server, &options, std::future::pending(), tunnels).await });
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn an_upgrade_becomes_bytes_with_what_came_early() {
    let answer = run(converse_tunnels(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nearly",
    ));
    assert!(answer.starts_with("HTTP/1.1 101") && answer.ends_with("\r\n\r\nearly"), "{answer}");
    let answer = run(converse_tunnels(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nearly"));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nearly"), "{answer}");
}

#[test]
fn what_follows_a_refused_upgrade_is_a_request() {
    let answer = run(converse_tunnels(
        b"GET /no HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nGET /no HTTP/1.1\r\nHost: b\r\n\r\n",
    ));
    assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
}

/// A server that sends `answer` once it read a head, and the client side of the connection.
fn scripted(answer: impl Into<Vec<u8>>) -> DuplexStream {
    let answer = answer.into();
    let (client, mut server) = duplex(1 << 16);
    spawn_local(async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = server.read_u8().await else { return };
            head.push(byte);
        }
        server.write_all(&answer).await.unwrap();
        // Kept open until the client goes.
        let _ = server.read(&mut [0; 64]).await;
    });
    client
}

fn get(path: &str) -> Request<Body> {
    Request::builder().uri(path).header(HOST, "a").body(Body::empty()).unwrap()
}

#[test]
fn a_sender_is_ready_again_when_both_directions_ended_cleanly() {
    run(async {
        let (mut sender, driver) =
            connect(scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")).await.unwrap();
        spawn_local(driver);
        sender.ready().await.unwrap();
        let response = sender.send(get("/")).await.unwrap();
        assert_eq!(response.into_body().collect(10).await.unwrap(), "hi");
        sender.ready().await.unwrap();
        assert!(sender.is_ready() && !sender.is_closed());

        let (mut sender, driver) =
            connect(scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhi")).await.unwrap();
        spawn_local(driver);
        let response = sender.send(get("/")).await.unwrap();
        assert!(!sender.is_ready(), "body not complete");
        drop(response);
        assert!(sender.ready().await.is_err(), "body given up");
    });
}

#[test]
fn a_sender_is_closed_when_bytes_are_left_over() {
    run(async {
        let (mut sender, driver) =
            connect(scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n"))
                .await
                .unwrap();
        spawn_local(driver);
        let response = sender.send(get("/")).await.unwrap();
        assert_eq!(response.into_body().collect(10).await.unwrap(), "hi");
        assert_eq!(sender.ready().await.unwrap_err().kind, SendErrorKind::NotSent);
        assert!(!sender.is_ready() && sender.is_closed());
    });
}

#[test]
fn a_sender_says_whether_anything_may_have_been_sent() {
    run(async {
        let (client, server) = duplex(1024);
        let (mut sender, driver) = connect(client).await.unwrap();
        let driver = spawn_local(driver);
        drop(server);
        driver.await.unwrap();
        let error = sender.send(get("/")).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::NotSent);
        assert_eq!(error.request.unwrap().uri(), "/");

        let (mut sender, driver) = connect(scripted(b"")).await.unwrap();
        spawn_local(driver);
        let sending = sender.send(get("/"));
        let error = tokio::time::timeout(Duration::from_secs(1), sending).await;
        assert!(error.is_err(), "no answer yet");

        let (mut sender, driver) = connect(scripted(b"HTTP/1.1 garbage\r\n\r\n")).await.unwrap();
        spawn_local(driver);
        assert_eq!(sender.send(get("/")).await.unwrap_err().kind, SendErrorKind::Protocol);

        let fields = "x: y\r\n".repeat(101);
        let many = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n");
        let (mut sender, driver) = connect(scripted(many.as_bytes())).await.unwrap();
        spawn_local(driver);
        assert_eq!(sender.send(get("/")).await.unwrap_err().kind, SendErrorKind::HeadTooLarge);
    });
}

/// A caller must see that something went wrong, and not an empty reply.
#[test]
fn a_body_that_breaks_off_at_once_leaves_its_head() {
    run(async {
        let (mut client, server) = duplex(1024);
        let options = ServerOptions::default();
        let service = |_| async {
            let failed = http_body_util::StreamBody::new(futures_util::stream::iter([
                Ok(http_body::Frame::data(Bytes::from_static(b"hi"))),
                Err(crate::BodyError::Other("failed".into())),
            ]));
            let response = Response::builder().header("content-length", "10").body(Body::boxed(failed));
            Reply::Response(response.unwrap())
        };
        let serving =
            spawn_local(async move { serve(server, &options, std::future::pending(), service).await });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhi"), "{answer}");
        assert!(serving.await.unwrap().is_err());
    });
}

#[test]
fn an_upgraded_client_connection_hands_its_bytes_over() {
    run(async {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\nhello";
        let (mut sender, driver) = connect(scripted(answer)).await.unwrap();
        spawn_local(driver);
        let mut request = get("/");
        request.extensions_mut().insert(crate::Upgrade::try_from("foo").unwrap());
        let mut response = sender.send(request).await.unwrap();
        assert_eq!(response.status(), 101);
        assert!(sender.is_closed());
        let mut tunnel = response.body_mut().take_tunnel().unwrap();
        let mut hello = [0; 5];
        tunnel.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
    });
}

#[derive(Default)]
struct Seen {
    bytes: Cell<usize>,
    end: RefCell<Option<BodyEnd>>,
}

impl Watch for Seen {
    fn data(&self, len: usize) {
        self.bytes.set(self.bytes.get() + len);
    }

    fn end(&self, end: BodyEnd) {
        assert!(self.end.replace(Some(end)).is_none(), "ended twice");
    }
}

#[test]
fn a_response_passes_from_client_to_server_side_and_is_watched() {
    run(async {
        let seen = Rc::new(Seen::default());
        let watch = Rc::clone(&seen);
        let service = move |request: Request<Body>| {
            let watch: Rc<Seen> = Rc::clone(&watch);
            async move {
                let upstream =
                    scripted(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
                let (mut sender, driver) = connect(upstream).await.unwrap();
                spawn_local(driver);
                let mut response = sender.send(request).await.unwrap();
                crate::headers::strip_hop_by_hop(response.headers_mut());
                Reply::Response(response.map(|body| body.watched(watch)))
            }
        };
        let (mut client, server) = duplex(1024);
        let options = ServerOptions::default();
        spawn_local(async move { serve(server, &options, std::future::pending(), service).await });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("2\r\nhi\r\n0\r\n\r\n"), "{answer}");
        assert_eq!((seen.bytes.get(), *seen.end.borrow()), (2, Some(BodyEnd::Complete)));
    });
}

#[test]
fn a_reset_ends_the_connection_without_an_answer() {
    run(async {
        let (mut client, server) = duplex(1024);
        let options = ServerOptions::default();
        let service = |_| async { Reply::Reset(crate::ResetCode::RefusedStream) };
        spawn_local(async move { serve(server, &options, std::future::pending(), service).await });
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, Bytes::new());
    });
}

mod early;
mod hostile;
mod one_task;
