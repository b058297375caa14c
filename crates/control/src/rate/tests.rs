#![allow(clippy::unwrap_used, clippy::panic)]

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
