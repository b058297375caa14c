//! Asks whoever holds the root over an inherited Unix stream. The other end is `serve`.

use super::frame::{BundleText, CertificateKind, SignAnswer, SignQuestion, frame, frame_length};
use super::{IssueError, Issued, OpenError, RootIssuer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::BoxFuture;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use serde::Deserialize;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// An answer that takes longer is a failure; when it comes after all it is skipped.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Options of this issuer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SocketOptions {
    /// Inherited socket to the holder of the root, which signs for this plane
    #[arg(long, value_name = "FD")]
    pub issuer_fd: Option<RawFd>,
}

/// See [`super::ISSUERS`].
pub(super) fn open(options: &super::IssuerOptions) -> Option<Result<Arc<dyn RootIssuer>, OpenError>> {
    let fd = options.socket.issuer_fd?;
    // To take over what is not open would end the process.
    if let Err(cause) = std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")) {
        return Some(Err(OpenError::Socket { fd, cause }));
    }
    // SAFETY: whoever started this process opened the descriptor for it, and nothing else here uses it.
    let socket = unsafe { SocketIssuer::from_fd(fd) };
    let opened = socket.map(|socket| Arc::new(socket) as Arc<dyn RootIssuer>);
    Some(opened.map_err(|cause| OpenError::Socket { fd, cause }))
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
    async fn exchange(&mut self, kind: CertificateKind, csr: &[u8]) -> io::Result<SignAnswer> {
        // An earlier question that did not get out.
        self.flush().await?;
        self.asked += 1;
        let number = self.asked;
        self.out = frame(&SignQuestion { number, kind, csr: BASE64.encode(csr) })?;
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

    /// Takes over an inherited descriptor of a connected Unix stream.
    ///
    /// # Safety
    /// `fd` must be open and owned by nobody else in this process.
    ///
    /// # Errors
    /// When it is not a socket, or outside a tokio runtime.
    pub unsafe fn from_fd(fd: RawFd) -> io::Result<Self> {
        if fd < 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the caller hands over the ownership of an open descriptor.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        let stream = std::os::unix::net::UnixStream::from(owned);
        stream.set_nonblocking(true)?;
        Ok(Self::new(UnixStream::from_std(stream)?))
    }

    async fn ask(&self, kind: CertificateKind, csr: &[u8]) -> Result<Issued, IssueError> {
        let mut line = self.line.lock().await;
        let answer = match tokio::time::timeout(ANSWER_TIMEOUT, line.exchange(kind, csr)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                line.stream = None;
                return Err(IssueError::Stream(error));
            }
            Err(_) => return Err(IssueError::Stream(io::ErrorKind::TimedOut.into())),
        };
        match answer.error {
            Some(error) => Err(IssueError::Refused(error)),
            None => issued_in(answer),
        }
    }
}

impl RootIssuer for SocketIssuer {
    fn sign_intermediate<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(CertificateKind::Intermediate, csr))
    }

    fn sign_leaf<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(CertificateKind::Leaf, csr))
    }
}

fn issued_in(answer: SignAnswer) -> Result<Issued, IssueError> {
    let domain = |text: &str| TrustDomain::parse(text).ok_or(IssueError::Malformed("trust domain"));
    let decode = |texts: &[String]| -> Result<Vec<Vec<u8>>, IssueError> {
        let der = |text: &String| BASE64.decode(text).map_err(|_| IssueError::Malformed("certificate"));
        texts.iter().map(der).collect()
    };
    let bundle = |bundle: &BundleText| -> Result<TrustBundle, IssueError> {
        Ok(TrustBundle { trust_domain: domain(&bundle.trust_domain)?, roots: decode(&bundle.roots)? })
    };
    Ok(Issued {
        chain: decode(&answer.chain)?,
        bundles: answer.bundles.iter().map(bundle).collect::<Result<_, _>>()?,
        id: match &answer.id {
            Some(text) => Some(SpiffeId::parse(text).ok_or(IssueError::Malformed("identity"))?),
            None => None,
        },
        trust_domain: domain(&answer.trust_domain)?,
    })
}
