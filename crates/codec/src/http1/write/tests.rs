#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};

use super::{Asked, Output, Persistence, put_request, put_response};
use crate::Body;

const ASKED: Asked = Asked {
    version: Version::HTTP_11,
    is_head: false,
    is_connect: false,
    keeps_alive: true,
    takes_trailers: true,
};

fn text(output: &Output) -> String {
    String::from_utf8(output.slices().map(|slice| slice.to_vec()).concat()).unwrap()
}

/// A body of unknown length.
fn stream() -> Body {
    let pieces = futures_util::stream::empty::<Result<http_body::Frame<Bytes>, crate::BodyError>>();
    Body::boxed(http_body_util::StreamBody::new(pieces))
}

/// How a response with these fields (`name: value; ...`) begins, with ` last` where it is the last. The date is left
/// out.
fn response(status: u16, fields: &str, body: &Body, asked: Asked) -> String {
    let mut response = Response::builder().status(status);
    for field in fields.split("; ").filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(": ").unwrap();
        response = response.header(name, value);
    }
    let (parts, ()) = response.body(()).unwrap().into_parts();
    let mut output = Output::default();
    let (encoder, persistence) = put_response(&parts, body, asked, Persistence::Kept, &mut output);
    let lines = text(&output);
    let lines: Vec<_> =
        lines.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with("date")).collect();
    let last = if persistence == Persistence::Last { " last" } else { "" };
    format!("{} {:?}{last}", lines.join("; "), encoder.kind)
}

#[test]
fn a_response_tells_its_end_in_one_way() {
    let hi = Body::full("hi");
    let check = |status, fields, body: &Body, asked, expected: &str| {
        assert_eq!(response(status, fields, body, asked), expected, "{status} {fields}");
    };
    check(200, "", &hi, ASKED, "HTTP/1.1 200 OK; content-length: 2 Sized(2)");
    check(200, "content-length: 2", &hi, ASKED, "HTTP/1.1 200 OK; content-length: 2 Sized(2)");
    check(200, "content-length: 3", &hi, ASKED, "HTTP/1.1 200 OK; content-length: 2 Sized(2)");
    check(200, "content-length: 3", &stream(), ASKED, "HTTP/1.1 200 OK; content-length: 3 Sized(3)");
    check(
        200,
        "transfer-encoding: gzip",
        &stream(),
        ASKED,
        "HTTP/1.1 200 OK; transfer-encoding: chunked Chunked",
    );
    check(200, "", &Body::empty(), ASKED, "HTTP/1.1 200 OK; content-length: 0 Sized(0)");
    check(204, "content-length: 0", &Body::empty(), ASKED, "HTTP/1.1 204 No Content Nothing");
    check(304, "content-length: 9", &Body::empty(), ASKED, "HTTP/1.1 304 Not Modified Nothing");
    let head = Asked { is_head: true, ..ASKED };
    check(200, "content-length: 9", &Body::empty(), head, "HTTP/1.1 200 OK; content-length: 9 Nothing");
    check(200, "", &Body::empty(), head, "HTTP/1.1 200 OK Nothing");
    check(200, "", &hi, head, "HTTP/1.1 200 OK; content-length: 2 Nothing");
    let connect = Asked { is_connect: true, ..ASKED };
    check(200, "content-length: 0", &Body::empty(), connect, "HTTP/1.1 200 OK Nothing");
}

#[test]
fn a_response_says_what_becomes_of_the_connection() {
    let check = |fields, version, keeps_alive, expected: &str| {
        let asked = Asked { version, keeps_alive, ..ASKED };
        assert_eq!(
            response(200, fields, &Body::full("hi"), asked),
            expected,
            "{fields} {version:?} {keeps_alive}"
        );
    };
    let (new, old) = (Version::HTTP_11, Version::HTTP_10);
    let rest = "content-length: 2 Sized(2)";
    check("", new, false, &format!("HTTP/1.1 200 OK; connection: close; {rest} last"));
    check("connection: close", new, true, &format!("HTTP/1.1 200 OK; connection: close; {rest} last"));
    check("connection: x; connection: y", new, true, &format!("HTTP/1.1 200 OK; connection: x, y; {rest}"));
    check("", old, true, &format!("HTTP/1.0 200 OK; connection: keep-alive; {rest}"));
    check("", old, false, &format!("HTTP/1.0 200 OK; {rest} last"));
    let unknown = response(200, "", &stream(), Asked { version: old, ..ASKED });
    assert_eq!(unknown, "HTTP/1.0 200 OK; connection: close UntilClose last");
}

fn request(method: &str, uri: &str, fields: &str, body: &Body) -> String {
    let mut request = Request::builder().method(method).uri(uri);
    for field in fields.split("; ").filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let mut output = Output::default();
    let (encoder, persistence) = put_request(&parts, body, &mut output);
    let text = text(&output).trim_end().replace("\r\n", "; ");
    let last = if persistence == Persistence::Last { " last" } else { "" };
    format!("{text} {:?}{last}", encoder.kind)
}

