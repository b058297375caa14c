#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{HEADER, KnownDifferences, is_like};
use crate::seen::EnvoyDifference;
use crate::story::Teller;

fn difference(leno: &str) -> EnvoyDifference {
    let (of, envoy) = ("caller location".to_owned(), "http://a/".to_owned());
    EnvoyDifference {
        story: "redirect/port",
        call: 1,
        teller: Teller::Gateway,
        of,
        envoy,
        leno: leno.to_owned(),
    }
}

#[test]
fn a_row_explains_what_it_names_and_one_that_explains_nothing_is_told() {
    let rows = "| `gateway redirect/*` | `caller location` | `http://a/` | `http://a:*/` | it says so |\n\
                | `*` | `caller server` | `*` | `nothing` | nobody asked |";
    let text = format!("# Title\n\n{HEADER}\n|---|---|---|---|---|\n{rows}\n\n| other | table |\n");
    let mut known = KnownDifferences::parse(&text).unwrap();
    assert!(known.explains(&difference("http://a:8080/")));
    assert!(!known.explains(&difference("http://b/")), "another value has no reason");
    assert_eq!(known.unused(), ["* caller server"]);
}

#[test]
fn rows_without_a_reason_are_refused() {
    let with = |row: &str| KnownDifferences::parse(&format!("{HEADER}\n|---|\n{row}\n")).is_ok();
    assert!(with("| a | b | c | d | because |"));
    assert!(!with("| a | b | c | d |  |"));
    assert!(!with("| a | b | c |"));
    assert!(KnownDifferences::parse("nothing").is_err());
}

#[test]
fn a_star_is_any_text() {
    for (text, pattern, fits) in [
        ("ab", "a*", true),
        ("ab", "*b", true),
        ("ab", "a", false),
        ("", "*", true),
        ("axbxc", "a*b*d", false),
    ] {
        assert_eq!(is_like(text, pattern), fits, "{text} {pattern}");
    }
}
