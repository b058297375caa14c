#![allow(clippy::unwrap_used, clippy::panic)]
//! One canonical request, or a refusal.

use super::{Edge, HeaderValue, ensure_request_id, receive};
use codec::Body;
use http::{Request, Version};

/// `lines`: the request line's method and target, then header lines. The answer is what would be sent on.
fn canonical(version: Version, lines: &str) -> String {
    let mut lines = lines.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder().version(version).method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let forwarded_for = HeaderValue::from_static("192.0.2.1");
    let edge = Edge { forwarded_for: &forwarded_for };
    match receive(request.body(Body::empty()).unwrap(), Some(edge)) {
        Err(reason) => format!("{reason:?}"),
        Ok((head, _)) => {
            let names = head.headers.keys().map(http::HeaderName::as_str);
            let names: Vec<_> =
                names.filter(|name| !name.starts_with("x-forwarded-") && *name != "host").collect();
            assert_eq!(head.headers["x-forwarded-for"], "192.0.2.1");
            assert_eq!(head.headers["host"], head.authority.as_str());
            format!("{} {} {} [{}]", head.method, head.authority.as_str(), head.target, names.join(" "))
        }
    }
}

fn check(lines: &str, expected: &str) {
    assert_eq!(canonical(Version::HTTP_11, lines), expected, "{lines}");
}

#[test]
fn one_host_for_routing_policy_log_and_upstream() {
    check("GET /a?b=c\nhost: Shop.Example.:8080", "GET shop.example:8080 /a?b=c []");
    check("GET http://a.example/x\nhost: b.example", "GET a.example /x []");
    check("GET /\nhost: [::1]:80", "GET [::1]:80 / []");
    check("OPTIONS *\nhost: a", "OPTIONS a * []");
    for bad in ["a, b", "u@b", "a/b", "", "a:0", "a:70000", "a:1x", "[fe80::1%25eth0]", "[::1", "."] {
        check(&format!("GET /\nhost: {bad}"), "BadRequest");
    }
    check("GET /", "BadRequest");
    check("GET /\nhost: a\nhost: a", "BadRequest");
    check("GET *\nhost: a", "BadPath");
}

#[test]
fn http2_authority_and_host_must_agree() {
    assert_eq!(canonical(Version::HTTP_2, "GET http://a/x\nhost: b"), "BadRequest");
    assert_eq!(canonical(Version::HTTP_2, "GET http://a/x\nhost: A"), "GET a /x []");
}

#[test]
fn hop_by_hop_and_protected_headers_stay_here() {
    check("GET /\nhost: a\nx-leno-destination: 10.0.0.1:80\nx-ok: 1", "GET a / [x-ok]");
    check("GET /\nhost: a\nx_leno-failure: no\nx-forwarded-client-cert: x", "GET a / []");
    check(
        "GET /\nhost: a\nconnection: close, X-Secret, x-ok\nx-secret: 1\nx-ok: 1\ncookie: c",
        "GET a / [cookie]",
    );
    check("GET /\nhost: a\nte: trailers", "GET a / [te]");
    check("GET /\nhost: a\nte: gzip\nupgrade: h2c\nhttp2-settings: x\nexpect: 100-continue", "GET a / []");
    check("GET /\nhost: a\nx-forwarded-for: 127.0.0.1\nforwarded: for=1", "GET a / []");
}

#[test]
fn request_ids_are_kept_when_usable_and_made_otherwise() {
    let mut headers = http::HeaderMap::new();
    ensure_request_id(&mut headers, || u128::MAX);
    assert_eq!(headers["x-request-id"], "ffffffff-ffff-4fff-bfff-ffffffffffff");
    ensure_request_id(&mut headers, || 0);
    assert_eq!(headers["x-request-id"], "ffffffff-ffff-4fff-bfff-ffffffffffff");
    headers.insert("x-request-id", HeaderValue::from_static("a b"));
    ensure_request_id(&mut headers, || 0);
    assert_eq!(headers["x-request-id"], "00000000-0000-4000-8000-000000000000");
}
