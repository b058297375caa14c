//! What goes between who needs a certificate and who holds a root: JSON behind its length. `docs/issuers.md` tells it.

use super::RefusalCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest frame in bytes; a larger one ends the stream.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Version of questions and answers. Fields that are not known are skipped, so only a change of meaning is a new one.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignQuestion {
    #[serde(default = "version_first")]
    pub(super) version: u32,
    /// Comes back in the answer, so that a late one is not taken for another's.
    #[serde(default)]
    pub(super) number: u64,
    pub(super) kind: QuestionKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) csr: String,
    /// Whose intermediate is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<String>,
    /// What gives the right, where the stream itself does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<SecretText>,
    /// How long a grant shall be good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ttl_s: Option<u64>,
}

/// The text of a grant.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SecretText(pub(super) String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

fn version_first() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum QuestionKind {
    Intermediate,
    Leaf,
    Grant,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SignAnswer {
    #[serde(default)]
    pub(super) number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<RefusalCode>,
    #[serde(default)]
    pub(super) trust_domain: String,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) chain: Vec<String>,
    #[serde(default)]
    pub(super) bundles: Vec<BundleText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<SecretText>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BundleText {
    pub(super) trust_domain: String,
    pub(super) roots: Vec<String>,
}

/// JSON behind its length (4 bytes, big endian).
pub(super) fn frame<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    if json.len() > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame too large"));
    }
    let mut frame = (json.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&json);
    Ok(frame)
}

pub(super) fn frame_length(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(bytes) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too large"));
    }
    Ok(length)
}

/// The JSON of one frame; `None`: closed between frames.
pub(super) async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0_u8; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut json = vec![0; frame_length(length)?];
    stream.read_exact(&mut json).await?;
    Ok(Some(json))
}

/// Sends one frame.
pub(super) async fn send<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &T,
) -> io::Result<()> {
    stream.write_all(&frame(message)?).await?;
    stream.flush().await
}

/// Reads a message.
pub(super) fn read<T: DeserializeOwned>(json: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(json)?)
}
