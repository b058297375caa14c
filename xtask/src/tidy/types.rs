//! A type's name is found once in the workspace, so that whoever looks for it finds one thing.
//!
//! A type that no other file can see may be called like another such one: its file says which is meant. It may not
//! be called like one of its own crate that others see. Tests and generated code are not looked at.

use super::{Untidy, sources};
use crate::tracked::{is_test, tracked};
use std::collections::BTreeMap;
use std::path::Path;

/// Names that several types have, and why.
const REASONS: &[(&str, &str)] = &[
    ("Options", "the command line of a program, or of a part of the bench, each read by itself"),
    ("Seams", "where fakes come into a process: each of the three has others"),
];

/// Where a type is declared.
struct Declared {
    place: String,
    /// `crates/NAME` and the like.
    home: String,
    /// Another file can see it.
    is_visible: bool,
}

/// All findings about names of types.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Untidy>> {
    let mut types: BTreeMap<String, Vec<Declared>> = BTreeMap::new();
    for file in tracked(root)?.iter().filter(|file| file.ends_with(".rs")) {
        if is_test(file) || file.contains("/gen/") {
            continue;
        }
        let Ok(source) = std::fs::read_to_string(root.join(file)) else { continue };
        declared(file, &source, &mut types);
    }
    Ok(judge(&types, REASONS))
}

/// Adds the types that `source` declares outside of functions, blocks and its own tests.
fn declared(file: &str, source: &str, types: &mut BTreeMap<String, Vec<Declared>>) {
    let home = file.split("/src/").next().unwrap_or(file).to_owned();
    for (number, line) in source.lines().take_while(|line| *line != "#[cfg(test)]").enumerate() {
        if line.starts_with(char::is_whitespace) {
            continue;
        }
        if let Some(name) = sources::declared_type(line) {
            let place = format!("{file}:{}", number + 1);
            let found = Declared { place, home: home.clone(), is_visible: line.starts_with("pub") };
            types.entry(name.to_owned()).or_default().push(found);
        }
    }
}

fn judge(types: &BTreeMap<String, Vec<Declared>>, reasons: &[(&str, &str)]) -> Vec<Untidy> {
    let mut found = Vec::new();
    for (name, places) in types {
        let clash = places.iter().enumerate().find_map(|(n, one)| {
            let mut others = places.iter().enumerate().filter(|(other, _)| *other != n);
            let clashes = |other: &Declared| other.is_visible || other.home == one.home;
            others.find(|(_, other)| one.is_visible && clashes(other)).map(|(_, other)| (one, other))
        });
        let reason = reasons.iter().find(|(allowed, _)| allowed == name);
        match (clash, reason) {
            (Some((one, other)), None) => found.push(Untidy::new(
                &other.place,
                format!(
                    "a second type {name}, as in {}: find a word of its own, or give a reason",
                    one.place
                ),
            )),
            (None, Some(_)) => found.push(Untidy::new(name, "is no double any more; take it off the list")),
            _ => {}
        }
    }
    for (name, _) in reasons.iter().filter(|(name, _)| !types.contains_key(*name)) {
        found.push(Untidy::new(*name, "is no type any more; take it off the list"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where something is found in files with these texts.
    fn check(files: &[(&str, &str)]) -> Vec<String> {
        check_with(&[], files)
    }

    fn check_with(reasons: &[(&str, &str)], files: &[(&str, &str)]) -> Vec<String> {
        let mut types = BTreeMap::new();
        for (file, source) in files {
            declared(file, source, &mut types);
        }
        judge(&types, reasons).into_iter().map(|untidy| untidy.place).collect()
    }

    #[test]
    fn a_name_that_others_see_is_there_once() {
        let (a, b) = ("crates/a/src/x.rs", "crates/b/src/y.rs");
        assert_eq!(
            check(&[(a, "pub struct State;"), (b, "pub(crate) enum State {}")]),
            ["crates/b/src/y.rs:1"]
        );
        assert_eq!(check(&[(a, "pub struct State;"), (b, "struct State;")]).len(), 0);
        assert_eq!(check(&[(a, "struct State;"), (b, "struct State;")]).len(), 0);
        assert_eq!(
            check(&[(a, "struct State;"), ("crates/a/src/z.rs", "pub(super) trait State {}")]).len(),
            1
        );
        assert_eq!(check(&[(a, "pub struct State;"), (b, "#[cfg(test)]\npub struct State;")]).len(), 0);
        assert_eq!(check(&[(a, "pub struct State;"), (b, "    pub type State = u8;")]).len(), 0);
    }

    #[test]
    fn a_reason_allows_a_double_and_goes_with_it() {
        let (a, b) = (("crates/a/src/x.rs", "pub struct State;"), ("crates/b/src/y.rs", "pub struct State;"));
        let reasons = [("State", "each has its own")];
        assert_eq!(check_with(&reasons, &[a, b]).len(), 0);
        assert_eq!(check_with(&reasons, &[a]), ["State"]);
        assert_eq!(check_with(&reasons, &[]), ["State"]);
    }
}
