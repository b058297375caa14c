#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::Readiness;

#[test]
fn ready_when_all_gates_are_open() {
    let readiness = Readiness::new();
    assert!(readiness.is_ready());
    let (one, two) = (readiness.gate("one"), readiness.gate("two"));
    one.open();
    assert_eq!(readiness.pending(), ["two"]);
    two.open();
    assert!(readiness.is_ready());
    one.close();
    one.close();
    assert_eq!(readiness.pending(), ["one"]);
    assert!(!readiness.is_ready());
}
