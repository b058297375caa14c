//! What is passed on when.

use super::{Findings, FloodCounter};
use crate::FloodLimits;
use crate::options::BLOCK_BYTES_AHEAD;

fn frame(kind: u8, len: usize) -> Vec<u8> {
    let length = len.to_be_bytes();
    let mut frame = length[length.len() - 3..].to_vec();
    frame.extend([kind, 4, 0, 0, 0, 1]);
    frame.resize(9 + len, 0);
    frame
}

/// Header blocks wait for the requests before them, in order with all that comes behind them.
#[test]
fn blocks_beyond_the_limit_wait() {
    let findings = Findings::new(0);
    let mut counter = FloodCounter { skip: 0, ..FloodCounter::new(FloodLimits::default(), true, None) };
    let small = BLOCK_BYTES_AHEAD / 4;
    let bytes = [frame(1, small).repeat(3), frame(0, 5000), frame(1, 2 * small), frame(0, 10)].concat();
    // Up to and with the head of the frame whose payload waits.
    let first = 3 * (9 + small) + 9 + 5000 + 9;
    assert_eq!(counter.count(&bytes, &findings), first);
    assert_eq!(counter.count(&bytes[first..], &findings), 0, "nobody took the requests yet");
    findings.take_more();
    assert_eq!(counter.count(&bytes[first..], &findings), bytes.len() - first);
}

/// However large, one may always pass; else nobody would get on.
#[test]
fn a_large_block_passes_alone() {
    let findings = Findings::new(0);
    let mut counter = FloodCounter { skip: 0, ..FloodCounter::new(FloodLimits::default(), true, None) };
    let bytes = frame(1, BLOCK_BYTES_AHEAD * 10);
    assert_eq!(counter.count(&bytes, &findings), bytes.len());
    assert_eq!(counter.count(&bytes, &findings), 9);
}
