#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{RequestScanner, ScanPosition};
use crate::Violation;

/// Feeds `bytes` in pieces of many sizes and returns where the scanner stands each time.
fn places(bytes: &[u8]) -> Vec<ScanPosition> {
    (1..=bytes.len().min(100))
        .chain([bytes.len()])
        .map(|size| {
            let mut scanner = RequestScanner::new();
            for piece in bytes.chunks(size) {
                scanner.scan(piece);
            }
            scanner.position()
        })
        .collect()
}

fn check(bytes: &str, expected: ScanPosition) {
    for position in places(bytes.as_bytes()) {
        assert_eq!(position, expected, "{bytes:?}");
    }
}

fn broken(bytes: &str, violation: Violation) {
    check(bytes, ScanPosition::Broken(violation));
}

#[test]
fn ordinary_messages_pass() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", ScanPosition::Rest);
    check("GET / HTTP/1.0\r\n\r\n", ScanPosition::Rest);
    check("POST / HTTP/1.1\r\nHost: a:80\r\nContent-Length: 3\r\n\r\nabc", ScanPosition::Rest);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", ScanPosition::Body);
    check("GET / HTTP/1.1\r\nHost: a\r\nX:", ScanPosition::Head);
    check("\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", ScanPosition::Rest);
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        ScanPosition::Rest,
    );
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n", ScanPosition::Rest);
}

#[test]
fn bytes_behind_a_possible_tunnel_wait() {
    check("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: foo\r\n\r\nGET /admin", ScanPosition::Held);
    check("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n\u{1}\u{2}", ScanPosition::Held);
    check("POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab", ScanPosition::Held);
}

#[test]
fn two_framings_are_refused() {
    let both = Violation::BothLengths;
    broken(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        both,
    );
    broken("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", both);
    broken("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::OldVersion);
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
    ] {
        broken(
            &format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n"),
            Violation::TransferEncoding,
        );
    }
    broken(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        Violation::TransferEncoding,
    );
    for value in ["\u{b}chunked", "chunked\u{c}"] {
        broken(
            &format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:{value}\r\n"),
            Violation::TransferEncoding,
        );
    }
}

#[test]
fn content_length_is_digits_once() {
    let values = ["+5", "-1", "-0", "0x10", "1_0", "1Z", "5 5", "", "99999999999999999999", "5, 5", "5,5"];
    for value in values {
        broken(
            &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n"),
            Violation::ContentLength,
        );
    }
    for (one, two) in [("0", "31"), ("31", "0"), ("5", "5")] {
        broken(
            &format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {one}\r\nContent-Length: {two}\r\n"),
            Violation::ContentLength,
        );
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
        broken(&format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n"), Violation::HeaderLine);
    }
    // A folded line.
    broken("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n", Violation::HeaderLine);
}

#[test]
fn lines_end_with_both_characters() {
    broken("GET / HTTP/1.1\nHost: a\n", Violation::LineEnd);
    broken("GET / HTTP/1.1\r\nHost: a\n\n", Violation::LineEnd);
    broken("GET / HTTP/1.1\r\nHost: a\r\nX: a\rSmuggled: b\r\n", Violation::LineEnd);
}

#[test]
fn there_is_one_host() {
    for host in ["a, b", "u@b", "a/b", "", "a b", "good.com\0.evil.com"] {
        broken(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n"), Violation::Host);
    }
    broken("GET / HTTP/1.1\r\n\r\n", Violation::Host);
    broken("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", Violation::Host);
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
        broken(&format!("{line}\r\n"), Violation::RequestLine);
    }
    broken("\r\n\r\nGET / HTTP/1.1\r\n", Violation::RequestLine);
}

#[test]
fn chunks_are_exact() {
    for body in [
        "0_2e\r\n",
        "0x5\r\n",
        "+5\r\n",
        "-0x0\r\n",
        " 5\r\n",
        "5 \r\n",
        "\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "1these-bytes\r\n",
        "5;\nhello",
        "5\r\r;ABCD\n",
        "5;\0x\r\n",
        "5\r\nhelloXX",
        "5\r\nhello\n",
        "5\r\nhello\r\n\r\n",
        "0\r\n\n",
        "0\r\nX\r\n",
    ] {
        broken(
            &format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
            Violation::Chunk,
        );
    }
    let extension = "x".repeat(20_000);
    broken(
        &format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\n"),
        Violation::Chunk,
    );
}
