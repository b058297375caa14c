#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{Report, median, placed, render};
use crate::measured::{Block, Effect, Measured};
use crate::wrk::Load;

fn measured(name: &'static str, totals: &[f64]) -> Measured {
    let block = |(round, total): (usize, &f64)| Block {
        round,
        user_us: total / 4.0,
        system_us: total * 3.0 / 4.0,
        load: Load::default(),
        resident_mib: 5.0,
    };
    let blocks = totals.iter().enumerate().map(block).collect();
    Measured { name, version: "1".to_owned(), blocks, idle_mib: 3.0, syscalls: Some(4.2) }
}

#[test]
fn ratios_are_taken_within_rounds() {
    let measured = vec![measured("Leno", &[10.0, 30.0, 10.0]), measured("HAProxy", &[10.0, 20.0, 8.0])];
    let report = Report {
        measured,
        rounds: 3,
        dropped: 0,
        seconds: 5,
        connections: 32,
        allocations: 20.0,
        effect: Effect { median_ms: 1.0, worst_ms: 2.0 },
        steal: 0.0,
    };
    let text = render(&report);
    let row = "| Leno | 2.5 | 7.5 | 10.0 (10.0 to 30.0) | 1.25 (1.00 to 1.50) | - | 3.0 / 5.0 | 4.20 |";
    assert!(text.contains(row), "{text}");
}

#[test]
fn a_section_replaces_its_like_and_leaves_the_others() {
    let one = placed("", "## One\n\n1\n");
    let two = placed(&one, "## Two\n\n2\n");
    let again = placed(&two, "## One\n\n3\n");
    let sections = again.split_once("\n\n## ").unwrap().1;
    assert_eq!(sections, "One\n\n3\n\n## Two\n\n2\n");
    assert_eq!(placed(&again, "## Two\n\n2\n"), again);
}

#[test]
fn the_median_is_in_the_middle() {
    assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
    assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
    assert!(median(std::iter::empty()).is_nan());
}
