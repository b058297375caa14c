#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;

#[track_caller]
fn check(stderr: &str, expected: &str) {
    assert_eq!(classify(stderr).to_string(), expected);
}

#[test]
fn a_missing_capability_is_told_apart() {
    check(
        "Error: Operation not permitted\n",
        "changing nftables rules is not permitted here (CAP_NET_ADMIN is needed): Error: Operation not permitted",
    );
    check(
        "\nOperation not permitted (you must be root)",
        "changing nftables rules is not permitted here (CAP_NET_ADMIN is needed): Operation not permitted (you must be root)",
    );
}

#[test]
fn a_refusal_shows_the_first_line() {
    check(
        "/dev/stdin:1:1-3: Error: syntax error\nxxx\n^^^",
        "nft refused the rules: /dev/stdin:1:1-3: Error: syntax error",
    );
    check("", "nft refused the rules: no message");
}
