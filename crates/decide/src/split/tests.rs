//! Shares.

use super::pick;
use crate::dice::Pcg;
use model::route::RouteBackend;

/// How often each backend is picked in 10,000 throws.
fn check(weights: &[u32], expected: &[std::ops::Range<u32>]) {
    let backends: Vec<_> =
        weights.iter().map(|weight| RouteBackend { host: None, port: 80, weight: *weight }).collect();
    let mut dice = Pcg::new(11);
    let mut counts = vec![0; weights.len()];
    for _ in 0..10_000 {
        if let Some(at) = pick(&backends, &mut dice) {
            counts[at] += 1;
        }
    }
    for (count, range) in counts.iter().zip(expected) {
        assert!(range.contains(count), "{weights:?} gave {counts:?}");
    }
}

#[test]
fn traffic_is_shared_by_weight() {
    check(&[90, 10], &[8_850..9_150, 850..1_150]);
    check(&[1, 0, 1], &[4_800..5_200, 0..1, 4_800..5_200]);
    check(&[5], &[10_000..10_001]);
}

#[test]
fn without_weight_there_is_no_backend() {
    check(&[0], &[0..1]);
    check(&[0, 0], &[0..1, 0..1]);
    check(&[], &[]);
}
