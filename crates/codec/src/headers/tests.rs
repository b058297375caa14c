#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{keeps_alive, strip_hop_by_hop, strip_trailers};

fn map(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split("; ").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn check(change: impl FnOnce(&mut HeaderMap), given: &str, expected: &str) {
    let mut headers = map(given);
    change(&mut headers);
    assert_eq!(headers, map(expected), "{given}");
}

#[test]
fn fields_of_one_hop_go() {
    let strip = strip_hop_by_hop;
    check(strip, "a: 1", "a: 1");
    check(strip, "connection: close, x-mine; x-mine: 1; a: 1", "a: 1");
    check(strip, "keep-alive: 5; proxy-connection: x; transfer-encoding: chunked; upgrade: h2c", "");
    check(strip, "http2-settings: x; te: gzip; a: 1", "a: 1");
    check(strip, "te: gzip, trailers", "te: trailers");
    check(strip, "te: trailers; connection: te", "te: trailers");
    check(
        strip,
        "connection: host, content-length; host: a; content-length: 1",
        "host: a; content-length: 1",
    );
}

#[test]
fn what_keeps_alive_names_nothing_else() {
    for given in ["connection: keep-alive", "connection: Keep-Alive; keep-alive: 5"] {
        assert!(keeps_alive(&map(given)), "{given}");
    }
    let others = [
        "",
        "connection: close",
        "connection: keep-alive, x-mine",
        "connection: keep-alive; connection: x-mine",
    ];
    for given in others {
        assert!(!keeps_alive(&map(given)), "{given}");
    }
}

#[test]
fn trailers_bring_nothing_that_decides() {
    check(
        strip_trailers,
        "host: a; authorization: b; content-length: 5; transfer-encoding: chunked; keep-alive: 1; \
         proxy-authorization: b; content-range: x; grpc-status: 0",
        "grpc-status: 0",
    );
}
