//! What the database says when it cannot, as what a user can do about it.

use crate::store::StoreError;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Runs what reads a file that may be damaged: a panic of the database is an error like any other.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    // What was open is opened anew after an error, so nothing half done is met again.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(redb::Error::Corrupted("the database gave up on it".into())))
}

/// An error about the file at `path`.
pub(super) fn of(path: &Path, cause: redb::Error) -> StoreError {
    let path = path.into();
    match cause {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
        redb::Error::Io(cause) => match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full { path, cause }
            }
            // It is shorter than it says, or does not begin as it should.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                StoreError::Damaged { path, cause: cause.into() }
            }
            _ => StoreError::Io { path, cause },
        },
        cause => StoreError::Damaged { path, cause: cause.into() },
    }
}
