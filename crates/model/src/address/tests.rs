#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::source;

#[test]
fn one_host_is_one_source() {
    let same = |a: &str, b: &str| source(a.parse().unwrap()) == source(b.parse().unwrap());
    assert!(same("2001:db8::1", "2001:db8::ffff:1") && !same("2001:db8::1", "2001:db8:0:1::1"));
    assert!(same("::ffff:10.0.0.1", "10.0.0.1") && !same("10.0.0.1", "10.0.0.2"));
}
