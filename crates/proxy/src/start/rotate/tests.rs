#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use xds::Status;

#[test]
fn only_a_no_is_final() {
    for (code, expected) in [
        (Code::PermissionDenied, true),
        (Code::Unavailable, false),
        (Code::ResourceExhausted, false),
        (Code::DeadlineExceeded, false),
    ] {
        assert_eq!(refuses(&Err(Status::new(code, "no"))), expected, "{code:?}");
    }
    assert!(!refuses(&Ok(rotate::SignedLeaf { chain: Vec::new(), bundles: Vec::new() })));
}
