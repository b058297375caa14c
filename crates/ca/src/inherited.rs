//! Descriptors that whoever started this process opened for it.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

/// Takes over an inherited descriptor. Standard input stays open beside what is returned.
///
/// # Errors
/// When it is not open.
pub(crate) fn take(fd: RawFd) -> io::Result<OwnedFd> {
    match fd {
        0 => return io::stdin().as_fd().try_clone_to_owned(),
        1 | 2 => return Err(io::Error::new(io::ErrorKind::InvalidInput, "standard output or error")),
        _ => {}
    }
    // To take over what is not open would end the process.
    std::fs::symlink_metadata(format!("/proc/self/fd/{fd}"))?;
    // SAFETY: whoever started this process opened the descriptor for it and named it for one use; nothing else
    // here uses it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
