//! Something made of files, made anew when they have changed. While they cannot be read, what was made last counts.

use crate::files::ApiFileError;
use daemon::repeated::Repeated;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

static NOT_REREAD: Repeated = Repeated::new();

/// By what a change of a file is told: where it is, how large, and when it was changed, in nanoseconds.
type Stamp = Vec<Option<(u64, u64, u64, i64, i64)>>;

/// Makes it of the files.
type Make<T> = Box<dyn Fn() -> Result<T, ApiFileError> + Send + Sync>;

/// What was made of files.
pub(crate) struct Reread<T> {
    files: Vec<PathBuf>,
    make: Make<T>,
    held: Mutex<(Stamp, Arc<T>)>,
}

impl<T> Reread<T> {
    /// Made for the first time.
    pub(crate) fn new(
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T, ApiFileError> + Send + Sync + 'static,
    ) -> Result<Self, ApiFileError> {
        // Looked at first: what changes meanwhile is made anew at the next look.
        let held = Mutex::new((stamp(&files), Arc::new(make()?)));
        Ok(Self { files, make: Box::new(make), held })
    }

    /// As the files are now.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.files);
        if now != held.0 {
            match (self.make)() {
                Ok(made) => *held = (now, Arc::new(made)),
                // Asked again each time, so the line is repeated until it is mended.
                Err(error) => {
                    if let Some(held_back) = NOT_REREAD.admit(Instant::now()) {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%error, cause, held_back, "what was read before stays in force");
                    }
                }
            }
        }
        Arc::clone(&held.1)
    }
}

fn stamp(files: &[PathBuf]) -> Stamp {
    let of = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        let changed = (found.ctime() * 1_000_000_000).saturating_add(found.ctime_nsec());
        let written = (found.mtime() * 1_000_000_000).saturating_add(found.mtime_nsec());
        Some((found.dev(), found.ino(), found.len(), changed, written))
    };
    files.iter().map(of).collect()
}
