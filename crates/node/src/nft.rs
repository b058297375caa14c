//! Runs `nft` with a script on its standard input; one script is one transaction.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Directories searched after `PATH`: ordinary users of Debian do not have the sbin directories in theirs.
const SBIN: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Why a change of the rules did not happen. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not installed.
    #[error("nft is not installed; install it with: apt install nftables")]
    Missing,
    /// The caller may not change rules in this network namespace.
    #[error("changing nftables rules is not permitted here (CAP_NET_ADMIN is needed): {0}")]
    NotPermitted(String),
    /// The kernel or `nft` refused the rules.
    #[error("nft refused the rules: {0}")]
    Refused(String),
    /// The program did not run.
    #[error("run nft")]
    Run(#[source] io::Error),
}

/// Finds `nft` in `PATH` or the sbin directories.
pub fn find() -> Result<PathBuf, NftError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SBIN.iter().map(PathBuf::from))
        .map(|directory| directory.join("nft"))
        .find(|candidate| candidate.is_file())
        .ok_or(NftError::Missing)
}

/// Applies `script` as one transaction: all of it or nothing. Blocks until `nft` has ended.
pub fn apply(script: &str) -> Result<(), NftError> {
    run(script, &["-f", "-"])
}

/// Asks whether `script` could be applied. Blocks until `nft` has ended.
pub fn check(script: &str) -> Result<(), NftError> {
    run(script, &["-c", "-f", "-"])
}

fn run(script: &str, arguments: &[&str]) -> Result<(), NftError> {
    let mut child = Command::new(find()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NftError::Run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A refusal closes the pipe early; the exit status says why.
        let _ = stdin.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().map_err(NftError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(classify(&String::from_utf8_lossy(&output.stderr)))
}

/// Turns what `nft` wrote to its standard error into a reason.
fn classify(stderr: &str) -> NftError {
    let first = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim().to_owned();
    if stderr.contains("Operation not permitted") || stderr.contains("must be root") {
        NftError::NotPermitted(first)
    } else {
        NftError::Refused(first)
    }
}

#[cfg(test)]
mod tests;
