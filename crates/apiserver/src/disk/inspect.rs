//! Opens a state file on trial: all of it is read and checked, and not a byte of it is written.
//!
//! The database repairs what it opens, in place. Here what it writes stays in memory and is thrown away, so a file
//! that is damaged remains as it was for whoever looks at it, or has a better program for it.

use super::errors;
use super::format::{self, FileVersion};
use crate::store::StoreError;
use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a repair may write, in bytes; a sound file needs little, so one that makes us write more is damaged.
const WRITTEN_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Unit in which it is kept, in bytes.
const BLOCK_BYTES: usize = 4096;
/// Memory for pages while a file is checked, in bytes.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Reads and checks all of `file`, which lies at `path`.
///
/// # Errors
/// It cannot be used; it is as it was.
pub(super) fn inspect(path: &Path, file: File) -> Result<FileVersion, StoreError> {
    let version = errors::caught(|| {
        let file_bytes = file.metadata()?.len();
        let state = Mutex::new(Overlay { blocks: BTreeMap::new(), bytes: file_bytes, file_bytes });
        let on_trial = TrialBackend { file: FileBackend::new(file)?, state };
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        format::read_version(&builder.create_with_backend(on_trial)?)
    });
    match version {
        Ok(Some(version)) => Ok(version),
        Ok(None) => Err(StoreError::Damaged {
            path: path.into(),
            cause: "it does not say which format it has".into(),
        }),
        Err(cause) => Err(errors::of(path, cause)),
    }
}

/// The file with what was written over it.
#[derive(Debug)]
struct TrialBackend {
    file: FileBackend,
    state: Mutex<Overlay>,
}

#[derive(Debug)]
struct Overlay {
    /// By their number.
    blocks: BTreeMap<u64, Box<[u8; BLOCK_BYTES]>>,
    /// How long all of it is.
    bytes: u64,
    /// How much of the file still counts.
    file_bytes: u64,
}

impl TrialBackend {
    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One block as it is now.
    fn block(&self, overlay: &Overlay, number: u64) -> io::Result<Box<[u8; BLOCK_BYTES]>> {
        if let Some(written) = overlay.blocks.get(&number) {
            return Ok(written.clone());
        }
        let mut block = Box::new([0; BLOCK_BYTES]);
        let start = number * BLOCK_BYTES as u64;
        let inside = overlay.file_bytes.saturating_sub(start).min(BLOCK_BYTES as u64);
        if let Some(part) = block.get_mut(..inside as usize) {
            self.file.read(start, part)?;
        }
        Ok(block)
    }

    /// Calls `each` with the blocks that `bytes` bytes from `offset` on touch: number, where in the block, how many.
    fn parts(
        offset: u64,
        bytes: usize,
        mut each: impl FnMut(u64, usize, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut at, end) = (offset, offset + bytes as u64);
        while at < end {
            let within = (at % BLOCK_BYTES as u64) as usize;
            let count = (BLOCK_BYTES - within).min((end - at) as usize);
            each(at / BLOCK_BYTES as u64, within, count)?;
            at += count as u64;
        }
        Ok(())
    }
}

impl StorageBackend for TrialBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.overlay().bytes)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let overlay = self.overlay();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > overlay.bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::parts(offset, out.len(), |number, within, count| {
            let block = self.block(&overlay, number)?;
            let (part, rest) = std::mem::take(&mut out).split_at_mut(count);
            part.copy_from_slice(block.get(within..within + count).unwrap_or_default());
            out = rest;
            Ok(())
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut overlay = self.overlay();
        if bytes < overlay.bytes {
            overlay.file_bytes = overlay.file_bytes.min(bytes);
            let gone = bytes.div_ceil(BLOCK_BYTES as u64);
            overlay.blocks.split_off(&gone);
            let (last, within) = (bytes / BLOCK_BYTES as u64, (bytes % BLOCK_BYTES as u64) as usize);
            // What comes there again is zero.
            if let Some(block) = overlay.blocks.get_mut(&last) {
                block.iter_mut().skip(within).for_each(|byte| *byte = 0);
            }
        }
        overlay.bytes = bytes;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut overlay = self.overlay();
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > overlay.bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Self::parts(offset, data.len(), |number, within, count| {
            if overlay.blocks.len() * BLOCK_BYTES >= WRITTEN_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its repair has no end"));
            }
            let mut block = self.block(&overlay, number)?;
            let (part, rest) = data.split_at(count);
            block.iter_mut().skip(within).zip(part).for_each(|(to, from)| *to = *from);
            overlay.blocks.insert(number, block);
            data = rest;
            Ok(())
        })
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // Whether somebody else has the file is a matter of the file.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests;
