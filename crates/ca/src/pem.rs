//! PEM that somebody else made: certificates and one key in PKCS#8, read once.
//!
//! Everything that the key's bytes pass through is wiped.

use crate::inherited;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;
use zeroize::Zeroizing;

/// Longest text, in bytes; a longer one is refused.
pub const PEM_BYTES_MAX: usize = 64 * 1024;
const CERTIFICATE: &str = "CERTIFICATE";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Certificates with the key of the first one.
pub struct PemChain {
    /// DER, in the order of the text.
    pub certificates: Vec<Vec<u8>>,
    /// PKCS#8, DER.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for PemChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemChain({} certificates, secret)", self.certificates.len())
    }
}

/// Why a text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read.
    #[error("read the PEM text")]
    Read(#[source] io::Error),
    /// See [`PEM_BYTES_MAX`].
    #[error("the PEM text has more than {PEM_BYTES_MAX} bytes")]
    TooLarge,
    /// Begun and not ended, or of another alphabet.
    #[error("a PEM block is cut off or no base64, in line {line}")]
    Block {
        /// Where the block begins, from 1.
        line: usize,
    },
    /// A key in a form that is not read.
    #[error("`{0}` is not read; convert the key with `openssl pkcs8 -topk8 -nocrypt` and pass the result")]
    KeyForm(String),
    /// Something else.
    #[error("a PEM block `{0}`; certificates and one PRIVATE KEY (PKCS#8) are expected")]
    Label(String),
    /// No certificate.
    #[error("no certificate in the PEM text; one and its PRIVATE KEY (PKCS#8) are expected")]
    NoCertificate,
    /// No key.
    #[error("no private key in the PEM text; pass it behind its certificate, as PRIVATE KEY (PKCS#8)")]
    NoKey,
    /// More than one.
    #[error("several private keys in the PEM text; pass one")]
    SeveralKeys,
}

/// Reads an inherited descriptor to its end.
///
/// # Errors
/// As [`read`], and when it is not open.
pub fn read_inherited(fd: RawFd) -> Result<PemChain, PemError> {
    read(File::from(inherited::take(fd).map_err(PemError::Read)?))
}

/// Reads to the end.
///
/// # Errors
/// When it is not certificates and exactly one key.
pub fn read(mut source: impl Read) -> Result<PemChain, PemError> {
    // All at once: a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(vec![0; PEM_BYTES_MAX + 1]);
    let mut length = 0;
    while let Some(free) = text.get_mut(length..).filter(|free| !free.is_empty()) {
        match source.read(free) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PemError::Read(error)),
        }
    }
    if length > PEM_BYTES_MAX {
        return Err(PemError::TooLarge);
    }
    let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok());
    parse(text.ok_or(PemError::Block { line: 1 })?)
}

fn parse(text: &str) -> Result<PemChain, PemError> {
    let (mut certificates, mut key) = (Vec::new(), None);
    for block in blocks(text) {
        let (label, der) = block?;
        match label {
            CERTIFICATE => certificates.push(der.to_vec()),
            "PRIVATE KEY" if key.is_some() => return Err(PemError::SeveralKeys),
            "PRIVATE KEY" => key = Some(der),
            other if other.ends_with("PRIVATE KEY") || other == "EC PARAMETERS" => {
                return Err(PemError::KeyForm(other.to_owned()));
            }
            other => return Err(PemError::Label(other.to_owned())),
        }
    }
    if certificates.is_empty() {
        return Err(PemError::NoCertificate);
    }
    Ok(PemChain { certificates, key: key.ok_or(PemError::NoKey)? })
}

/// Certificates without a key (DER), in the order of the text.
///
/// # Errors
/// When there is anything else.
pub fn certificates(text: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let certificate = |block: Result<(&str, Zeroizing<Vec<u8>>), PemError>| match block? {
        (CERTIFICATE, der) => Ok(der.to_vec()),
        (other, _) => Err(PemError::Label(other.to_owned())),
    };
    blocks(text).map(certificate).collect()
}

/// All blocks, each with its label.
fn blocks(text: &str) -> impl Iterator<Item = Result<(&str, Zeroizing<Vec<u8>>), PemError>> {
    let mut lines = text.lines().enumerate();
    std::iter::from_fn(move || {
        loop {
            let (at, line) = lines.next()?;
            let label = line.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES));
            let Some(label) = label else { continue };
            let bad = PemError::Block { line: at + 1 };
            return Some(match body(label, &mut lines) {
                Some(der) => Ok((label, der)),
                None => Err(bad),
            });
        }
    })
}

/// The bytes of a block, up to its end.
fn body<'a>(label: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(String::with_capacity(PEM_BYTES_MAX));
    loop {
        let line = lines.next()?.1.trim();
        match line.strip_prefix(END) {
            Some(end) if end.strip_suffix(DASHES) == Some(label) => break,
            Some(_) => return None,
            // A buffer that grows leaves copies behind.
            None if body.len() + line.len() > PEM_BYTES_MAX => return None,
            None => body.push_str(line),
        }
    }
    let mut der = Zeroizing::new(Vec::with_capacity(body.len()));
    BASE64.decode_vec(body.as_bytes(), &mut der).ok()?;
    Some(der)
}

#[cfg(test)]
mod tests;
