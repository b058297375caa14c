//! One process at a time keeps a host's capture: a file that it holds locked for as long as it lives, with its number.
//!
//! The lock is what counts. A number alone may belong to another process by now.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Longest text of a process id.
const TEXT_BYTES_MAX: u64 = 16;
/// Opening follows no link to somewhere else.
const NOFOLLOW: i32 = nix::libc::O_NOFOLLOW;

/// Why the place cannot be had.
#[derive(Debug)]
pub(crate) enum ClaimError {
    /// This process has it.
    Kept(i32),
    /// The file cannot be written.
    File(io::Error),
}

impl From<io::Error> for ClaimError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// That we keep this host. The file stays, and says nothing when nobody does.
pub(crate) struct Claim(File);

impl Claim {
    /// Takes the place.
    pub(crate) fn make(path: &Path) -> Result<Self, ClaimError> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(NOFOLLOW);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ClaimError::Kept(number(&mut file).unwrap_or(0)));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self(file))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = self.0.set_len(0);
    }
}

/// The process that keeps this host, if any does.
pub(crate) fn keeper(path: &Path) -> io::Result<Option<i32>> {
    let mut file = match OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => number(&mut file).map(Some).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is locked and names no process", path.display()),
            )
        }),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn number(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(TEXT_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests;
