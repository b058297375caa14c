//! Answers that are not as they should be, and what the caller and the record get instead.

use super::bed::{Proxy, endpoints, fresh_ip, plain, service, story};
use super::edge::{edge, rule};
use crate::accept::listen;
use model::service::Protocol;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A backend that answers the first request of each connection with these bytes, as they are, and waits.
fn canned(hello: &'static [u8], end_of_request: &'static [u8], answer: Vec<u8>) -> SocketAddr {
    let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::task::spawn_local(async move {
                let _ = stream.write_all(hello).await;
                let mut heard = Vec::new();
                while !heard.windows(end_of_request.len()).any(|at| at == end_of_request) {
                    let mut some = [0; 1024];
                    match stream.read(&mut some).await {
                        Ok(len @ 1..) => heard.extend_from_slice(&some[..len]),
                        _ => return,
                    }
                }
                let _ = stream.write_all(&answer).await;
                let _ = stream.read_to_end(&mut heard).await;
            });
        }
    });
    address
}

/// The same that speaks HTTP/1.1.
fn canned1(answer: &str) -> SocketAddr {
    canned(b"", b"\r\n\r\n", answer.as_bytes().to_vec())
}

/// The same that speaks HTTP/2; the request has stream 1.
fn canned2(frames: &[&[u8]]) -> SocketAddr {
    // A HEADERS frame that ends its stream, which is the first one.
    canned(&[0, 0, 0, 4, 0, 0, 0, 0, 0], &[1, 5, 0, 0, 0, 1], frames.concat())
}

/// All that a caller hears after one GET over HTTP/1.1, with the one line of the access log.
async fn heard(proxy: &Proxy) -> (String, serde_json::Value) {
    let mut caller = proxy.enter_raw();
    caller.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    let _ = caller.read_to_end(&mut heard).await;
    let lines = proxy.logged();
    assert_eq!(lines.len(), 1, "{lines:?}");
    (String::from_utf8(heard).unwrap(), lines[0].clone())
}

fn edge2(backend: SocketAddr) -> Proxy {
    let proxy = edge(vec![rule(0, "")], &[]);
    proxy.apply(vec![service(Protocol::Http2), endpoints(vec![plain(backend)])]);
    proxy
}

/// Status 200 and a content-length of 10, without the end of the stream.
const TEN: &[u8] = &[0, 0, 6, 1, 4, 0, 0, 0, 1, 0x88, 0x0f, 0x0d, 2, b'1', b'0'];

#[test]
fn an_http2_answer_shorter_than_its_length_is_no_answer() {
    story(async {
        let five = &[0, 0, 5, 0, 1, 0, 0, 0, 1, b'h', b'e', b'l', b'l', b'o'];
        let proxy = edge2(canned2(&[TEN, five]));
        let (heard, line) = heard(&proxy).await;
        assert!(heard.starts_with("HTTP/1.1 502 "), "{heard}");
        assert_eq!(line["response_code_details"], "upstream_protocol_error");
    });
}

#[test]
fn an_answer_that_breaks_off_after_its_start_is_seen_to_be_broken() {
    let broken = |heard: &str, line: &serde_json::Value| {
        assert!(heard.starts_with("HTTP/1.1 200 ") && heard.ends_with("\r\n\r\nhello"), "{heard}");
        assert_eq!(line["response_code_details"], "upstream_reset_after_response_started", "{line}");
    };
    story(async {
        let five = &[0, 0, 5, 0, 0, 0, 0, 0, 1, b'h', b'e', b'l', b'l', b'o'];
        let end = &[0, 0, 0, 0, 1, 0, 0, 0, 1];
        let (heard, line) = heard(&edge2(canned2(&[TEN, five, end]))).await;
        broken(&heard, &line);
    });
    story(async {
        let listener = listen(SocketAddr::new(fresh_ip(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await.unwrap();
        });
        let (heard, line) = heard(&edge(vec![rule(0, "")], &[address])).await;
        broken(&heard, &line);
    });
}

#[test]
fn a_head_over_our_limit_is_called_that() {
    story(async {
        let fields = "x: y\r\n".repeat(101);
        let backend = canned1(&format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n"));
        let (heard, line) = heard(&edge(vec![rule(0, "")], &[backend])).await;
        assert!(heard.starts_with("HTTP/1.1 502 "), "{heard}");
        assert_eq!(line["response_code_details"], "upstream_response_headers_too_large", "{line}");
        assert_eq!((&line["response_flags"], &line["attempts"]), (&"UPE".into(), &1.into()), "{line}");
    });
}

/// `timeouts.backendRequest` is for the whole exchange with the backend (Gateway API, `HTTPRouteTimeouts`).
#[test]
fn the_timeout_of_an_attempt_lasts_to_the_end_of_its_response() {
    const BEGUN: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
    const PIECE: &[u8] = &[0, 0, 5, 0, 0, 0, 0, 0, 1, b'b', b'e', b'g', b'u', b'n'];
    let timed = || {
        let mut timed = rule(0, "");
        timed.backend_timeout = Some(Duration::from_millis(100));
        vec![timed]
    };
    let cut = |heard: &str, line: &serde_json::Value| {
        assert!(heard.starts_with("HTTP/1.1 200 ") && heard.contains("begun"), "{heard}");
        assert!(!heard.ends_with("0\r\n\r\n"), "{heard}");
        assert_eq!(line["response_code_details"], "per_try_timeout", "{line}");
        assert_eq!((&line["response_flags"], &line["response_code"]), (&"UT".into(), &200.into()), "{line}");
        assert_eq!(line["attempts"], 1);
    };
    story(async {
        let backend = canned1("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n");
        let (heard, line) = heard(&edge(timed(), &[backend])).await;
        cut(&heard, &line);
    });
    story(async {
        let proxy = edge(timed(), &[]);
        proxy.apply(vec![service(Protocol::Http2), endpoints(vec![plain(canned2(&[BEGUN, PIECE]))])]);
        let (heard, line) = heard(&proxy).await;
        cut(&heard, &line);
    });
}
