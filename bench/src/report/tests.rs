use super::{comparison, placed};
use crate::measured::{Block, Comparison, Load, Measured};

fn measured(name: &'static str, totals: &[f64]) -> Measured {
    let block = |(round, total): (usize, &f64)| Block {
        round,
        user_us: total / 4.0,
        system_us: total * 3.0 / 4.0,
        switches: 0.5,
        load: Load::default(),
        resident_mib: 5.0,
    };
    let blocks = totals.iter().enumerate().map(block).collect();
    Measured { name, version: "1".to_owned(), blocks, idle_mib: 3.0, syscalls: Some(4.2) }
}

#[test]
fn ratios_are_taken_within_rounds() {
    let measured = vec![measured("Leno", &[10.0, 30.0, 10.0]), measured("HAProxy", &[10.0, 20.0, 8.0])];
    let label = "32 connections".to_owned();
    let compared = Comparison { measured, rounds: 3, dropped: 0, seconds: 5, label, steal: 0.0 };
    let text = comparison(&compared, &["HAProxy", "Envoy"]);
    let row =
        "| Leno | 2.5 | 7.5 | 10.0 (10.0 to 30.0) | 1.25 (1.00 to 1.50) | - | 0.50 | 4.20 | 3.0 / 5.0 |";
    assert!(text.contains(row), "{text}");
}

#[test]
fn a_section_replaces_its_like_and_leaves_the_others() {
    let one = placed("", "## One\n\n1\n");
    let two = placed(&one, "## Two\n\n2\n");
    let again = placed(&two, "## One\n\n3\n");
    let sections = again.split_once("\n\n## ").map(|(_, sections)| sections);
    assert_eq!(sections, Some("One\n\n3\n\n## Two\n\n2\n"));
    assert_eq!(placed(&again, "## Two\n\n2\n"), again);
}
