//! How a connection is closed so that the client can read what was sent last: a close with unread bytes would be a
//! reset.

use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::{BoxIo, ServeError};

/// How long, and for how many bytes, the end of a connection waits for a client that was refused or failed to
/// read our last words.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
const CLOSE_BYTES_MAX: u64 = 256 * 1024;
/// How long the rest of a request is read and dropped that was answered before it had come; many clients read
/// nothing until they have written all. nginx's default of `lingering_time`, with its meaning.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// How long such a client may send nothing. nginx's default of `lingering_timeout`.
const LINGER_SILENCE_MAX: Duration = Duration::from_secs(5);

/// What is still taken from a client after our last word to it.
pub(super) struct Linger {
    total: Duration,
    silence: Duration,
    bytes: u64,
}

impl Linger {
    /// After serving has `ended`; `is_whole`: the last request had come as a whole. `None`: nothing more is said.
    pub(super) fn after(ended: &Result<(), ServeError>, is_whole: bool) -> Option<Self> {
        match ended {
            Err(ServeError::HeaderTimeout | ServeError::Io(_)) => None,
            Ok(()) if is_whole => Some(Linger { total: CLOSE_WAIT, silence: CLOSE_WAIT, bytes: 0 }),
            // Answered in full, and said that this is the end.
            Ok(()) => Some(Linger { total: LINGER_MAX, silence: LINGER_SILENCE_MAX, bytes: u64::MAX }),
            Err(_) => Some(Linger { total: CLOSE_WAIT, silence: CLOSE_WAIT, bytes: CLOSE_BYTES_MAX }),
        }
    }

    /// Ends our side, and waits for the client's end.
    pub(super) async fn close(&self, mut io: BoxIo) {
        let _ = timeout(self.total, pin!(self.read_on(&mut io))).await;
    }

    async fn read_on(&self, io: &mut BoxIo) {
        let _ = io.shutdown().await;
        let mut buffer = [0; 4096];
        let mut left = self.bytes;
        while left > 0 {
            let Ok(Ok(len @ 1..)) = timeout(self.silence, io.read(&mut buffer)).await else { return };
            left = left.saturating_sub(len as u64);
        }
    }
}
