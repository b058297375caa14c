//! Who signs for us: the one seam between programs that need certificates and whoever holds a root.
//!
//! [`SocketIssuer`] asks over an inherited Unix stream, [`serve`] answers there. The stream itself carries
//! the right: what may be signed is fixed by the [`Grant`]s of the holder, names in requests mean nothing.

use crate::root::Root;
use crate::sign::SignError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::future::BoxFuture;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// Largest frame in bytes; a larger one ends the stream.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// An answer that takes longer is a failure; when it comes after all it is skipped.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What was signed.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// DER; what was certified first, the root last.
    pub chain: Vec<Vec<u8>>,
    /// Trust bundles of all domains that the holder knows.
    pub bundles: Vec<TrustBundle>,
    /// For whom, when it is a leaf.
    pub id: Option<SpiffeId>,
    /// The trust domain.
    pub trust_domain: TrustDomain,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The stream to the holder failed.
    #[error("ask the holder of the root")]
    Stream(#[source] io::Error),
    /// The holder said no.
    #[error("the holder of the root refused: {0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
}

/// Signs certificates; implementations hold a root or know whom to ask.
pub trait Issuer: Send + Sync + 'static {
    /// An intermediate CA for the caller's cluster. `csr` is PKCS #10 in DER.
    fn sign_intermediate<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>>;
    /// A leaf for the caller's own program.
    fn sign_leaf<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>>;
}

/// What the other end of one stream may have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Intermediates that sign leaves of the root's trust domain and are bound to one cluster.
    Intermediate {
        /// Must be the root's.
        trust_domain: TrustDomain,
        /// Name of the cluster; it stands in the certificate, whatever the request says.
        cluster: String,
    },
    /// Leaves for exactly this identity.
    Leaf(SpiffeId),
}

/// How long what a holder signs is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of intermediates.
    pub intermediate: Duration,
    /// Of leaves.
    pub leaf: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    /// Comes back in the answer, so that a late one is not taken for another's.
    #[serde(default)]
    number: u64,
    kind: Kind,
    csr: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Intermediate,
    Leaf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    #[serde(default)]
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default)]
    trust_domain: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    chain: Vec<String>,
    #[serde(default)]
    bundles: Vec<Bundle>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Bundle {
    trust_domain: String,
    roots: Vec<String>,
}

/// Asks over a Unix stream.
#[derive(Debug)]
pub struct SocketIssuer {
    line: Mutex<Line>,
}

/// One end of a stream of frames. What is cut off in the middle of a frame goes on there next time, so that
/// neither a time-out nor a caller that gave up costs the way to the root.
#[derive(Debug)]
struct Line {
    /// `None`: closed or broken, for good.
    stream: Option<UnixStream>,
    /// At most one frame.
    out: Vec<u8>,
    received: Vec<u8>,
    asked: u64,
}

impl Line {
    /// Sends a question and waits for its answer.
    async fn exchange(&mut self, kind: Kind, csr: &[u8]) -> io::Result<Answer> {
        // An earlier question that did not get out.
        self.flush().await?;
        self.asked += 1;
        let number = self.asked;
        self.out = frame(&Question { number, kind, csr: BASE64.encode(csr) })?;
        self.flush().await?;
        loop {
            let answer: Answer = self.receive().await?;
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
        let line = Line { stream: Some(stream), out: Vec::new(), received: Vec::new(), asked: 0 };
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

    async fn ask(&self, kind: Kind, csr: &[u8]) -> Result<Issued, IssueError> {
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

impl Issuer for SocketIssuer {
    fn sign_intermediate<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(Kind::Intermediate, csr))
    }

    fn sign_leaf<'a>(&'a self, csr: &'a [u8]) -> BoxFuture<'a, Result<Issued, IssueError>> {
        Box::pin(self.ask(Kind::Leaf, csr))
    }
}

/// Answers one stream for the holder of a root until the other end closes it. `bundles` is asked at each
/// answer; the root's own bundle is added when it is missing.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    root: &Root,
    grants: &[Grant],
    lifetimes: Lifetimes,
    bundles: impl Fn() -> Vec<TrustBundle>,
) -> io::Result<()> {
    while let Some(question) = read_frame::<Question>(&mut stream).await? {
        let mut answer = match answer(&question, root, grants, lifetimes) {
            Ok(issued) => answer_out(issued, root, bundles()),
            Err(error) => {
                tracing::warn!(%error, "refused to sign");
                Answer { error: Some(error), ..Answer::default() }
            }
        };
        answer.number = question.number;
        stream.write_all(&frame(&answer)?).await?;
        stream.flush().await?;
    }
    Ok(())
}

type Chain = (Vec<Vec<u8>>, Option<SpiffeId>);

fn answer(question: &Question, root: &Root, grants: &[Grant], lifetimes: Lifetimes) -> Result<Chain, String> {
    let csr = BASE64.decode(&question.csr).map_err(|_| "request is not base64".to_owned())?;
    let plain = |error: SignError| error.to_string();
    for grant in grants {
        match (question.kind, grant) {
            (Kind::Intermediate, Grant::Intermediate { trust_domain, cluster }) => {
                if trust_domain != root.trust_domain() {
                    return Err(format!("the root does not vouch for {trust_domain}"));
                }
                let chain = root.sign_intermediate(&csr, cluster, lifetimes.intermediate).map_err(plain)?;
                return Ok((chain, None));
            }
            (Kind::Leaf, Grant::Leaf(id)) => {
                let chain = root.sign_leaf(&csr, id, lifetimes.leaf).map_err(plain)?;
                return Ok((chain, Some(id.clone())));
            }
            _ => {}
        }
    }
    Err("not granted".to_owned())
}

fn answer_out((chain, id): Chain, root: &Root, mut bundles: Vec<TrustBundle>) -> Answer {
    if !bundles.iter().any(|bundle| bundle.trust_domain == *root.trust_domain()) {
        bundles.push(root.bundle());
    }
    let encode = |ders: &[Vec<u8>]| ders.iter().map(|der| BASE64.encode(der)).collect();
    let bundle = |bundle: &TrustBundle| Bundle {
        trust_domain: bundle.trust_domain.to_string(),
        roots: encode(&bundle.roots),
    };
    Answer {
        number: 0,
        error: None,
        trust_domain: root.trust_domain().to_string(),
        id: id.map(|id| id.to_string()),
        chain: encode(&chain),
        bundles: bundles.iter().map(bundle).collect(),
    }
}

fn issued_in(answer: Answer) -> Result<Issued, IssueError> {
    let domain = |text: &str| TrustDomain::parse(text).ok_or(IssueError::Malformed("trust domain"));
    let decode = |texts: &[String]| -> Result<Vec<Vec<u8>>, IssueError> {
        let der = |text: &String| BASE64.decode(text).map_err(|_| IssueError::Malformed("certificate"));
        texts.iter().map(der).collect()
    };
    let bundle = |bundle: &Bundle| -> Result<TrustBundle, IssueError> {
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

/// JSON behind its length (4 bytes, big endian).
fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    if json.len() > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame too large"));
    }
    let mut frame = (json.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&json);
    Ok(frame)
}

fn frame_length(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(bytes) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too large"));
    }
    Ok(length)
}

/// `None`: closed between frames.
async fn read_frame<T: for<'de> Deserialize<'de>>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let mut length = [0_u8; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut json = vec![0; frame_length(length)?];
    stream.read_exact(&mut json).await?;
    Ok(Some(serde_json::from_slice(&json)?))
}

#[cfg(test)]
mod tests;
