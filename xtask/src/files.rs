//! `docs/files.md`: each file of the workspace with the first sentence of its `//!` head. `tidy` refuses an old one.

use crate::tracked::{is_test, tracked};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The page, from the top of the workspace.
pub(crate) const PAGE: &str = "docs/files.md";

const HEAD: &str = "# Files

Made by `cargo xtask files` from the first sentence of each file's `//!` head: change that, not this page.
Tests lie beside what they test, in `x/tests.rs`; generated code is left out. The way through: [ARCHITECTURE.md](../ARCHITECTURE.md).
";

/// Writes the page.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    std::fs::write(root.join(PAGE), page(root)?).with_context(|| format!("write {PAGE}"))
}

/// The page as it should be.
pub(crate) fn page(root: &Path) -> anyhow::Result<String> {
    let mut crates: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for file in tracked(root)? {
        let Some((home, path)) = file.split_once("/src/") else { continue };
        if !file.ends_with(".rs") || is_test(&file) || path.starts_with("gen/") {
            continue;
        }
        let source = std::fs::read_to_string(root.join(&file)).with_context(|| format!("read {file}"))?;
        crates.entry(home.to_owned()).or_default().push((path.to_owned(), first_sentence(&source)));
    }
    let mut page = HEAD.to_owned();
    for (home, mut files) in crates {
        // A file stands before its folder.
        files.sort_by_key(|(path, _)| path.trim_end_matches(".rs").to_owned());
        write!(page, "\n## {home}\n\n| file | what |\n|---|---|\n")?;
        for (path, sentence) in files {
            writeln!(page, "| [`{path}`](../{home}/src/{path}) | {} |", sentence.replace('|', "\\|"))?;
        }
    }
    Ok(page)
}

/// The first sentence of the `//!` head.
fn first_sentence(source: &str) -> String {
    let lines = source.lines().skip_while(|line| line.starts_with("#!["));
    let head = lines.map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let text = head.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    // A crate's layer says nothing of what it is for.
    let text = match text.split_once(". ") {
        Some((layer, rest)) if layer.starts_with("Layer ") => rest.to_owned(),
        _ => text,
    };
    let end = text.match_indices(". ").map(|(at, _)| at).find(|at| !text[..*at].ends_with("e.g"));
    end.map_or(text.clone(), |end| text[..=end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::first_sentence;

    #[test]
    fn the_first_sentence_of_a_head() {
        let check = |source: &str, sentence: &str| assert_eq!(first_sentence(source), sentence);
        check("//! One job. And more.\nfn f() {}", "One job.");
        check("//! Over\n//! two lines.\n//!\n//! More.\n", "Over two lines.");
        check("#![cfg(unix)]\n//! Without an end\n", "Without an end");
        check("fn f() {}", "");
    }
}
