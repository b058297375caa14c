//! Join tokens: `lj1.<id>.<secret>.<SHA-256 of the root>`. Remembering which are spent is `control`'s part,
//! and it keeps [`JoinToken::hash`], never the token.

use aws_lc_rs::{constant_time, digest};
use model::hex;
use std::fmt;

/// What every token begins with; the number is the format's version.
const PREFIX: &str = "lj1";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 16;
/// Longer texts are no tokens.
const TEXT_BYTES_MAX: usize = 256;

/// What makes a token one: a random secret under a name, and whose holder it is for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenSecret {
    /// 16 hex digits, not secret.
    pub(crate) id: String,
    secret: [u8; SECRET_BYTES],
    /// SHA-256 of the DER of the root that the other end must show.
    pub(crate) root_pin: [u8; 32],
}

/// A join token. Whoever holds the text may use it, once.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(TokenSecret);

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// Not of the shape.
    #[error("not a join token")]
    Malformed,
    /// Made by a newer or older program.
    #[error("a join token of an unknown version")]
    Version,
    /// No random numbers.
    #[error("no random numbers")]
    Random,
}

impl TokenSecret {
    pub(crate) fn generate(root_pin: [u8; 32]) -> Result<Self, JoinTokenError> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(&mut id).map_err(|_| JoinTokenError::Random)?;
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| JoinTokenError::Random)?;
        Ok(Self { id: hex::hex(&id), secret, root_pin })
    }

    /// Reads its three parts.
    pub(crate) fn parse(id: &str, secret: &str, pin: &str) -> Result<Self, JoinTokenError> {
        Ok(Self { id: hex::hex(&unhex::<ID_BYTES>(id)?), secret: unhex(secret)?, root_pin: unhex(pin)? })
    }

    /// Its three parts. Never log them.
    pub(crate) fn text(&self) -> String {
        format!("{}.{}.{}", self.id, hex::hex(&self.secret), hex::hex(&self.root_pin))
    }

    /// SHA-256 over id and secret, 64 hex digits.
    pub(crate) fn hash(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.id.as_bytes());
        context.update(&self.secret);
        hex::hex(context.finish().as_ref())
    }

    /// Whether `hash` is this one's; takes the same time for every wrong one.
    pub(crate) fn is_hash(&self, hash: &str) -> bool {
        constant_time::verify_slices_are_equal(self.hash().as_bytes(), hash.as_bytes()).is_ok()
    }
}

impl JoinToken {
    /// A new random token for a root.
    pub fn generate(root_pin: [u8; 32]) -> Result<Self, JoinTokenError> {
        TokenSecret::generate(root_pin).map(Self)
    }

    /// Reads the text; surrounding white space is ignored.
    pub fn parse(text: &str) -> Result<Self, JoinTokenError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(JoinTokenError::Malformed);
        }
        let parts: Vec<&str> = text.split('.').collect();
        match parts.as_slice() {
            [PREFIX, id, secret, pin] => TokenSecret::parse(id, secret, pin).map(Self),
            [other, _, _, _] if other.starts_with("lj") => Err(JoinTokenError::Version),
            _ => Err(JoinTokenError::Malformed),
        }
    }

    /// The text that is handed out. Never log it.
    pub fn text(&self) -> String {
        format!("{PREFIX}.{}", self.0.text())
    }

    /// Names the token in the control plane's books and in logs; 16 hex digits, not secret.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// SHA-256 of the DER of the root that the control plane must show.
    pub fn root_pin(&self) -> [u8; 32] {
        self.0.root_pin
    }

    /// What may be stored instead of the token: SHA-256 over id and secret, 64 hex digits.
    pub fn hash(&self) -> String {
        self.0.hash()
    }

    /// Whether `hash` is this token's; takes the same time for every wrong one.
    pub fn is_hash(&self, hash: &str) -> bool {
        self.0.is_hash(hash)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({})", self.0.id)
    }
}

/// SHA-256 of a root's DER.
pub fn pin_of(root_der: &[u8]) -> [u8; 32] {
    let mut pin = [0; 32];
    pin.copy_from_slice(digest::digest(&digest::SHA256, root_der).as_ref());
    pin
}

/// As [`model::hex::unhex`].
fn unhex<const N: usize>(text: &str) -> Result<[u8; N], JoinTokenError> {
    hex::unhex(text).ok_or(JoinTokenError::Malformed)
}

#[cfg(test)]
mod tests;