#[test]
fn a_request_is_in_origin_form_and_tells_its_end_in_one_way() {
    let check = |method, uri, fields, body: &Body, expected: &str| {
        assert_eq!(request(method, uri, fields, body), expected, "{method} {uri} {fields}");
    };
    let (none, hi) = (Body::empty(), Body::full("hi"));
    check("GET", "/a?b", "host: a; X-B: c", &none, "GET /a?b HTTP/1.1; host: a; x-b: c Nothing");
    check("GET", "http://a:1/b", "", &none, "GET /b HTTP/1.1; host: a:1 Nothing");
    check("GET", "http://a?b", "host: c", &none, "GET /?b HTTP/1.1; host: c Nothing");
    check("OPTIONS", "*", "host: a", &none, "OPTIONS * HTTP/1.1; host: a Nothing");
    check("CONNECT", "a:1", "", &none, "CONNECT a:1 HTTP/1.1; host: a:1 Nothing");
    check("POST", "/", "host: a", &hi, "POST / HTTP/1.1; host: a; content-length: 2 Sized(2)");
    check(
        "POST",
        "/",
        "host: a; content-length: 0",
        &none,
        "POST / HTTP/1.1; host: a; content-length: 0 Nothing",
    );
    check("POST", "/", "host: a; content-length: 5", &none, "POST / HTTP/1.1; host: a Nothing");
    check(
        "POST",
        "/",
        "host: a; content-length: 5",
        &stream(),
        "POST / HTTP/1.1; host: a; content-length: 5 Sized(5)",
    );
    let chunked = "HTTP/1.1; host: a; transfer-encoding: chunked Chunked";
    check("GET", "/", "host: a", &stream(), &format!("GET / {chunked}"));
    check(
        "PUT",
        "/",
        "host: a; transfer-encoding: chunked; content-length: 2",
        &hi,
        &format!("PUT / {chunked}"),
    );
    check(
        "GET",
        "/",
        "host: a; connection: x, close",
        &none,
        "GET / HTTP/1.1; host: a; connection: x, close Nothing last",
    );
}

#[test]
fn bodies_are_written_as_their_heads_say() {
    let (parts, ()) = Response::new(()).into_parts();
    let write = |body: &Body, pieces: &[&'static str], parts: &http::response::Parts| {
        let mut output = Output::default();
        let (mut encoder, _) = put_response(parts, body, ASKED, Persistence::Kept, &mut output);
        let head = text(&output).len();
        let mut ended = Ok(());
        for (index, piece) in pieces.iter().enumerate() {
            let is_last = index + 1 == pieces.len();
            ended = encoder.put(Bytes::from_static(piece.as_bytes()), is_last, &mut output);
        }
        (text(&output).split_off(head), ended.is_ok(), encoder.is_ended())
    };
    let long = "0123456789abcdef!";
    let expected = "2\r\nhi\r\n11\r\n0123456789abcdef!\r\n0\r\n\r\n".to_owned();
    assert_eq!(write(&stream(), &["hi", "", long], &parts), (expected, true, true));
    assert_eq!(write(&stream(), &["hi", ""], &parts), ("2\r\nhi\r\n0\r\n\r\n".to_owned(), true, true));
    let (sized, ()) = Response::builder().header("content-length", "3").body(()).unwrap().into_parts();
    assert_eq!(write(&stream(), &["ab", "c"], &sized), ("abc".to_owned(), true, true));
    assert_eq!(write(&stream(), &["ab", "cde"], &sized), ("abc".to_owned(), true, true), "more than it said");
    assert_eq!(write(&stream(), &["ab"], &sized), ("ab".to_owned(), false, true), "less than it said");
}

#[test]
fn trailers_pass_that_were_announced_and_are_wanted() {
    let mut trailers = HeaderMap::new();
    for name in ["x-a", "x-b", "content-length", "authorization"] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    let (parts, ()) =
        Response::builder().header("trailer", "X-A, Content-Length").body(()).unwrap().into_parts();
    for (takes_trailers, expected) in [(true, "0\r\nx-a: 1\r\n\r\n"), (false, "0\r\n\r\n")] {
        let mut output = Output::default();
        let asked = Asked { takes_trailers, ..ASKED };
        let (mut encoder, _) = put_response(&parts, &stream(), asked, Persistence::Kept, &mut output);
        let head = text(&output).len();
        assert!(encoder.put_trailers(&trailers, &mut output).is_ok());
        assert_eq!(&text(&output)[head..], expected);
    }
}

#[test]
fn what_an_upstream_wrote_behind_its_status_is_passed_on() {
    let (mut parts, ()) = Response::builder().status(StatusCode::IM_A_TEAPOT).body(()).unwrap().into_parts();
    parts.extensions.insert(super::ReasonPhrase(Bytes::from_static(b"Short and stout")));
    let mut output = Output::default();
    put_response(&parts, &Body::empty(), ASKED, Persistence::Kept, &mut output);
    assert!(text(&output).starts_with("HTTP/1.1 418 Short and stout\r\n"));
}
