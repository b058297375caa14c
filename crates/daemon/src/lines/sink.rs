//! Where lines go to: a file of our own, or an output that was handed to the process.

use crate::files;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Takes bytes; used by one thread, which it may keep waiting.
pub trait Sink: Write + Send {
    /// Takes back the last `bytes` that were written.
    ///
    /// # Errors
    /// It cannot, or it is not sure that they are the last; then nothing was changed.
    fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        let _ = bytes;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A file that is appended to.
struct Appended(File);

/// An output of the process. Others may write there too, so nothing is taken back.
struct Output(File);

/// A file for appending, which is made for its owner alone when it is not there.
///
/// # Errors
/// It cannot be opened.
pub fn append(path: &Path) -> io::Result<impl Sink + use<>> {
    Ok(Appended(files::private().create(true).append(true).open(path)?))
}

/// Standard output or standard error, past the lock and the buffer that this program has for it: who holds that
/// lock while nobody reads would stop everybody else.
///
/// # Errors
/// No descriptor is left.
pub fn output(stream: BorrowedFd<'_>) -> io::Result<impl Sink + use<>> {
    let copy: OwnedFd = stream.try_clone_to_owned()?;
    Ok(Output(copy.into()))
}

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Appended {
    fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        // After a write, the position is where that ended; somebody else's bytes may stand behind.
        let end = self.0.stream_position()?;
        if end != self.0.metadata()?.len() {
            return Err(io::Error::other("somebody else writes to the same file"));
        }
        self.0.set_len(end.saturating_sub(bytes))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Whoever shares this output has made it so.
                    let mut room = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
                    poll(&mut room, PollTimeout::NONE)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Output {}
