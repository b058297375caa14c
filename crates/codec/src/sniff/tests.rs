#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{HTTP2_PREFACE, Sniff, sniff};

fn check(bytes: impl AsRef<[u8]>, expected: Sniff) {
    let bytes = bytes.as_ref();
    assert_eq!(sniff(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn first_bytes_tell_the_protocol() {
    check("GET / HTTP/1.1\r\n", Sniff::Http1);
    check("OPTIONS * HTTP/1.1", Sniff::Http1);
    check("CONNECT a:1 HTTP/1.1", Sniff::Http1);
    check("M-SEARCH / HTTP/1.1", Sniff::Http1);
    check("GET http://a/ HTTP/1.1", Sniff::Http1);
    check(HTTP2_PREFACE, Sniff::Http2);
    check([0x16, 3, 1, 0], Sniff::Tls);
    check([0x16, 9], Sniff::Opaque);
    check("EHLO mail.example", Sniff::Opaque);
    check("get key\r\n", Sniff::Opaque);
    check("PING\r\n", Sniff::Opaque);
    check("\0\0\0\x08", Sniff::Opaque);
    check("ABCDEFGHIJKLMNOPQRSTUVWXYZ", Sniff::Opaque);
}

#[test]
fn a_beginning_may_become_anything() {
    for bytes in ["", "G", "GET", "GET ", "GET http", "P", "PRI * HTTP/2.0\r\n\r\nSM"] {
        check(bytes, Sniff::NeedMore);
    }
    check([0x16], Sniff::NeedMore);
}
