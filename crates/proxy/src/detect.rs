//! First bytes to protocol. Nothing is consumed: what was read is read again by whoever serves.

#[cfg(test)]
mod tests;

use bytes::BytesMut;
use codec::{Io, Prefixed, Sniff, sniff};
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

/// After this time a silent client of an undeclared port counts as opaque TCP: its server speaks first.
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
    /// Not enough to tell in the time that it had. On a port whose servers may speak first that is opaque, on an
    /// HTTP port somebody who only holds the connection.
    Silent,
}

/// Reads until the protocol is known or `wait` is over.
///
/// # Errors
/// When reading fails. A client that closes without a byte is opaque.
pub(crate) async fn detect<I: Io>(mut io: I, wait: Duration) -> io::Result<(Detected, Prefixed<I>)> {
    let until = Instant::now() + wait;
    let mut seen = BytesMut::with_capacity(SNIFF_BYTES_MAX);
    let detected = loop {
        match sniff(&seen) {
            Sniff::Http1 => break Detected::Http1,
            Sniff::Http2 => break Detected::Http2,
            Sniff::Tls | Sniff::Opaque => break Detected::Opaque,
            Sniff::NeedMore if seen.len() >= SNIFF_BYTES_MAX => break Detected::Opaque,
            Sniff::NeedMore => {}
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
