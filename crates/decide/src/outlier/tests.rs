//! How long an endpoint stays ejected. Jitter adds up to a quarter.

use super::{EJECTION_MAX_MS, FORGET_MS, Health, after_failure, after_success, is_ejected};
use crate::dice::Pcg;
use proptest::prelude::*;

/// Fails as soon as it may be used again; the waits in milliseconds.
fn waits(times: usize) -> Vec<u64> {
    let (mut health, mut now) = (Health::default(), 1_000_000);
    let mut dice = Pcg::new(5);
    (0..times)
        .map(|_| {
            health = after_failure(health, now, &mut dice);
            assert!(is_ejected(health, now));
            let wait = health.until_ms() - now;
            now = health.until_ms();
            assert!(!is_ejected(health, now));
            wait
        })
        .collect()
}

#[test]
fn the_wait_doubles_up_to_its_limit() {
    for (at, wait) in waits(300).into_iter().enumerate() {
        let base = (1_000 << at.min(5)).min(EJECTION_MAX_MS);
        assert!((base..=(base + base / 4).min(EJECTION_MAX_MS)).contains(&wait), "wait {at} is {wait} ms");
    }
}

#[test]
fn failures_of_one_incident_count_once() {
    let mut dice = Pcg::new(5);
    let once = after_failure(Health::default(), 1_000, &mut dice);
    assert_eq!(after_failure(once, 1_001, &mut dice), once);
}

#[test]
fn success_and_time_clear_the_record() {
    let mut dice = Pcg::new(5);
    let first = after_failure(Health::default(), 100_000, &mut dice);
    let second = after_failure(first, first.until_ms(), &mut dice);
    assert_eq!(second.failures(), 2);
    assert_eq!(after_success(second, second.until_ms()), Health::default());
    let later = after_failure(second, second.until_ms() + FORGET_MS + 1, &mut dice);
    assert_eq!(later.failures(), 1);
    assert_eq!(Health::from_bits(later.to_bits()), later);
}

#[test]
fn a_late_success_of_a_request_under_way_does_not_bring_it_back() {
    let mut dice = Pcg::new(5);
    let failed = after_failure(Health::default(), 1_000, &mut dice);
    assert_eq!(after_success(failed, 1_010), failed);
    assert!(is_ejected(after_success(failed, 1_010), 1_500));
}

proptest! {
    /// Whatever several workers report, in whatever order: who saw the failure and who did not agree until the
    /// time is over, so the answering cluster changes once when it begins and once when it ends.
    #[test]
    fn nothing_brings_an_endpoint_back_before_its_time(
        reports in prop::collection::vec((0u64..400, any::<bool>()), 1..100),
        seed in any::<u64>(),
    ) {
        let (mut health, mut now, mut dice) = (Health::default(), 1_000_000, Pcg::new(seed));
        for (after, is_success) in reports {
            now += after;
            let before = health;
            health = if is_success {
                after_success(health, now)
            } else {
                after_failure(health, now, &mut dice)
            };
            if is_ejected(before, now) {
                prop_assert_eq!(health, before);
            } else {
                prop_assert_eq!(is_ejected(health, now), !is_success);
            }
        }
    }
}
