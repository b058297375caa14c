//! A backup becomes a state directory again, on this host or another one, while no plane runs on it.
//!
//! The backup is read to its end and checked before anything is written.

use super::{BackupError, BackupHead, read};
use crate::disk::{DiskStore, beside};
use crate::store::{StoreError, StoreSnapshot};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

/// States that were moved aside in one directory at most; more are refused.
const REPLACED_MAX: usize = 100;

/// What may become of state that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is restored.
    Refuse,
    /// It is moved aside.
    Replace,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub head: BackupHead,
    /// The state file.
    pub path: PathBuf,
    /// How many rows it has.
    pub rows: usize,
    /// Where the state is now that was there before.
    pub replaced: Option<PathBuf>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be used.
    #[error("restore {path}")]
    Backup {
        /// The backup.
        path: PathBuf,
        /// Why.
        #[source]
        cause: BackupError,
    },
    /// There is state already.
    #[error("{0} is there already; name another directory, or add --replace, which moves that file aside")]
    Exists(PathBuf),
    /// There is no more room for what was there before.
    #[error("{REPLACED_MAX} earlier states are beside {0} already; remove those that nobody needs")]
    TooMany(PathBuf),
    /// Something could not be written.
    #[error("write {path}")]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The state file could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the state of `backup` that of `directory`, which is made if it is missing.
///
/// # Errors
/// See [`RestoreError`]; the state in `directory` is then what it was.
pub fn restore(backup: &Path, directory: &Path, existing: Existing) -> Result<Restored, RestoreError> {
    let mut rows = Vec::new();
    let file = File::open(backup).map_err(BackupError::Read);
    let head = file.and_then(|file| {
        read(BufReader::new(file), |table, row| {
            rows.push((table, row));
            Ok(())
        })
    });
    let head = head.map_err(|cause| RestoreError::Backup { path: backup.into(), cause })?;
    daemon::files::make_directory(directory).map_err(failed(directory))?;
    let path = directory.join(head.plane.file_name());
    let is_there = path.try_exists().map_err(failed(&path))?;
    if is_there && existing == Existing::Refuse {
        return Err(RestoreError::Exists(path));
    }
    // What is damaged may be replaced, what somebody has open may not.
    if is_there && DiskStore::is_in_use(&path) {
        return Err(StoreError::InUse { path }.into());
    }
    let new = beside(&path, ".restored");
    let count = rows.len();
    DiskStore::create_from(&new, head.format, &StoreSnapshot { revision: head.revision, rows })?;
    let placed = put_in_place(&new, &path, directory, is_there);
    // What is left of it is of no use, and in nobody's way.
    let replaced = placed.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
    Ok(Restored { head, path, rows: count, replaced })
}

/// Makes the file `new` the state at `path`. The result is where the state is now that was there before.
fn put_in_place(
    new: &Path,
    path: &Path,
    directory: &Path,
    is_there: bool,
) -> Result<Option<PathBuf>, RestoreError> {
    // Root may restore for the user that the plane runs as. Whatever that user makes of names meanwhile, nobody else's
    // file is given to him.
    let owner = directory.metadata().map_err(failed(directory))?;
    lchown(new, Some(owner.uid()), Some(owner.gid())).map_err(failed(new))?;
    let replaced = if is_there {
        let replaced = keep_aside(path)?;
        std::fs::rename(new, path).map_err(failed(path))?;
        Some(replaced)
    } else {
        // A plane that has started since has made a state of its own.
        std::fs::hard_link(new, path).map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => RestoreError::Exists(path.into()),
            _ => failed(path)(cause),
        })?;
        std::fs::remove_file(new).map_err(failed(new))?;
        None
    };
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed(directory))?;
    Ok(replaced)
}

/// Gives a state a second name that nothing has, so that at no moment there is no state: a plane that started then would
/// make an empty one.
fn keep_aside(path: &Path) -> Result<PathBuf, RestoreError> {
    for number in 1..=REPLACED_MAX {
        let aside = match number {
            1 => beside(path, ".replaced"),
            _ => beside(path, &format!(".replaced-{number}")),
        };
        match std::fs::hard_link(path, &aside) {
            Ok(()) => return Ok(aside),
            // The state before this one, which may be the one that is wanted back.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(failed(&aside)(cause)),
        }
    }
    Err(RestoreError::TooMany(path.into()))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |cause| RestoreError::Write { path, cause }
}

#[cfg(test)]
mod tests;
