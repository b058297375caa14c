//! What goes over the socket between who needs a certificate and who holds a root: JSON behind its length.

use serde::{Deserialize, Serialize};
use std::io;

/// Largest frame in bytes; a larger one ends the stream.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignQuestion {
    /// Comes back in the answer, so that a late one is not taken for another's.
    #[serde(default)]
    pub(super) number: u64,
    pub(super) kind: CertificateKind,
    pub(super) csr: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CertificateKind {
    Intermediate,
    Leaf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SignAnswer {
    #[serde(default)]
    pub(super) number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) trust_domain: String,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) chain: Vec<String>,
    #[serde(default)]
    pub(super) bundles: Vec<BundleText>,
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
