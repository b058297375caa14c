//! What the papers name is there: paths, and functions that a table says are in a file.

use super::Untidy;
use crate::tracked::tracked;
use anyhow::Context;
use std::path::Path;

/// All findings about paths and functions that ARCHITECTURE.md, LEXICON.md and docs/ name.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Untidy>> {
    let mut found = Vec::new();
    for paper in tracked(root)?.iter().filter(|file| file.ends_with(".md")) {
        if paper == "CHANGELOG.md" {
            continue; // It tells of what was.
        }
        let text = std::fs::read_to_string(root.join(paper)).with_context(|| format!("read {paper}"))?;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{paper}:{}", number + 1);
            let wrong = line_findings(line, |path| std::fs::read_to_string(root.join(path)).ok());
            found.extend(wrong.into_iter().map(|text| Untidy::new(&place, text)));
        }
    }
    Ok(found)
}

/// What is wrong in a line; `read` gives a file's text.
fn line_findings(line: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    // Every second piece between back-quotes is quoted.
    let pieces: Vec<&str> = line.split('`').collect();
    let is_path = |text: &str| {
        let roots = ["crates/", "bin/", "bench/", "xtask/"];
        text.ends_with(".rs") && roots.iter().any(|root| text.starts_with(root)) && !text.contains('*')
    };
    for at in (1..pieces.len()).step_by(2).filter(|at| is_path(pieces[*at])) {
        let path = pieces[at];
        let Some(source) = read(path) else {
            found.push(format!("names {path}, which is not there"));
            continue;
        };
        for name in functions(&pieces[..at]) {
            let last = name.rsplit("::").next().unwrap_or(name);
            if !defines(&source, last) {
                found.push(format!("names `{name}` in {path}, which has no such thing"));
            }
        }
    }
    found
}

/// The names right before a path: "`a` and `b` in `path`", "`a`, `b` in `path`".
fn functions<'l>(before: &[&'l str]) -> Vec<&'l str> {
    let mut names = Vec::new();
    let mut at = before.len();
    let mut joins = [" in "].as_slice();
    while at >= 2 && joins.contains(&before[at - 1]) && !before[at - 2].contains('/') {
        names.push(before[at - 2]);
        joins = &[" and ", ", "];
        at -= 2;
    }
    names
}

/// Whether `source` defines `name`: a function, type, constant, or a variant.
fn defines(source: &str, name: &str) -> bool {
    let words = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod", "macro_rules!"];
    let is_whole = |text: &str| !text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    words.iter().any(|word| {
        let text = format!("{word} {name}");
        source.match_indices(&text).any(|(at, _)| is_whole(&source[at + text.len()..]))
    }) || source.lines().any(|line| is_member(line, name))
}

/// Whether a line within something declares the variant or field `name`.
fn is_member(line: &str, name: &str) -> bool {
    let line = line.strip_prefix("    ").map(str::trim_start).unwrap_or_default();
    let rest = line.strip_prefix("pub ").unwrap_or(line).strip_prefix(name);
    rest.is_some_and(|rest| rest.starts_with([',', ' ', '(', ':']))
}

#[cfg(test)]
mod tests {
    use super::line_findings;

    #[test]
    fn a_path_or_a_function_that_is_not_there_is_found() {
        let read = |path: &str| (path == "crates/a/src/b.rs").then(|| "pub fn follow() {}".to_owned());
        let count = |line: &str| line_findings(line, read).len();
        assert_eq!(count("`follow` in `crates/a/src/b.rs`"), 0);
        assert_eq!(count("`follo` in `crates/a/src/b.rs`"), 1);
        assert_eq!(count("`gone`, `away` and `follow` in `crates/a/src/b.rs`"), 2);
        assert_eq!(count("see `crates/a/src/c.rs`"), 1);
        assert_eq!(count("`a.b` of `docs/x.md`, `crates/a/src/*.rs`"), 0);
    }
}
