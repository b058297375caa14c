//! The shape of files: length, head, names, and what must not be written.

use super::Untidy;
use crate::tracked::{is_test, tracked};
use anyhow::Context;
use std::path::Path;

/// Lines of a file, tests and generated code apart.
const FILE_LINES_MAX: usize = 500;
/// Lines of a file's `//!` head.
const HEAD_LINES_MAX: usize = 10;
/// With this comment and a reason a file may be longer.
const LONG_BECAUSE: &str = "// tidy: long because ";

/// Words that say nothing in the name of a type.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Util", "Utils", "Common", "Base", "Info", "Inner"];

/// All findings about source files that git tracks.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Untidy>> {
    let mut found = check_lexicon(root)?;
    for file in tracked(root)?.iter().filter(|file| file.ends_with(".rs")) {
        let Ok(source) = std::fs::read_to_string(root.join(file)) else { continue };
        if !file.contains("/gen/") {
            check_file(file, &source, &mut found);
        }
    }
    Ok(found)
}

fn check_file(file: &str, source: &str, found: &mut Vec<Untidy>) {
    let at = |line: usize| format!("{file}:{}", line + 1);
    let lines = source.lines().count();
    if !is_test(file) && lines > FILE_LINES_MAX && !source.contains(LONG_BECAUSE) {
        let why = format!("{lines} lines, more than {FILE_LINES_MAX}: split it, or say `{LONG_BECAUSE}...`");
        found.push(Untidy::new(file, why));
    }
    let head =
        source.lines().skip_while(|line| line.starts_with("#![")).take_while(|line| line.starts_with("//!"));
    match head.count() {
        0 if !is_test(file) => found.push(Untidy::new(file, "has no //! head: say its one job")),
        n if n > HEAD_LINES_MAX => found.push(Untidy::new(file, format!("its //! head has {n} lines"))),
        _ => {}
    }
    for (number, line) in source.lines().enumerate() {
        // Associated types are named by somebody else's trait.
        if let Some(name) = declared_type(line.strip_prefix("    type").map_or(line, |_| ""))
            && EMPTY_WORDS.iter().any(|word| name == *word || name.ends_with(word))
        {
            found.push(Untidy::new(at(number), format!("{name} says nothing: find the thing's own word")));
        }
        let marks = ["TODO", "FIXME", "XXX"];
        let marked = line.trim_start().starts_with("//") && marks.iter().any(|mark| line.contains(mark));
        if marked && !line.contains("TODO(#") && !file.starts_with("xtask/") {
            found.push(Untidy::new(at(number), "a mark without an issue: TODO(#123)"));
        }
        let sleeps = line.contains("thread::sleep(") || (is_test(file) && line.contains("time::sleep("));
        if sleeps && !file.starts_with("xtask/") && !WAITS.contains(&file) {
            found.push(Untidy::new(at(number), "a sleep: wait for the state itself, with a deadline"));
        }
    }
}

/// Those that may sleep: one looks at a state again and again until a deadline, for tests; one keeps a rate.
const WAITS: [&str; 2] = ["crates/lab/src/client/wait.rs", "bench/src/open_load.rs"];

/// The name in `pub struct Name`, `enum Name`, `trait Name`, `type Name`.
pub(super) fn declared_type(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    if !matches!(words.next()?, "struct" | "enum" | "trait" | "type") {
        return None;
    }
    words.next()?.split(|c: char| !c.is_alphanumeric()).next()
}

/// Every crate has its line in the lexicon, and no file is called after nothing.
fn check_lexicon(root: &Path) -> anyhow::Result<Vec<Untidy>> {
    let lexicon = std::fs::read_to_string(root.join("LEXICON.md")).context("read LEXICON.md")?;
    let mut found = Vec::new();
    for parent in ["crates", "bin"] {
        for entry in std::fs::read_dir(root.join(parent)).with_context(|| format!("list {parent}"))? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if !lexicon.contains(&format!("| `{name}` |")) {
                found.push(Untidy::new(format!("{parent}/{name}"), "has no line in LEXICON.md"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_breach() {
        let check = |file: &str, source: &str| {
            let mut found = Vec::new();
            check_file(file, source, &mut found);
            found.into_iter().map(|untidy| format!("{}: {}", untidy.place, untidy.text)).collect::<String>()
        };
        let head = "//! Its job.\n";
        assert_eq!(check("a.rs", head), "");
        assert!(check("a.rs", "fn f() {}\n").contains("no //! head"));
        assert!(check("a.rs", &format!("{head}{}", "\n".repeat(500))).contains("501 lines"));
        assert_eq!(check("a.rs", &format!("{head}{LONG_BECAUSE}of a table\n{}", "\n".repeat(500))), "");
        assert!(check("a.rs", &format!("{head}pub struct RouteManager;\n")).contains("a.rs:2: RouteManager"));
        assert!(check("a.rs", &format!("{head}// TODO: later\n")).contains("without an issue"));
        assert_eq!(check("a.rs", &format!("{head}// TODO(#7): later\n")), "");
        assert!(check("x/tests.rs", "tokio::time::sleep(d).await;\n").contains("a sleep"));
    }
}
