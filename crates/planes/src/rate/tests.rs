#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use std::time::Duration;

#[test]
fn a_bucket_gives_what_it_has_and_refills() {
    let start = Instant::now();
    let mut bucket = Bucket::new(3, 1, start);
    assert_eq!((0..5).filter(|_| bucket.take(1, start) == Take::Granted).count(), 3);
    assert_eq!(bucket.take(1, start + Duration::from_millis(500)), Take::Refused);
    assert_eq!(bucket.take(1, start + Duration::from_secs(1)), Take::Granted);
    let later = start + Duration::from_secs(1000);
    assert_eq!((0..9).filter(|_| bucket.take(1, later) == Take::Granted).count(), 3);
}

#[test]
fn a_failure_costs_more() {
    let start = Instant::now();
    let mut bucket = Bucket::new(10, 1, start);
    assert_eq!(bucket.take(1, start), Take::Granted);
    bucket.charge(100);
    assert_eq!(bucket.take(1, start), Take::Refused);
}

#[test]
fn callers_do_not_pay_for_each_other() {
    let start = Instant::now();
    let mut buckets = CallerBuckets::new(10, 1, start);
    buckets.charge("bad", 100, start);
    assert_eq!(buckets.take("bad", 1, start), Take::Refused);
    assert_eq!(buckets.take("good", 1, start), Take::Granted);
    assert_eq!(buckets.take("bad", 1, start + Duration::from_secs(1)), Take::Granted);
}

#[test]
fn the_table_of_callers_is_bounded() {
    let start = Instant::now();
    let mut buckets = CallerBuckets::new(2, 1, start);
    for caller in 0..CALLERS_MAX {
        assert_eq!(buckets.take(caller, 1, start), Take::Granted);
    }
    // Strangers share what is left; who is known has its own.
    let granted = (CALLERS_MAX..2 * CALLERS_MAX).filter(|n| buckets.take(*n, 1, start) == Take::Granted);
    assert_eq!((granted.count(), buckets.known.len()), (2, CALLERS_MAX));
    assert_eq!(buckets.take(7, 1, start), Take::Granted);
    // Later those who did not come back make room.
    let later = start + Duration::from_secs(1);
    assert_eq!(buckets.take(7, 1, later), Take::Granted);
    assert_eq!(buckets.take(2 * CALLERS_MAX, 2, later), Take::Granted);
    assert!(buckets.known.len() < 10, "{}", buckets.known.len());
}
