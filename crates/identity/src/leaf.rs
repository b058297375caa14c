//! What a leaf certificate must look like to be an SVID (SPIFFE X509-SVID, sections 2 to 4).

use model::SpiffeId;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest SPIFFE ID, in bytes (SPIFFE-ID section 2.3); a longer one is refused.
pub const URI_BYTES_MAX: usize = 2048;

/// Why a certificate is no SVID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not a certificate, or bytes behind it.
    #[error("malformed certificate")]
    Malformed,
    /// None, or more than one.
    #[error("not exactly one URI name")]
    UriCount,
    /// The URI is not a SPIFFE ID of the mesh's shape.
    #[error("the URI name is not a SPIFFE ID of a workload")]
    NotSpiffe,
    /// A CA or a certificate that may sign others.
    #[error("a signing certificate used as a leaf")]
    Signing,
    /// No key usage, or not for digital signatures.
    #[error("key usage lacks digital signature")]
    KeyUsage,
    /// Extended key usage is there, but not for both sides of TLS.
    #[error("extended key usage is not for client and server")]
    ExtendedKeyUsage,
}

/// What matters of a leaf.
pub struct Leaf {
    /// Whom it names.
    pub id: SpiffeId,
    /// The registration that it was issued to: the one common name, if there is one.
    pub uid: Option<Arc<str>>,
    /// The public key's bits.
    pub(crate) public: Vec<u8>,
    pub(crate) not_before: SystemTime,
    /// When it expires.
    pub not_after: SystemTime,
}

/// Reads and checks the form of a leaf. Says nothing about who signed it.
pub(crate) fn read(der: &[u8]) -> Result<Leaf, Flaw> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| Flaw::Malformed)?;
    if !rest.is_empty() {
        return Err(Flaw::Malformed);
    }
    let id = spiffe_id(&certificate)?;
    if certificate.is_ca() {
        return Err(Flaw::Signing);
    }
    let usage = certificate.key_usage().map_err(|_| Flaw::Malformed)?.ok_or(Flaw::KeyUsage)?.value;
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(Flaw::Signing);
    }
    if !usage.digital_signature() {
        return Err(Flaw::KeyUsage);
    }
    if let Some(extended) = certificate.extended_key_usage().map_err(|_| Flaw::Malformed)?
        && !(extended.value.server_auth && extended.value.client_auth)
    {
        return Err(Flaw::ExtendedKeyUsage);
    }
    let mut names = certificate.subject().iter_common_name();
    let uid = match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok().map(Arc::from),
        _ => None,
    };
    Ok(Leaf {
        id,
        uid,
        public: certificate.public_key().subject_public_key.data.to_vec(),
        not_before: time(certificate.validity().not_before.timestamp()),
        not_after: time(certificate.validity().not_after.timestamp()),
    })
}

fn spiffe_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, Flaw> {
    let names = certificate.subject_alternative_name().map_err(|_| Flaw::Malformed)?.ok_or(Flaw::UriCount)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) if uri.len() <= URI_BYTES_MAX => SpiffeId::parse(uri).ok_or(Flaw::NotSpiffe),
        (Some(_), None) => Err(Flaw::NotSpiffe),
        _ => Err(Flaw::UriCount),
    }
}

fn time(unix_s: i64) -> SystemTime {
    match u64::try_from(unix_s) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

/// The first of the certificates that a peer showed. Trust it only after a handshake with a configuration of
/// [`crate::Identity`]; `None` when there is none.
pub fn leaf(certificates: &[CertificateDer<'_>]) -> Option<Leaf> {
    read(certificates.first()?).ok()
}

/// The cluster that a signing certificate (DER) is for: its one organizational unit, set by the holder of the
/// root. `None` when it names none or several. Says nothing about trust.
pub fn cluster(der: &[u8]) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut units = certificate.subject().iter_organizational_unit();
    match (units.next(), units.next()) {
        (Some(unit), None) => unit.as_str().ok().filter(|name| !name.is_empty()).map(Arc::from),
        _ => None,
    }
}

/// The public key of any certificate, as the bits of its `SubjectPublicKeyInfo` (for P-256 the uncompressed
/// point, 65 bytes); `None` when `der` is not a certificate. Says nothing about trust.
pub fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

/// When any certificate ends; `None` when `der` is not a certificate. Says nothing about trust.
pub fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(time(certificate.validity().not_after.timestamp()))
}
