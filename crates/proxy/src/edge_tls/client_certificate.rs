//! The certificate that a caller from outside showed, with what policies, headers and logs say of it.

use identity::{CertificateNames, certificate_names};
use model::SpiffeId;
use model::hex::hex;
use rustls::pki_types::CertificateDer;
use std::time::SystemTime;

/// What a caller showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// As shown, the leaf first; never empty.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Whether an authority of the listener vouches for it. If not, it proves nothing.
    pub(crate) validity: ClientValidity,
    /// When the leaf ends.
    pub(crate) not_after: SystemTime,
    /// SHA-256 of the leaf, hex.
    pub(crate) sha256: String,
    /// What it calls its holder.
    pub(crate) names: CertificateNames,
    /// Who that is in a mesh: the only URI name, if it is a SPIFFE ID and the certificate is valid.
    pub(crate) principal: Option<SpiffeId>,
}

/// What came of looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientValidity {
    /// It ends at an authority of the listener, and is what it asks for.
    Valid,
    /// It was let in all the same.
    Unproven,
}

impl ClientCertificate {
    /// Reads a chain; `None`: it has no leaf that can be read.
    pub(crate) fn read(chain: &[CertificateDer<'_>], validity: ClientValidity) -> Option<Self> {
        let leaf = chain.first()?;
        let names = certificate_names(leaf)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
        let principal = match (validity, names.uris.as_slice()) {
            (ClientValidity::Valid, [uri]) => SpiffeId::parse(uri),
            _ => None,
        };
        Some(Self {
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            validity,
            not_after: identity::not_after(leaf)?,
            sha256: hex(digest.as_ref()),
            names,
            principal,
        })
    }

    /// Whether it no longer proves what it proved; one that never did has nothing to lose.
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.validity == ClientValidity::Valid && now > self.not_after
    }
}
