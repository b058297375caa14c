//! First bytes to protocol. Nothing is consumed: what was read is read again by whoever serves. Where nobody has
//! declared what is spoken, `flow::first_speaker` listens to both sides.

#[cfg(test)]
mod tests;

use bytes::BytesMut;
use codec::{ChunkIo, Io, Prefixed, Sniff, sniff};
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

/// A client that has begun with what could become HTTP must go on within this time, else it is opaque. One that has
/// said nothing is not waited for.
pub(crate) const SNIFF_TIMEOUT: Duration = Duration::from_millis(500);
/// A client of an HTTP port must have shown its version in this time, else the connection is closed.
pub(crate) const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read at most before it is decided; what is undecided then is opaque.
const SNIFF_BYTES_MAX: usize = 1024;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// HTTP/1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Anything else, TLS too.
    Opaque,
    /// On a port that is declared as HTTP: not enough to tell in the time that it had, so somebody who only holds the
    /// connection.
    Silent,
}

impl Detected {
    /// Whether requests come.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }
}

/// A connection whose first bytes are looked at.
pub(crate) struct Sniffer<I> {
    io: I,
    seen: BytesMut,
    /// When an undecided beginning becomes opaque.
    until: Option<Instant>,
}

impl<I: Io> Sniffer<I> {
    /// Nothing is read yet.
    pub(crate) fn new(io: I) -> Self {
        Self { io, seen: BytesMut::with_capacity(SNIFF_BYTES_MAX), until: None }
    }

    /// Waits until the client's bytes tell what it speaks, for as long as it says nothing. Its end is opaque. Dropping
    /// the future loses nothing.
    ///
    /// # Errors
    /// When reading fails.
    pub(crate) async fn spoken(&mut self) -> io::Result<Detected> {
        loop {
            if let Some(detected) = judge(&self.seen) {
                return Ok(detected);
            }
            let len = if self.seen.is_empty() {
                self.io.read_buf(&mut self.seen).await?
            } else {
                let until = *self.until.get_or_insert_with(|| Instant::now() + SNIFF_TIMEOUT);
                let Ok(read) = timeout_at(until, self.io.read_buf(&mut self.seen)).await else {
                    return Ok(Detected::Opaque);
                };
                read?
            };
            if len == 0 {
                return Ok(Detected::Opaque);
            }
        }
    }

    /// Waits until the connection fails, and reads ahead meanwhile. Dropping the future loses nothing.
    pub(crate) async fn fails(&mut self) -> io::Error {
        codec::stream::fails(&mut self.io, &mut self.seen).await
    }

    /// The connection, with what was read of it.
    pub(crate) fn into_io(self) -> Prefixed<I> {
        Prefixed::new(self.seen.freeze(), self.io)
    }
}

impl<I: ChunkIo> Sniffer<I> {
    /// The client shall see that bytes are missing, and no end.
    pub(crate) fn reset_on_drop(&mut self) {
        self.io.reset_on_drop();
    }
}

/// `None`: more is needed.
fn judge(seen: &[u8]) -> Option<Detected> {
    match sniff(seen) {
        Sniff::Http1 => Some(Detected::Http1),
        Sniff::Http2 => Some(Detected::Http2),
        Sniff::Tls | Sniff::Opaque => Some(Detected::Opaque),
        Sniff::NeedMore if seen.len() >= SNIFF_BYTES_MAX => Some(Detected::Opaque),
        Sniff::NeedMore => None,
    }
}

/// Reads until the protocol is known or `wait` is over, where HTTP is expected.
///
/// # Errors
/// When reading fails. A client that closes without a byte is opaque.
pub(crate) async fn detect<I: Io>(mut io: I, wait: Duration) -> io::Result<(Detected, Prefixed<I>)> {
    let until = Instant::now() + wait;
    let mut seen = BytesMut::with_capacity(SNIFF_BYTES_MAX);
    let detected = loop {
        if let Some(detected) = judge(&seen) {
            break detected;
        }
        match timeout_at(until, io.read_buf(&mut seen)).await {
            Err(_) => break Detected::Silent,
            Ok(Ok(0)) => break Detected::Opaque,
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    };
    Ok((detected, Prefixed::new(seen.freeze(), io)))
}
