//! Asks whoever holds the root over an inherited Unix stream. The other end is `serve`.

use super::exchange::{WantedCertificate, in_time, issued, question};
use super::frame::{SignAnswer, frame, frame_length};
use super::{CertificateRequest, IssueError, Issued, OpenError, RootIssuer};
use crate::inherited;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// Options of this issuer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SocketOptions {
    /// Inherited socket to the holder of the root, which signs for this plane
    #[arg(long, value_name = "FD")]
    pub issuer_fd: Option<RawFd>,
}

/// Takes over the descriptor that is given.
pub(super) fn open(fd: RawFd) -> Result<Arc<dyn RootIssuer>, OpenError> {
    let opened = inherited::take(fd).and_then(|owned| {
        let stream = std::os::unix::net::UnixStream::from(owned);
        stream.set_nonblocking(true)?;
        Ok(Arc::new(SocketIssuer::new(UnixStream::from_std(stream)?)) as Arc<dyn RootIssuer>)
    });
    opened.map_err(|cause| OpenError::Socket { fd, cause })
}

/// Asks over a Unix stream.
#[derive(Debug)]
pub struct SocketIssuer {
    line: Mutex<SocketLine>,
}

/// One end of a stream of frames. What is cut off in the middle of a frame goes on there next time, so that
/// neither a time-out nor a caller that gave up costs the way to the root.
#[derive(Debug)]
struct SocketLine {
    /// `None`: closed or broken, for good.
    stream: Option<UnixStream>,
    /// At most one frame.
    out: Vec<u8>,
    received: Vec<u8>,
    asked: u64,
}

impl SocketLine {
    /// Sends a question and waits for its answer.
    async fn exchange(&mut self, asked: WantedCertificate<'_>) -> io::Result<SignAnswer> {
        // An earlier question that did not get out.
        self.flush().await?;
        self.asked += 1;
        let number = self.asked;
        self.out = frame(&question(number, asked))?;
        self.flush().await?;
        loop {
            let answer: SignAnswer = self.receive().await?;
            if answer.number == number {
                return Ok(answer);
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        while !self.out.is_empty() {
            let written = stream.write(&self.out).await?;
            self.out.drain(..written);
        }
        Ok(())
    }

    async fn receive<T: for<'de> Deserialize<'de>>(&mut self) -> io::Result<T> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            if let Some((length, rest)) = self.received.split_first_chunk::<4>() {
                let length = frame_length(*length)?;
                if let Some(json) = rest.get(..length) {
                    let message = serde_json::from_slice(json);
                    self.received.drain(..4 + length);
                    return Ok(message?);
                }
            }
            if stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl SocketIssuer {
    /// Takes over a connected stream.
    pub fn new(stream: UnixStream) -> Self {
        let line = SocketLine { stream: Some(stream), out: Vec::new(), received: Vec::new(), asked: 0 };
        Self { line: Mutex::new(line) }
    }

    async fn ask(&self, asked: WantedCertificate<'_>) -> Result<Issued, IssueError> {
        let mut line = self.line.lock().await;
        let exchange = async { line.exchange(asked).await.map_err(IssueError::Stream) };
        let answer = in_time(exchange).await;
        if matches!(answer, Err(IssueError::Stream(_))) {
            line.stream = None;
        }
        issued(answer?)
    }
}

impl RootIssuer for SocketIssuer {
    fn sign_intermediate<'a>(
        &'a self,
        cluster: &'a str,
        request: CertificateRequest<'a>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(WantedCertificate { cluster: Some(cluster), csr: request.csr }))
    }

    fn sign_leaf<'a>(&'a self, request: CertificateRequest<'a>) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(WantedCertificate { cluster: None, csr: request.csr }))
    }
}
