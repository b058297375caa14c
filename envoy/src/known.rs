//! Differences that have a reason: rows of the tables of `docs/envoy-differences.md`.

use crate::seen::EnvoyDifference;
use anyhow::{Result, ensure};

/// The header of a table of differences.
const HEADER: &str = "| stories | of | Envoy | Leno | why |";

/// All rows.
#[derive(Debug, Default)]
pub(crate) struct KnownDifferences(Vec<Row>);

#[derive(Debug)]
struct Row {
    /// `TELLER STORY`, separated by commas; `*` stands for any text in all four.
    stories: Vec<String>,
    of: String,
    envoy: String,
    leno: String,
    is_used: bool,
}

impl KnownDifferences {
    /// Reads the document.
    ///
    /// # Errors
    /// A row without all of its columns; no table at all.
    pub(crate) fn parse(text: &str) -> Result<KnownDifferences> {
        let mut rows = Vec::new();
        let mut is_within = false;
        for line in text.lines() {
            let was_within = is_within;
            is_within = line == HEADER || (is_within && line.starts_with('|'));
            if !was_within || !is_within || line.starts_with("|---") {
                continue;
            }
            let columns: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [stories, of, envoy, leno, why] = columns[..] else {
                anyhow::bail!("a row with {} columns: {line}", columns.len());
            };
            ensure!(!why.is_empty(), "a row without a reason: {line}");
            let plain = |text: &str| text.trim_matches('`').to_owned();
            let stories = stories.split(", ").map(plain).collect();
            rows.push(Row { stories, of: plain(of), envoy: plain(envoy), leno: plain(leno), is_used: false });
        }
        ensure!(!rows.is_empty(), "there is no table that begins with {HEADER}");
        Ok(KnownDifferences(rows))
    }

    /// Whether a row has the reason. The first that fits is used.
    pub(crate) fn explains(&mut self, found: &EnvoyDifference) -> bool {
        let story = format!("{} {}", found.teller.name(), found.story);
        let fits = |row: &&mut Row| {
            row.stories.iter().any(|pattern| is_like(&story, pattern))
                && is_like(&found.of, &row.of)
                && is_like(&found.envoy, &row.envoy)
                && is_like(&found.leno, &row.leno)
        };
        let row = self.0.iter_mut().find(fits);
        row.is_some_and(|row| {
            row.is_used = true;
            true
        })
    }

    /// Rows that explained nothing.
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.0.iter().filter(|row| !row.is_used);
        unused.map(|row| format!("{} {}", row.stories.join(", "), row.of)).collect()
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((before, behind)) = pattern.split_once('*') else { return text == pattern };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.any(|at| is_like(&rest[at..], behind))
}

#[cfg(test)]
mod tests;
