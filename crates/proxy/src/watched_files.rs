//! Files that may be replaced at any time: read again when one of them is another than before.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Largest file of a certificate, a key or authorities, in bytes; a larger one is refused.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Tells whether a file is still the one that was read: device, inode, length, and when it last changed.
pub(crate) type FileStamp = (u64, u64, u64, i64, i64, i64, i64);

/// What a path leads to now; `None`: nothing that can be looked at.
pub(crate) fn stamp(path: &str) -> Option<FileStamp> {
    let found = fs::metadata(path).ok()?;
    Some((
        found.dev(),
        found.ino(),
        found.len(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ))
}

/// The whole of a regular file, wiped when it is let go. Never waits for a writer, as a pipe would.
pub(crate) fn read(path: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(Path::new(path))?;
    // With room for all of it: what grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_BYTES_MAX).unwrap_or(0) + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(content)
}
