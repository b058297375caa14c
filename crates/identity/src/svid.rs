//! A certificate with its key: what we show to others.

use crate::freshness::Freshness;
use crate::key::Key;
use crate::leaf::{self, Flaw};
use model::SpiffeId;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// An X.509 SVID.
pub struct Svid {
    /// Who it says we are.
    pub id: SpiffeId,
    /// The registration that it was issued to, if to one.
    pub uid: Option<Arc<str>>,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until.
    pub not_after: SystemTime,
    certified: Arc<CertifiedKey>,
}

/// Why a chain and a key make no SVID.
#[derive(Debug, thiserror::Error)]
pub enum SvidError {
    /// The chain has no certificate.
    #[error("empty certificate chain")]
    Empty,
    /// The leaf is no SVID.
    #[error("the leaf is no SVID")]
    Leaf(#[source] Flaw),
    /// The leaf is for another key.
    #[error("the certificate does not belong to the key")]
    OtherKey,
}

impl Svid {
    /// Joins a key and a chain (DER, leaf first); checks the leaf's form and that they belong together.
    pub fn new(key: Key, chain: Vec<Vec<u8>>) -> Result<Self, SvidError> {
        let first = chain.first().ok_or(SvidError::Empty)?;
        let leaf = leaf::read(first).map_err(SvidError::Leaf)?;
        if leaf.public != key.public() {
            return Err(SvidError::OtherKey);
        }
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok(Self {
            id: leaf.id,
            uid: leaf.uid,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            certified: Arc::new(CertifiedKey::new(chain, Arc::new(key))),
        })
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// How much of its life is left.
    pub fn freshness(&self, now: SystemTime) -> Freshness {
        Freshness::of(self.not_before, self.not_after, now)
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid")
            .field("id", &self.id)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
