//! Grants: single-use tokens with which a plane on another host has its first certificate signed by a root.
//!
//! `lg1.<id>.<secret>.<SHA-256 of the root>.<expiry, seconds since the epoch>.<for whom>`, the last `cluster.<name>` or
//! `manager`. What the text says of expiry and for whom is for people and for early errors: the holder of the root
//! keeps its own books (crate `root`), with [`GrantToken::hash`] and never the token.

use crate::token::{JoinTokenError, TokenSecret};
use std::fmt;
use std::sync::Arc;

/// What every grant begins with; the number is the format's version.
const PREFIX: &str = "lg1";
/// Longer texts are none.
const TEXT_BYTES_MAX: usize = 512;
const MANAGER: &str = "manager";
const CLUSTER: &str = "cluster.";

/// For whom something is signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GrantSubject {
    /// The control plane of this cluster: an intermediate.
    Cluster(Arc<str>),
    /// The management plane: a leaf.
    Manager,
}

impl fmt::Display for GrantSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(f, "the control plane of cluster {name}"),
            Self::Manager => f.write_str("the management plane"),
        }
    }
}

/// A single-use token. Whoever holds the text may use it, once.
#[derive(Clone, PartialEq, Eq)]
pub struct GrantToken {
    secret: TokenSecret,
    /// When it expires, in seconds since the epoch.
    pub expires_s: u64,
    /// For whom.
    pub subject: GrantSubject,
}

/// Why a text is no grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not of the shape.
    #[error("not a grant of the form lg1.ID.SECRET.SHA256.EXPIRY.SUBJECT; `leno root grant` prints one")]
    Malformed,
    /// A join token.
    #[error("a join token, which is for a proxy; a plane needs a grant, and `leno root grant` prints one")]
    JoinToken,
    /// Made by a newer or older program.
    #[error("a grant of an unknown version")]
    Version,
    /// No random numbers.
    #[error("no random numbers")]
    Random,
}

impl GrantToken {
    /// A new random grant of the root with this SHA-256.
    pub fn generate(root_pin: [u8; 32], expires_s: u64, subject: GrantSubject) -> Result<Self, GrantError> {
        let secret = TokenSecret::generate(root_pin).map_err(|_| GrantError::Random)?;
        Ok(Self { secret, expires_s, subject })
    }

    /// Reads the text; surrounding white space is ignored.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(GrantError::Malformed);
        }
        let parts: Vec<&str> = text.splitn(6, '.').collect();
        let malformed = |_: JoinTokenError| GrantError::Malformed;
        match parts.as_slice() {
            [PREFIX, id, secret, pin, expires_s, subject] => Ok(Self {
                secret: TokenSecret::parse(id, secret, pin).map_err(malformed)?,
                expires_s: expires_s.parse().map_err(|_| GrantError::Malformed)?,
                subject: match (subject.strip_prefix(CLUSTER), *subject) {
                    (Some(name), _) if !name.is_empty() => GrantSubject::Cluster(name.into()),
                    (_, MANAGER) => GrantSubject::Manager,
                    _ => return Err(GrantError::Malformed),
                },
            }),
            [other, ..] if other.starts_with("lj") => Err(GrantError::JoinToken),
            [other, _, _, ..] if other.starts_with("lg") => Err(GrantError::Version),
            _ => Err(GrantError::Malformed),
        }
    }

    /// The text that is handed out. Never log it.
    pub fn text(&self) -> String {
        let subject = match &self.subject {
            GrantSubject::Cluster(name) => format!("{CLUSTER}{name}"),
            GrantSubject::Manager => MANAGER.to_owned(),
        };
        format!("{PREFIX}.{}.{}.{subject}", self.secret.text(), self.expires_s)
    }

    /// Names the grant in books and logs; not secret.
    pub fn id(&self) -> &str {
        &self.secret.id
    }

    /// SHA-256 of the root whose holder must be met.
    pub fn root_pin(&self) -> [u8; 32] {
        self.secret.root_pin
    }

    /// What may be kept instead of the token, 64 hex digits.
    pub fn hash(&self) -> String {
        self.secret.hash()
    }

    /// Whether `hash` is this grant's; takes the same time for every wrong one.
    pub fn is_hash(&self, hash: &str) -> bool {
        self.secret.is_hash(hash)
    }
}

impl fmt::Debug for GrantToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantToken({}, {})", self.secret.id, self.subject)
    }
}

#[cfg(test)]
mod tests;
