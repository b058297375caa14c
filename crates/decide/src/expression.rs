//! Regular expressions as users write them (RE2's syntax, near enough), compiled within a limit.

use model::route::Pattern;
use regex::{Captures, Regex, RegexBuilder};

/// Largest compiled regular expression, in bytes; one that needs more matches nothing.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// One that must match the whole text; `None` when it is invalid or too large.
pub(crate) fn whole(pattern: &Pattern) -> Option<Regex> {
    // Alone first: `a)(b` must not become valid by our brackets.
    part(pattern)?;
    build(&format!("^(?:{})$", pattern.0))
}

/// One that may match any part of a text.
pub(crate) fn part(pattern: &Pattern) -> Option<Regex> {
    build(&pattern.0)
}

fn build(text: &str) -> Option<Regex> {
    RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build().ok()
}

/// `text` with every match replaced by `substitution`, in which `\0` is all of the match, `\1` to `\9` are its groups
/// and `\\` is one `\` (RE2's `GlobalReplace`). A group that there is not is empty.
pub(crate) fn replace(regex: &Regex, text: &str, substitution: &str) -> String {
    let expand = |found: &Captures<'_>| {
        let mut expanded = String::with_capacity(substitution.len());
        let mut characters = substitution.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                expanded.push(character);
                continue;
            }
            match characters.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    let group = digit.to_digit(10).and_then(|group| found.get(group as usize));
                    expanded.push_str(group.map_or("", |group| group.as_str()));
                }
                Some(other) => expanded.push(other),
                None => {}
            }
        }
        expanded
    };
    regex.replace_all(text, expand).into_owned()
}
