//! A backup becomes a state directory again, on this host or another one, while no plane runs on it.
//!
//! The backup is read to its end and checked before anything is written.

use super::{BackupError, BackupHead, read};
use crate::disk::DiskStore;
use crate::store::{StoreError, StoreSnapshot};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

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
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| RestoreError::Write { path, cause }
    };
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
    let new = directory.join(format!("{}.restored", head.plane.file_name()));
    let count = rows.len();
    DiskStore::create_from(&new, head.format, &StoreSnapshot { revision: head.revision, rows })?;
    // Root may restore for the user that the plane runs as.
    let owner = directory.metadata().map_err(failed(directory))?;
    let own = new.metadata().map_err(failed(&new))?;
    if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) {
        chown(&new, Some(owner.uid()), Some(owner.gid())).map_err(failed(&new))?;
    }
    let replaced = is_there.then(|| directory.join(format!("{}.replaced", head.plane.file_name())));
    if let Some(replaced) = &replaced {
        // A second name, so that at no moment there is no state: a plane that started then would make an empty one.
        match std::fs::remove_file(replaced) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(replaced)(cause)),
            _ => std::fs::hard_link(&path, replaced).map_err(failed(replaced))?,
        }
    }
    std::fs::rename(&new, &path).map_err(failed(&path))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed(directory))?;
    Ok(Restored { head, path, rows: count, replaced })
}

#[cfg(test)]
mod tests;
