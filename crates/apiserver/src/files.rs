//! Files that somebody else keeps: read whole, within a limit; those with secrets only if nobody else can read them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum ApiFileError {
    /// Not there, or not readable.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It is too large.
    #[error("{0} has more than {FILE_BYTES_MAX} bytes")]
    TooLarge(PathBuf),
    /// Others can read it, or change it.
    #[error("{path} has a secret in it and the mode {mode:o}: others can read or change it; chmod 600 it")]
    Open {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Others can change it.
    #[error("{path} has the mode {mode:o}: others can change it; chmod go-w it")]
    Changeable {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else could change it.
    #[error("{path} belongs to uid {uid}; it must be root's or of the user that this process runs as")]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// What is in it makes no sense.
    #[error("{path}{at}: {told}")]
    Content {
        /// Which.
        path: PathBuf,
        /// The line, as `:LINE`; empty where there is none.
        at: String,
        /// What is wrong. Never what is there.
        told: String,
    },
}

/// What a file holds for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrecy {
    Public,
    Secret,
}

/// The whole file.
pub(crate) fn read(path: &Path, secrecy: Secrecy) -> Result<Vec<u8>, ApiFileError> {
    let failed = |cause| ApiFileError::Read { path: path.into(), cause };
    let file = File::open(path).map_err(failed)?;
    // Of what was opened: the name may mean another one by now.
    let found = file.metadata().map_err(failed)?;
    check(path, secrecy, found.mode() & 0o7777, found.uid())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(ApiFileError::TooLarge(path.into())),
        false => Ok(bytes),
    }
}

/// As PostgreSQL has it: the user's own is for him alone, root's may be for one group to read. What is no secret says whom
/// to believe, so nobody else may write it.
fn check(path: &Path, secrecy: Secrecy, mode: u32, uid: u32) -> Result<(), ApiFileError> {
    if !daemon::users::is_trusted(uid) {
        return Err(ApiFileError::Foreign { path: path.into(), uid });
    }
    if secrecy == Secrecy::Public {
        return match mode & 0o022 {
            0 => Ok(()),
            _ => Err(ApiFileError::Changeable { path: path.into(), mode }),
        };
    }
    let allowed = if uid == 0 { 0o740 } else { 0o700 };
    match mode & 0o777 & !allowed {
        0 => Ok(()),
        _ => Err(ApiFileError::Open { path: path.into(), mode }),
    }
}
