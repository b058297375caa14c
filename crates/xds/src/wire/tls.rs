//! TLS of a gateway's listeners. What one says is JSON of its type in `model::listener_tls`; the key pairs that it
//! names travel by themselves.

use super::{DecodeError, bad};
use crate::proto::leno::mesh::v1 as p;
use model::listener_tls::{KeyPair, ListenerTls, SecretString};
use std::fmt;
use std::sync::Arc;

pub(crate) fn listener_out(tls: &ListenerTls) -> String {
    // Texts and lists only: nothing of it cannot be written. An empty text would mean plaintext, a brace is refused.
    serde_json::to_string(tls).unwrap_or_else(|_| "{".to_owned())
}

pub(crate) fn listener_in(text: &str) -> Result<Option<Arc<ListenerTls>>, DecodeError> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map(Some).map_err(|error| bad("tls", error.to_string()))
}

pub(crate) fn key_pair_out(pair: &KeyPair) -> p::KeyPair {
    p::KeyPair {
        namespace: pair.namespace.to_string(),
        name: pair.name.to_string(),
        certificate: pair.certificate.to_string(),
        key: pair.key.expose().to_owned(),
    }
}

pub(crate) fn key_pair_in(pair: p::KeyPair) -> KeyPair {
    KeyPair {
        namespace: pair.namespace.into(),
        name: pair.name.into(),
        certificate: pair.certificate.into(),
        key: SecretString::new(pair.key),
    }
}

impl fmt::Debug for p::KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}/{})", self.namespace, self.name)
    }
}
