//! A certificate with its key, out of PEM: what rustls signs with, and the names that it is good for.

use identity::certificate_names;
use model::hex::hex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Certificates in a chain, or in a bundle of authorities; more: the PEM is refused.
pub(crate) const CERTIFICATES_MAX: usize = 512;

/// What a listener shows.
pub(crate) struct ServerCertificate {
    /// The chain, and what signs for it.
    pub(crate) certified: Arc<CertifiedKey>,
    /// DNS names in lower case; `*.` and a name stands for one label more.
    pub(crate) names: Vec<String>,
    /// When it ends.
    pub(crate) not_after: SystemTime,
    /// SHA-256 of the leaf, hex.
    pub(crate) sha256: String,
}

/// Why PEM cannot be used. Never with anything of its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificatePemError {
    /// It holds none, or a broken one.
    #[error("it holds no certificate in PEM")]
    NoCertificate,
    /// See [`CERTIFICATES_MAX`].
    #[error("it holds more than {CERTIFICATES_MAX} certificates")]
    TooMany,
    /// It is PEM, and not a certificate.
    #[error("a certificate in it is malformed")]
    Malformed,
    /// Nor an encrypted one, which nobody is there to open.
    #[error("the key holds no private key in PEM that is not encrypted")]
    NoKey,
    /// RSA below 2048 bits, an unknown curve.
    #[error(
        "the key is of a kind or size that cannot be used; RSA from 2048 bits, P-256, P-384, P-521 and Ed25519 can"
    )]
    UnusableKey,
    /// They are not a pair.
    #[error("the key is not the certificate's")]
    Mismatch,
}

/// All certificates in a PEM text.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificatePemError> {
    let mut all = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        if all.len() == CERTIFICATES_MAX {
            return Err(CertificatePemError::TooMany);
        }
        all.push(certificate.map_err(|_| CertificatePemError::NoCertificate)?);
    }
    if all.is_empty() { Err(CertificatePemError::NoCertificate) } else { Ok(all) }
}

impl ServerCertificate {
    /// Reads a pair.
    pub(crate) fn read(certificate: &[u8], key: &[u8]) -> Result<Self, CertificatePemError> {
        let chain = certificates(certificate)?;
        let leaf = chain.first().ok_or(CertificatePemError::NoCertificate)?;
        let names = certificate_names(leaf).ok_or(CertificatePemError::Malformed)?;
        let not_after = identity::not_after(leaf).ok_or(CertificatePemError::Malformed)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
        let sha256 = hex(digest.as_ref());
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificatePemError::NoKey)?;
        let certified =
            CertifiedKey::from_der(chain, key, &identity::provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => CertificatePemError::Mismatch,
                rustls::Error::InvalidCertificate(_) => CertificatePemError::Malformed,
                _ => CertificatePemError::UnusableKey,
            })?;
        let names = names.dns.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Self { certified: Arc::new(certified), names, not_after, sha256 })
    }

    /// Whether it is good for a server name, which is in lower case.
    pub(crate) fn covers(&self, server_name: &str) -> bool {
        let parent = server_name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(suffix) => parent == Some(suffix),
            None => name == server_name,
        })
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerCertificate({})", self.sha256)
    }
}
