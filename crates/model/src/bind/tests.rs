#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;

#[test]
fn an_address_is_read_as_it_is_written() {
    for text in ["127.0.0.1:15080", "[::1]:15080", "unix:/run/leno/control.sock"] {
        assert_eq!(text.parse::<BindAddress>().unwrap().to_string(), text);
    }
    let loopback = |text: &str| text.parse::<BindAddress>().unwrap().is_loopback();
    assert!(loopback("127.0.0.9:1") && loopback("[::1]:1") && loopback("[::ffff:127.0.0.1]:1"));
    assert!(!loopback("0.0.0.0:1") && !loopback("10.0.0.1:1") && !loopback("unix:/a"));
}

#[test]
fn what_is_no_address_is_told() {
    let long = format!("unix:/{}", "a".repeat(SOCKET_PATH_BYTES_MAX));
    for (text, expected) in [
        ("", "neither"),
        ("localhost:1", "neither"),
        ("/run/a.sock", "neither"),
        ("unix:", "absolute"),
        ("unix:a.sock", "absolute"),
        ("unix:@abstract", "absolute"),
        ("unix:/run/leno/", "names a file"),
        (&long, "at most 100 bytes, this one 101"),
    ] {
        let refused = text.parse::<BindAddress>().unwrap_err();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}
