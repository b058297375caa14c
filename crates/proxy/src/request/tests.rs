#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! One canonical request, or a refusal.

use super::hygiene::{CameFrom, is_stripped};
use super::{
    Edge, Fields, HeaderName, HeaderValue, RequestIds, SpareLists, receive, response_format, strip,
    strip_trailers,
};
use crate::failure::ResponseFormat;
use codec::Body;
use decide::RequestView;
use decide::filter::RequestHead;
use decide::filter::{Patterns, on_response};
use decide::forwarded::{EntryPoint, Scheme};
use http::{Request, Version};
use model::MeshSettings;
use model::filter::{FilterConfig, HeaderEdit, ResponseHeaders};
use std::rc::Rc;

fn from_outside(forwarded_for: &HeaderValue, scheme: Scheme) -> Edge<'_> {
    let peer = "192.0.2.1".parse().unwrap();
    Edge { at: EntryPoint::Gateway, peer, forwarded_for, scheme, terms: None }
}

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
    let edge = from_outside(&forwarded_for, Scheme::Http);
    match receive(request.body(Body::empty()).unwrap(), Some(edge), &MeshSettings::default()) {
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
    check("GET /\nhost: H:080", "GET h:80 / []");
    check("GET /\nhost: [0::1]:80", "GET [::1]:80 / []");
    check("GET http://a?x=1\nhost: a", "GET a /?x=1 []");
    for bad in
        ["a..", "127.1", "a, b", "u@b", "a/b", "", "a:0", "a:70000", "a:1x", "[fe80::1%25eth0]", "[::1", "."]
    {
        check(&format!("GET /\nhost: {bad}"), "BadRequest");
    }
    check("GET /", "BadRequest");
    check("GET /\nhost: a\nhost: a", "BadRequest");
    check("GET *\nhost: a", "BadPath");
}

#[test]
fn applications_are_told_by_which_scheme_a_caller_came() {
    for scheme in [Scheme::Http, Scheme::Https] {
        let forwarded_for = HeaderValue::from_static("192.0.2.1");
        let edge = from_outside(&forwarded_for, scheme);
        let request = Request::get("/").header("host", "a").header("x-forwarded-proto", "gopher");
        let received = receive(request.body(Body::empty()).unwrap(), Some(edge), &MeshSettings::default());
        let head = received.unwrap().0;
        assert_eq!(head.headers["x-forwarded-proto"], scheme.as_str());
        assert_eq!(head.view().is_https(), scheme == Scheme::Https);
    }
}

#[test]
fn websocket_is_refused_with_a_reason_and_other_upgrades_are_ignored() {
    let upgrade = |to: &str| format!("GET /\nhost: a\nconnection: upgrade\nupgrade: {to}");
    check(&upgrade("websocket"), "UpgradeFailed");
    check(&upgrade("h2c, WebSocket"), "UpgradeFailed");
    check(&upgrade("h2c"), "GET a / []");
    check(&upgrade("websockets"), "GET a / []");
}

#[test]
fn a_path_is_sent_on_as_it_came_and_its_query_too() {
    check("GET /cart;id=1//x%2Fy%3B?a=/../%2F;b\nhost: a", "GET a /cart;id=1//x%2Fy%3B?a=/../%2F;b []");
    check("GET /x/../%61?%61=/./\nhost: a", "GET a /a?%61=/./ []");
    check("GET /a%5Cb\nhost: a", "BadPath");
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
    check("GET /\nhost: a\nte: gzip, Trailers", "GET a / [te]");
    check(
        "GET /\nhost: a\nx.leno_failure: no\nx-forwarded_client.cert: x\nx-lenora: 1",
        "GET a / [x-lenora]",
    );
    check("GET /\nhost: a\nexpect: 100-continue, x", "ExpectationFailed");
    check("GET /\nhost: a\nte: gzip\nupgrade: h2c\nhttp2-settings: x\nexpect: 100-continue", "GET a / []");
    check("GET /\nhost: a\nx-forwarded-for: 127.0.0.1\nforwarded: for=1", "GET a / []");
}

#[test]
fn nobody_outside_says_who_they_are_or_what_they_asked_for() {
    let claims = "x-forwarded-host: b\nx-forwarded-port: 1\nx_forwarded_for: 127.0.0.1\nx-real-ip: 127.0.0.1\n\
                  x.real.ip: 127.0.0.1\nx-original-url: /health\nx-rewrite-url: /\nx-forwarded-uri: /";
    check(&format!("GET /\nhost: a\n{claims}\nx-real: 1"), "GET a / [x-real]");
    let mut inside = http::HeaderMap::new();
    inside.insert("x-real-ip", HeaderValue::from_static("192.0.2.1"));
    strip(&mut inside);
    assert_eq!(inside.len(), 1, "an application may pass on what its gateway told it");
}

#[test]
fn trailers_carry_nothing_that_only_headers_may() {
    let mut trailers = http::HeaderMap::new();
    for name in
        ["grpc-status", "x-leno-failure", "x_leno_failure", "authorization", "host", "x-forwarded-for"]
    {
        trailers.insert(name, HeaderValue::from_static("0"));
    }
    strip_trailers(&mut trailers);
    assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["grpc-status"]);
}

