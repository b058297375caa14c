#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use std::time::UNIX_EPOCH;

#[test]
fn a_line_names_both_times_the_difference_and_what_to_do() {
    let at = |s| UNIX_EPOCH + Duration::from_secs(s);
    let outside = Outside { bound: Bound::NotBefore, at: at(4000), now: at(400) };
    assert_eq!(
        outside.to_string(),
        "the certificate is valid from 1970-01-01T01:06:40Z on, and the clock of this host says \
         1970-01-01T00:06:40Z, 60 min earlier; check the clocks of both hosts (NTP)"
    );
    let outside = Outside { bound: Bound::NotAfter, at: at(0), now: at(100) };
    assert!(outside.to_string().contains("expired at 1970-01-01T00:00:00Z"), "{outside}");
    assert!(outside.to_string().contains("1970-01-01T00:01:40Z, 100 s later"), "{outside}");
}

#[test]
fn all_are_counted_and_few_are_told_of() {
    let watch = ValidityWatch::default();
    let begin = Instant::now();
    assert_eq!(watch.is_due(begin), Some(0));
    assert_eq!(watch.is_due(begin + LOGGED_EVERY / 2), None);
    assert_eq!(watch.is_due(begin + LOGGED_EVERY / 2), None);
    assert_eq!(watch.is_due(begin + LOGGED_EVERY), Some(2));
    assert_eq!(watch.is_due(begin + 3 * LOGGED_EVERY), Some(0));
    for bound in [Bound::NotAfter, Bound::NotBefore, Bound::NotAfter] {
        watch.note(Outside { bound, at: UNIX_EPOCH, now: UNIX_EPOCH }, None);
    }
    assert_eq!(watch.counts(), OutsideValidity { expired: 2, not_yet_valid: 1 });
}
