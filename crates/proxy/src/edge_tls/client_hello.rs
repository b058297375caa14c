//! The first message of TLS, read once: the server name in it says which listener is meant, before anything is
//! answered. Whoever passes the connection on finds every byte; whoever ends TLS here need not read it again.

use bytes::{Bytes, BytesMut};
use codec::{Io, Prefixed};
use rustls::server::{Accepted, Acceptor};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::StartHandshake;

/// Bytes of the first message at most, with what comes in the same reads. Browsers send 2 KiB. More: refused.
pub(crate) const CLIENT_HELLO_BYTES_MAX: usize = 32 * 1024;

/// What a caller began with.
pub(crate) struct BegunHandshake<I> {
    /// The name that it wants, in lower case; `None`: it said none.
    pub(crate) server_name: Option<String>,
    accepted: Accepted,
    /// All that was read.
    seen: Bytes,
    /// How much of that is in `accepted`.
    taken: usize,
    io: I,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    /// The connection broke, or ended before it began.
    #[error("read the first message of TLS")]
    Read(#[source] io::Error),
    /// It is something else, or broken. The caller has been told by an alert.
    #[error("the first bytes are no TLS that can be answered")]
    Tls(#[source] rustls::Error),
    /// See [`CLIENT_HELLO_BYTES_MAX`].
    #[error("the first message of TLS has more than {CLIENT_HELLO_BYTES_MAX} bytes")]
    TooLarge,
}

/// Reads until the message is whole. May wait for ever: give it a deadline.
pub(crate) async fn read<I: Io>(mut io: I) -> Result<BegunHandshake<I>, HelloError> {
    let (mut seen, mut taken) = (BytesMut::with_capacity(2048), 0);
    let mut acceptor = Acceptor::default();
    loop {
        if io.read_buf(&mut seen).await.map_err(HelloError::Read)? == 0 {
            return Err(HelloError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        while let Some(mut rest) = seen.get(taken..).filter(|rest| !rest.is_empty()) {
            let count = acceptor.read_tls(&mut rest).map_err(HelloError::Read)?;
            taken += count;
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let server_name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                    return Ok(BegunHandshake { server_name, accepted, seen: seen.freeze(), taken, io });
                }
                Ok(None) if count == 0 => break,
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut told = Vec::new();
                    if alert.write_all(&mut told).is_ok() {
                        // Whether it arrives or not, the connection ends.
                        let _ = io.write_all(&told).await;
                        let _ = io.shutdown().await;
                    }
                    return Err(HelloError::Tls(error));
                }
            }
        }
        if seen.len() >= CLIENT_HELLO_BYTES_MAX {
            return Err(HelloError::TooLarge);
        }
    }
}

impl<I: Io> BegunHandshake<I> {
    /// To end TLS here.
    pub(crate) fn into_handshake(mut self) -> StartHandshake<Prefixed<I>> {
        let rest = self.seen.split_off(self.taken.min(self.seen.len()));
        StartHandshake::from_parts(self.accepted, Prefixed::new(rest, self.io))
    }

    /// To pass it on as it came.
    pub(crate) fn into_passed(self) -> Prefixed<I> {
        Prefixed::new(self.seen, self.io)
    }

    /// Ends it with a fatal alert (RFC 8446 section 6).
    pub(crate) async fn refuse(mut self, description: u8) -> io::Result<()> {
        const ALERT: [u8; 6] = [21, 3, 3, 0, 2, 2];
        self.io.write_all(&[&ALERT[..], &[description]].concat()).await?;
        self.io.shutdown().await
    }
}
