//! Files and directories that a process writes: for its own user alone (0600, 0700), whatever the umask says.
//!
//! What is in them is no secret key, but names which service calls which, hashes of tokens and other people's requests.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Read and write for the owner, nothing for anybody else.
const FILE_MODE: u32 = 0o600;
/// The same for directories, which must be searched too.
const DIRECTORY_MODE: u32 = 0o700;

/// Options that create a file for its owner alone; one that is there already keeps its permissions.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Opens a file of ours for reading and writing, and makes it when it is not there. One that an earlier version
/// left open to others is closed to them.
///
/// # Errors
/// It cannot be opened, or its permissions cannot be changed.
pub fn open_own(path: &Path) -> io::Result<File> {
    let file = private().read(true).write(true).create(true).truncate(false).open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(mode & 0o700))?;
    }
    Ok(file)
}

/// Makes a directory and those above it that are missing, for their owner alone. One that is there already keeps
/// its permissions: whoever made it knows who else needs it.
///
/// # Errors
/// It cannot be made.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

#[cfg(test)]
mod tests;
