//! Shares.

use super::pick;
use crate::dice::Pcg;
use model::route::RouteBackend;

/// How often each backend is picked in 10,000 throws, at least and at most.
fn check(weights: &[u32], expected: &[(u32, u32)]) {
    let backends: Vec<_> = weights.iter().map(|weight| RouteBackend::new(None, 80, *weight)).collect();
    let mut dice = Pcg::new(11);
    let mut counts = vec![0; weights.len()];
    for _ in 0..10_000 {
        if let Some(at) = pick(&backends, &mut dice) {
            counts[at] += 1;
        }
    }
    for (count, (least, most)) in counts.iter().zip(expected) {
        assert!((least..=most).contains(&count), "{weights:?} gave {counts:?}");
    }
}

#[test]
fn traffic_is_shared_by_weight() {
    check(&[90, 10], &[(8_850, 9_149), (850, 1_149)]);
    check(&[1, 0, 1], &[(4_800, 5_199), (0, 0), (4_800, 5_199)]);
    check(&[5], &[(10_000, 10_000)]);
}

#[test]
fn without_weight_there_is_no_backend() {
    check(&[0], &[(0, 0)]);
    check(&[0, 0], &[(0, 0), (0, 0)]);
    check(&[], &[]);
}
