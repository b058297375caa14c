//! `cargo xtask tidy`: what a compiler does not check. One line per finding; exit 1 when there is any.
//!
//! `arrows` holds the layers of the design, `crates` what may be linked, `circles` which file may use which within a crate,
//! `sources` the shape of files, `types` that a type's name is found once, `papers` that what the papers name is there.

mod arrows;
mod circles;
mod crates;
mod papers;
mod sources;
mod types;

use crate::files;
use anyhow::Context;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What is out of order: where, and what to do.
pub(crate) struct Untidy {
    /// A file with a line, or a crate.
    pub place: String,
    /// What is wrong and what to do about it.
    pub text: String,
}

impl Untidy {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }
}

/// Runs all checks on the workspace in `root`.
pub(crate) fn run(root: &Path) -> anyhow::Result<ExitCode> {
    let metadata = metadata(root)?;
    let mut found = arrows::check(&metadata)?;
    found.extend(crates::check(root)?);
    found.extend(circles::check(root)?);
    found.extend(sources::check(root)?);
    found.extend(types::check(root)?);
    found.extend(papers::check(root)?);
    let page = std::fs::read_to_string(root.join(files::PAGE)).unwrap_or_default();
    if page != files::page(root)? {
        found.push(Untidy::new(files::PAGE, "is not what the files say: run `cargo xtask files`"));
    }
    for untidy in &found {
        println!("{}: {}", untidy.place, untidy.text);
    }
    println!("tidy: {} findings", found.len());
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let target = "x86_64-unknown-linux-gnu";
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("read cargo metadata")
}

/// The array at `key`, or nothing.
fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The text at `key`, or nothing.
fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