/// What most applications say of the connection hides nothing that is to go beside it.
#[test]
fn what_keeps_a_connection_goes_and_all_else_that_is_to_go() {
    let alone = [("connection", "keep-alive"), ("x-a", "1")];
    let with_more = |name, value| [("connection", "Keep-Alive"), (name, value), ("x-a", "1")];
    let all = [
        &alone[..],
        &with_more("keep-alive", "timeout=5"),
        &with_more("x-leno-failure", "R"),
        &with_more("te", "gzip"),
        &with_more("connection", "x-b"),
    ];
    for fields in all {
        let mut headers = http::HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-a"], "{fields:?}");
    }
}

#[test]
fn grpc_is_told_from_its_cousins() {
    use decide::grpc::web::WebForm::{Binary, Text};
    for (content_type, expected) in [
        ("application/grpc", ResponseFormat::Grpc),
        ("application/grpc+proto", ResponseFormat::Grpc),
        ("application/grpc;x=y", ResponseFormat::Grpc),
        ("application/grpc-web", ResponseFormat::GrpcWeb { asked: Binary, answer: Binary }),
        ("application/grpc-web-text+proto", ResponseFormat::GrpcWeb { asked: Text, answer: Text }),
        ("text/plain", ResponseFormat::Http),
    ] {
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        assert_eq!(response_format(&headers), expected, "{content_type}");
    }
}

fn nothing_asked() -> RequestView<'static> {
    RequestView { method: "GET", host: "a", path: "/", readings: &[], query: None, headers: &() }
}

/// What findings say of edits that do nothing must be what happens.
#[test]
fn a_route_edits_exactly_the_headers_that_users_are_told_it_edits() {
    let names = "host content-length transfer-encoding connection http2-settings keep-alive proxy-connection te \
                 upgrade expect x-leno-destination x_leno_a x.leno-b x-forwarded-client-cert \
                 x_forwarded_client_cert accept authorization content-type cookie date forwarded location \
                 proxy-authorization server set-cookie trailer via x-forwarded-for x-forwarded-host x-real-ip x-a x";
    for name in names.split_whitespace() {
        let mut headers = http::HeaderMap::new();
        let set = vec![(name.into(), "edited".into())];
        let asked = nothing_asked();
        let edit = ResponseHeaders(HeaderEdit { set, ..HeaderEdit::default() });
        on_response(
            &[FilterConfig::ResponseHeaders(edit)],
            &asked,
            Patterns::NONE,
            &mut Fields(&mut headers),
        );
        assert_eq!(headers.is_empty(), model::header::untouched(name).is_some(), "{name}");
        // What a proxy takes out, or writes itself, is not there to be edited.
        let is_stripped = is_stripped(&HeaderName::try_from(name).unwrap(), CameFrom::Mesh);
        let is_ours = is_stripped || matches!(name, "host" | "content-length");
        assert_eq!(headers.is_empty(), is_ours, "{name}");
    }
}

#[test]
fn a_route_edits_no_header_that_only_proxies_may_set() {
    let mut headers = http::HeaderMap::new();
    let names = ["x-leno-destination", "x-forwarded-client-cert", "upgrade", "connection", "host", "x-fine"];
    let set = names.map(|name| (name.into(), "1".into())).to_vec();
    let asked = nothing_asked();
    let edit = HeaderEdit { set, ..HeaderEdit::default() };
    on_response(
        &[FilterConfig::ResponseHeaders(ResponseHeaders(edit))],
        &asked,
        Patterns::NONE,
        &mut Fields(&mut headers),
    );
    assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-fine"]);
}

#[test]
fn request_ids_are_kept_when_usable_and_made_otherwise() {
    let mut headers = http::HeaderMap::new();
    let ids = RequestIds::default();
    ids.ensure(&mut headers, || u128::MAX);
    assert_eq!(headers["x-request-id"], "ffffffff-ffff-4fff-bfff-ffffffffffff");
    ids.ensure(&mut headers, || 0);
    assert_eq!(headers["x-request-id"], "ffffffff-ffff-4fff-bfff-ffffffffffff");
    headers.insert("x-request-id", HeaderValue::from_static("a b"));
    ids.ensure(&mut headers, || 0);
    assert_eq!(headers["x-request-id"], "00000000-0000-4000-8000-000000000000");
}

#[test]
fn each_attempt_sends_the_whole_head_and_filters_still_read_it() {
    let lists = Rc::<SpareLists>::default();
    for _ in 0..2 {
        let request = Request::post("/a?b").header("host", "a").header("x-more", "1").header("accept", "c");
        let request = request.header("x-more", "2").body(Body::empty()).unwrap();
        let (mut head, _) = receive(request, None, &MeshSettings::default()).unwrap();
        let received = head.headers.clone();
        let outgoing = head.outgoing(&lists);
        for _ in 0..3 {
            let mut sent = outgoing.request(Body::empty());
            assert_eq!((sent.method().as_str(), sent.uri().to_string()), ("POST", "/a?b".into()));
            assert_eq!(sent.headers(), &received);
            // What is added for one attempt is not in the next.
            sent.headers_mut().insert("x-leno-destination", HeaderValue::from_static("b"));
        }
        let mut seen = Vec::new();
        head.view().headers.visit("x-more", &mut |value| seen.push(value.to_vec()));
        assert_eq!(seen, [b"1", b"2"]);
        head.view().headers.visit("x-leno-destination", &mut |_| panic!("it was added to the request"));
    }
}
