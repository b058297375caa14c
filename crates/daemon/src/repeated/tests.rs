use super::{EVERY, Repeated};
use std::time::Instant;

#[test]
fn a_warning_comes_once_a_second_and_says_how_many_did_not() {
    let (warning, start) = (Repeated::new(), Instant::now());
    assert_eq!(warning.admit(start), Some(0));
    for step in 1..50 {
        assert_eq!(warning.admit(start + EVERY / 50 * step), None);
    }
    assert_eq!(warning.admit(start + EVERY), Some(49));
    assert_eq!(warning.admit(start + EVERY * 2), Some(0));
}
