#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn heads_that_begin_where_a_body_ends_are_found() {
    let bytes = b"T / HTTP/1.1\r\nHost:h\r\nContent-Length: 5\r\n\r\nET /sd d HTTP/1.1\r\nHost:s\r\n\r\n";
    let heads: Vec<_> = behind_bodies(bytes).collect();
    assert_eq!(heads, [vec![&b"d d HTTP/1.1"[..], b"Host:s"]]);
    for cut in ["Content-Length: x\r\n\r\n", "Content-Length: 5\r\n", "Content-Length: 9\r\n\r\nabc", ""] {
        assert_eq!(behind_bodies(cut.as_bytes()).count(), 0, "{cut}");
    }
}
