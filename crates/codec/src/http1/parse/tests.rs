#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod responses;

use bytes::BytesMut;

use super::{HeadFault, HeadLimits, parse_request};
use crate::Violation;
use crate::http1::framing::BodyDecoder;
use crate::options::{HEADER_BYTES_MAX, HEADERS_MAX};

const LIMITS: HeadLimits = HeadLimits { bytes: HEADER_BYTES_MAX, fields: HEADERS_MAX };

/// Where reading requests has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Rest,
    Head,
    Body,
    Broken(Violation),
    TooLarge,
    TargetTooLong,
}

impl From<HeadFault> for Place {
    fn from(unfit: HeadFault) -> Self {
        match unfit {
            HeadFault::Broken(violation) => Place::Broken(violation),
            HeadFault::TooLarge => Place::TooLarge,
            HeadFault::TargetTooLong => Place::TargetTooLong,
        }
    }
}

/// Reads all there is.
fn read(input: &mut BytesMut, body: &mut Option<BodyDecoder>) -> Place {
    loop {
        if let Some(decoder) = body {
            match decoder.decode(input) {
                Err(violation) => return Place::Broken(violation),
                Ok(None) => return Place::Body,
                Ok(Some(_)) if decoder.is_ended() => *body = None,
                Ok(Some(_)) => {}
            }
            continue;
        }
        match parse_request(input, LIMITS) {
            Err(unfit) => return unfit.into(),
            Ok(None) => return if input.is_empty() { Place::Rest } else { Place::Head },
            Ok(Some(head)) => {
                let decoder = BodyDecoder::new(head.framing);
                *body = (!decoder.is_ended()).then_some(decoder);
            }
        }
    }
}

/// Feeds `bytes` in pieces of many sizes; it ends at the same place each time.
fn check(bytes: &str, expected: Place) {
    let bytes = bytes.as_bytes();
    // What is long is not cut in all ways.
    let smallest = if bytes.len() < 1_000 { 1 } else { 999 };
    for size in (smallest..=bytes.len().min(100)).chain([smallest, bytes.len()]) {
        let (mut input, mut body, mut place) = (BytesMut::new(), None, Place::Rest);
        for piece in bytes.chunks(size) {
            input.extend_from_slice(piece);
            place = read(&mut input, &mut body);
            if !matches!(place, Place::Rest | Place::Head | Place::Body) {
                break;
            }
        }
        assert_eq!(place, expected, "{:?} in pieces of {size}", String::from_utf8_lossy(bytes));
    }
}

fn broken(bytes: &str, violation: Violation) {
    check(bytes, Place::Broken(violation));
}

/// A request with this line among its fields.
fn broken_line(line: &str, violation: Violation) {
    broken(&format!("POST / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"), violation);
}

#[test]
fn ordinary_messages_pass() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Place::Rest);
    check("GET / HTTP/1.0\r\n\r\n", Place::Rest);
    check("POST / HTTP/1.1\r\nHost: a:80\r\nContent-Length: 3\r\n\r\nabc", Place::Rest);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", Place::Body);
    check("GET / HTTP/1.1\r\nHost: a\r\nX:", Place::Head);
    check("\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Place::Rest);
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        Place::Rest,
    );
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n", Place::Rest);
    check("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n", Place::Rest);
}

#[test]
fn what_is_read_is_what_was_sent() {
    let text = "PUT /a?b HTTP/1.1\r\nHOST: a:80\r\nx-One:\t 1 \r\nX-ONE:2\r\nTE: gzip, trailers\r\nexpect: 100-Continue\r\n\
                connection: x, Close\r\ncontent-length: 007\r\n\r\nab";
    let mut input = BytesMut::from(text);
    let head = parse_request(&mut input, LIMITS).unwrap().unwrap();
    assert_eq!((head.method.as_str(), head.target.to_string().as_str()), ("PUT", "/a?b"));
    let all: Vec<_> = head.headers.get_all("x-one").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!((all, &head.headers["host"]), (vec!["1", "2"], &"a:80".parse().unwrap()));
    assert_eq!(head.framing, super::Framing::Sized(7));
    assert!(head.expects_continue && head.takes_trailers && !head.keeps_alive);
    assert_eq!(input, "ab");
}

