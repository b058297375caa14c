//! The files of the workspace: what git tracks, or would.

use anyhow::Context;
use std::path::Path;
use std::process::Command;

/// Files of Rust and papers that git tracks, or would.
pub(crate) fn tracked(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.md"])
        .current_dir(root)
        .output()
        .context("run git ls-files")?;
    let listed = String::from_utf8(output.stdout).context("file names in UTF-8")?;
    Ok(listed.lines().filter(|file| root.join(file).exists()).map(str::to_owned).collect())
}

/// Whether a file holds tests only.
pub(crate) fn is_test(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("/tests.rs")
}
