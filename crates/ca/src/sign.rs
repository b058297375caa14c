//! Signing with an intermediate key: one leaf for one identity.

use crate::key::SigningKey;
use identity::{CertificateDer, KeyError};
use model::{SpiffeId, TrustDomain};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKey, SanType, SerialNumber,
};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest CSR that is looked at, in bytes.
pub const CSR_BYTES_MAX: usize = 16 * 1024;
/// Shortest life of a leaf; a shorter one is raised to it.
pub const LEAF_TTL_MIN: Duration = Duration::from_secs(20);
/// Longest life of a leaf; a longer one is lowered to it.
pub const LEAF_TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Certificates are valid from up to this long before they are made, because clocks differ; short-lived ones
/// from a tenth of their life, so that renewal at half of it still lies ahead.
pub const BACKDATED_MAX: Duration = Duration::from_secs(60);
/// Random bytes of a serial number; the first bit is cleared, because serials are positive.
const SERIAL_BYTES: usize = 16;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// See [`CSR_BYTES_MAX`].
    #[error("request of {0} bytes, more than {CSR_BYTES_MAX}")]
    TooLarge(usize),
    /// Not a PKCS #10 request, or its own signature is wrong.
    #[error("unusable certificate signing request")]
    Request(#[source] rcgen::Error),
    /// Only P-256 and P-384 keys are certified.
    #[error("key of another kind than P-256 or P-384")]
    KeyKind,
    /// The grant is for another trust domain than the signer's.
    #[error("{id} is outside the trust domain {trust_domain}")]
    OtherDomain {
        /// Who asked.
        id: SpiffeId,
        /// Whom the signer signs for.
        trust_domain: TrustDomain,
    },
    /// The root vouches for another domain.
    #[error("the root does not vouch for {0}")]
    OtherRoot(TrustDomain),
    /// The intermediate has expired.
    #[error("the signing certificate has expired")]
    Expired,
    /// The intermediate's chain does not fit the key, or is not for signing.
    #[error("unusable signing certificate: {0}")]
    Chain(&'static str),
    /// The certificate could not be made.
    #[error("write the certificate")]
    Write(#[source] rcgen::Error),
    /// No key.
    #[error("make a key")]
    Key(#[source] KeyError),
    /// No random numbers.
    #[error("no random numbers")]
    Random,
}

/// An intermediate CA: its key lives here and nowhere else. Copies share it.
#[derive(Clone)]
pub struct Signer {
    trust_domain: TrustDomain,
    issuer: Arc<rcgen::Issuer<'static, SigningKey>>,
    /// Intermediate first, root last.
    chain: Arc<[Vec<u8>]>,
    not_after: SystemTime,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("trust_domain", &self.trust_domain)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Joins an intermediate key and its chain (intermediate first, root last, DER).
    pub fn new(
        trust_domain: TrustDomain,
        key: impl Into<SigningKey>,
        chain: Vec<Vec<u8>>,
    ) -> Result<Self, SignError> {
        let key = key.into();
        let first = chain.first().ok_or(SignError::Chain("empty"))?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|_| SignError::Chain("malformed"))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public() {
            return Err(SignError::Chain("for another key"));
        }
        if !parsed.is_ca() {
            return Err(SignError::Chain("not a signing certificate"));
        }
        let expires_s = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(expires_s);
        let der = CertificateDer::from(first.as_slice());
        let issuer = rcgen::Issuer::from_ca_cert_der(&der, key).map_err(SignError::Write)?;
        Ok(Self { trust_domain, issuer: Arc::new(issuer), chain: chain.into(), not_after })
    }

    /// Certifies the key in `csr` (PKCS #10, DER) for exactly `id`, from now for `ttl`, at most until the
    /// intermediate ends. The chain is leaf, intermediate, root. Names and wishes in the CSR are ignored.
    pub fn sign(&self, csr: &[u8], id: &SpiffeId, ttl: Duration) -> Result<Vec<Vec<u8>>, SignError> {
        self.certify(csr, id, None, ttl)
    }

    /// As [`Signer::sign`], for one registration: its uid stands in the leaf, so that replicas of one identity
    /// are told apart by what they proved (`model::trust::Proof`).
    pub fn sign_registered(
        &self,
        csr: &[u8],
        id: &SpiffeId,
        uid: &str,
        ttl: Duration,
    ) -> Result<Vec<Vec<u8>>, SignError> {
        self.certify(csr, id, Some(uid), ttl)
    }

    fn certify(
        &self,
        csr: &[u8],
        id: &SpiffeId,
        uid: Option<&str>,
        ttl: Duration,
    ) -> Result<Vec<Vec<u8>>, SignError> {
        if id.trust_domain != self.trust_domain {
            let trust_domain = self.trust_domain.clone();
            return Err(SignError::OtherDomain { id: id.clone(), trust_domain });
        }
        let now = SystemTime::now();
        if self.not_after <= now {
            return Err(SignError::Expired);
        }
        let not_after = (now + ttl.clamp(LEAF_TTL_MIN, LEAF_TTL_MAX)).min(self.not_after);
        let key = public_key(csr)?;
        let mut params = leaf_params(id, now, not_after)?;
        if let Some(uid) = uid {
            params.distinguished_name.push(DnType::CommonName, uid);
        }
        let leaf = params.signed_by(&key, &self.issuer).map_err(SignError::Write)?;
        let mut chain = vec![leaf.der().to_vec()];
        chain.extend(self.chain.iter().cloned());
        Ok(chain)
    }

    /// When the intermediate ends; ask for a new one well before.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The cluster that what it signs is vouched for by; `None`: the intermediate names none.
    pub fn cluster(&self) -> Option<Arc<str>> {
        self.chain.first().and_then(|der| identity::cluster(der))
    }

    /// Whom it signs for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The last certificate of the chain, DER.
    pub fn root(&self) -> &[u8] {
        self.chain.last().map(Vec::as_slice).unwrap_or_default()
    }
}

/// The key in a request whose own signature is good.
pub(crate) fn public_key(csr: &[u8]) -> Result<PublicKey, SignError> {
    if csr.len() > CSR_BYTES_MAX {
        return Err(SignError::TooLarge(csr.len()));
    }
    let request = CertificateSigningRequestParams::from_der(&csr.into()).map_err(SignError::Request)?;
    let kind = request.public_key.algorithm();
    if *kind != rcgen::PKCS_ECDSA_P256_SHA256 && *kind != rcgen::PKCS_ECDSA_P384_SHA384 {
        return Err(SignError::KeyKind);
    }
    Ok(request.public_key)
}

/// A leaf that is an SVID (SPIFFE X509-SVID): one URI name, digital signature, both sides of TLS.
pub(crate) fn leaf_params(
    id: &SpiffeId,
    now: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, SignError> {
    let mut params = base_params(now, not_after)?;
    let uri = Ia5String::try_from(id.to_string()).map_err(SignError::Write)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// A signing certificate; the organizational unit names the cluster that it is for. No URI name constraints: rustls-webpki refuses every leaf below them, and the
/// verifier binds roots to trust domains anyway.
pub(crate) fn ca_params(
    name: &str,
    cluster: Option<&str>,
    constraint: BasicConstraints,
    now: SystemTime,
    not_after: SystemTime,
) -> Result<CertificateParams, SignError> {
    let mut params = base_params(now, not_after)?;
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(cluster) = cluster {
        params.distinguished_name.push(DnType::OrganizationalUnitName, cluster);
    }
    params.is_ca = IsCa::Ca(constraint);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn base_params(now: SystemTime, not_after: SystemTime) -> Result<CertificateParams, SignError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let life = not_after.duration_since(now).unwrap_or_default();
    params.not_before = OffsetDateTime::from(now - BACKDATED_MAX.min(life / 10));
    params.not_after = OffsetDateTime::from(not_after);
    params.serial_number = Some(serial()?);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn serial() -> Result<SerialNumber, SignError> {
    let mut bytes = [0_u8; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SignError::Random)?;
    bytes[0] &= 0x7f;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests;
