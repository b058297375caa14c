#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::classes::classes;
use crate::search::Search;

/// Cases of the short run: a few seconds.
const CASES: u64 = 4_000;

#[test]
fn a_short_run_finds_nothing_that_no_class_explains() {
    let mut search = Search::new(None).unwrap();
    for seed in 0..CASES {
        search.attempt(seed, None).unwrap();
    }
    search.unexplained.iter().for_each(super::tell);
    assert_eq!(search.unexplained_count, 0);
    assert!(search.messages > CASES / 2, "most cases must be worth something: {}", search.messages);
    assert!(search.explained.values().sum::<u64>() > 0, "it compares nothing");
}

#[test]
fn every_class_has_its_row_in_the_document() {
    let document = include_str!("../../docs/http-differences.md");
    for class in classes() {
        assert!(document.contains(&format!("| {} |", class.name)), "{}", class.name);
    }
}