#[test]
fn old_clients_keep_a_connection_only_when_they_say_so() {
    for (line, expected) in [
        ("HTTP/1.1\r\nHost: a", true),
        ("HTTP/1.1\r\nHost: a\r\nConnection: close", false),
        ("HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close", false),
        ("HTTP/1.0", false),
        ("HTTP/1.0\r\nConnection: Keep-Alive", true),
        ("HTTP/1.0\r\nConnection: Keep-Alive\r\nConnection: close", false),
    ] {
        let mut input = BytesMut::from(format!("GET / {line}\r\n\r\n").as_str());
        let head = parse_request(&mut input, LIMITS).unwrap().unwrap();
        assert_eq!(head.keeps_alive, expected, "{line}");
    }
}

#[test]
fn two_framings_are_refused() {
    let both = Violation::BothLengths;
    broken_line("Content-Length: 5\r\nTransfer-Encoding: chunked", both);
    broken_line("Transfer-Encoding: chunked\r\nContent-Length: 5", both);
    broken("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::OldVersion);
    for framing in ["Transfer-Encoding: chunked", "Content-Length: 1"] {
        broken(&format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{framing}\r\n\r\n"), Violation::ContentLength);
    }
}

#[test]
fn transfer_encoding_is_chunked_once_or_not_at_all() {
    for value in [
        "xchunked",
        "identity",
        "chunked, identity",
        "gzip, chunked",
        ",chunked",
        "chunked,",
        "chunked;e=1",
        "",
        "\u{b}chunked",
        "chunked\u{c}",
    ] {
        broken_line(&format!("Transfer-Encoding: {value}"), Violation::TransferEncoding);
    }
    broken_line("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Violation::TransferEncoding);
}

#[test]
fn content_length_is_digits_once() {
    let values = ["+5", "-1", "-0", "0x10", "1_0", "1Z", "5 5", "", "99999999999999999999", "5, 5", "5,5"];
    for value in values {
        broken_line(&format!("Content-Length: {value}"), Violation::ContentLength);
    }
    for (one, two) in [("0", "31"), ("31", "0"), ("5", "5")] {
        broken_line(&format!("Content-Length: {one}\r\nContent-Length: {two}"), Violation::ContentLength);
    }
}

#[test]
fn header_lines_have_a_name_and_a_colon() {
    for line in [
        "Transfer-Encoding : chunked",
        "Content-Length : 34",
        " X: a",
        "\tX: a",
        ": x",
        "no colon",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
    ] {
        broken_line(line, Violation::HeaderLine);
    }
    // A folded line.
    broken_line("X: a\r\n\tb", Violation::HeaderLine);
    for line in ["X\"y: a", "X(y): a", "X y: a", "\u{e4}: a", "X: a\0b", "X: a\u{7f}b", "X: a\u{1}"] {
        broken_line(line, Violation::Syntax);
    }
}

#[test]
fn lines_end_with_both_characters() {
    broken("GET / HTTP/1.1\nHost: a\n", Violation::LineEnd);
    broken("GET / HTTP/1.1\r\nHost: a\n\n", Violation::LineEnd);
    broken_line("X: a\rSmuggled: b", Violation::LineEnd);
    broken_line("X: a\r", Violation::LineEnd);
    broken("GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Violation::LineEnd);
}

#[test]
fn there_is_one_host() {
    for host in ["a, b", "u@b", "a/b", "", "a b", "good.com\0.evil.com"] {
        broken(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Violation::Host);
    }
    broken("GET / HTTP/1.1\r\n\r\n", Violation::Host);
    broken("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Violation::Host);
}

#[test]
fn request_lines_have_three_parts() {
    for line in [
        "GET  / HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/2.0",
        "GET /",
        "GET / x HTTP/1.1",
        " / HTTP/1.1",
        "GET /admin#x HTTP/1.1",
        "GET /#/../admin HTTP/1.1",
        "GET http://a/#x HTTP/1.1",
    ] {
        broken(&format!("{line}\r\nHost: a\r\n\r\n"), Violation::RequestLine);
    }
    broken("\r\n\r\nGET / HTTP/1.1\r\n", Violation::RequestLine);
    for line in ["G(T / HTTP/1.1", "GET a b/ HTTP/1.1", "GET http:///x HTTP/1.1"] {
        let mut input = BytesMut::from(format!("{line}\r\nHost: a\r\n\r\n").as_str());
        assert!(parse_request(&mut input, LIMITS).is_err(), "{line}");
    }
}

#[test]
fn another_protocol_is_refused_at_its_first_bytes() {
    for start in ["\u{16}\u{3}\u{1}", " GET", "\0", "GET\0", "{\"a\":\t"] {
        let mut input = BytesMut::from(start);
        let refused = Err(HeadFault::Broken(Violation::RequestLine));
        assert_eq!(parse_request(&mut input, LIMITS).map(drop), refused, "{start:?}");
    }
}

#[test]
fn heads_have_limits() {
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(LIMITS.bytes));
    check(&large, Place::TooLarge);
    check(&format!("{large}\r\n\r\n"), Place::TooLarge);
    let fields = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(count));
    check(&format!("{}\r\n", fields(HEADERS_MAX - 1)), Place::Rest);
    check(&fields(HEADERS_MAX), Place::TooLarge);
    let target = |len| format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(len));
    check(&target(usize::from(u16::MAX) - 40), Place::Rest);
    let roomy = HeadLimits { bytes: 1 << 20, fields: 5 };
    let long = parse_request(&mut BytesMut::from(target(70_000).as_str()), roomy);
    assert_eq!(long.map(drop), Err(HeadFault::TargetTooLong));
    let six = parse_request(&mut BytesMut::from(format!("{}\r\n", fields(5)).as_str()), roomy);
    assert_eq!(six.map(drop), Err(HeadFault::TooLarge));
}

/// What passes here is read alike by the parser that many servers use.
#[test]
fn heads_that_pass_have_the_same_fields_elsewhere() {
    const PARTS: [&str; 22] = [
        "GET",
        "POST",
        " ",
        " /",
        "/a",
        "?b=c",
        "#",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "Host: a",
        "X-A:  b ",
        "x_b:",
        "content-length: 0",
        "\t",
        ":",
        "\u{e4}",
        "\0",
        "\"",
    ];
    let mut seed = 7_u64;
    let mut draw = |len: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % len
    };
    let mut passed = 0;
    for _ in 0..50_000 {
        let mut text = String::from(["GET / HTTP/1.1\r\nHost: a\r\n", "POST /x HTTP/1.0\r\n", ""][draw(3)]);
        (0..draw(6)).for_each(|_| text.push_str(PARTS[draw(PARTS.len())]));
        text.push_str(["\r\n\r\n", "\r\n"][draw(2)]);
        let mut input = BytesMut::from(text.as_str());
        let Ok(Some(head)) = parse_request(&mut input, LIMITS) else { continue };
        passed += 1;
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut other = httparse::Request::new(&mut fields);
        let len = other.parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}")).unwrap();
        assert_eq!(len, text.len() - input.len(), "{text:?}");
        assert_eq!(other.method, Some(head.method.as_str()), "{text:?}");
        assert_eq!(other.path, Some(head.target.to_string().as_str()), "{text:?}");
        assert_eq!(other.headers.len(), head.headers.len(), "{text:?}");
        for field in other.headers.iter() {
            let mut values = head.headers.get_all(field.name).iter();
            assert!(values.any(|value| value.as_bytes() == field.value.trim_ascii()), "{text:?}");
        }
    }
    assert!(passed > 1_000, "{passed} passed");
}
