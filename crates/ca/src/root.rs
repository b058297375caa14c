//! A root in memory: made here, for the demo, for tests and to begin with, or read once because it lies offline.

use crate::issuer::{Issued, check};
use crate::key::{SigningKey, UnusableKey};
use crate::pem::PemChain;
use crate::sign::{SignError, Signer, ca_params, leaf_params, public_key};
use identity::{CertificateDer, Key};
use model::time::rfc3339;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use rcgen::BasicConstraints;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A cluster that is asked for to see what a root is good for.
const PROBE_CLUSTER: &str = "probe";
/// Life of its intermediate.
const PROBE_TTL: Duration = Duration::from_secs(600);

/// A root key with its certificate. Copies share it.
#[derive(Clone)]
pub struct Root {
    trust_domain: TrustDomain,
    issuer: Arc<rcgen::Issuer<'static, SigningKey>>,
    der: Arc<[u8]>,
    not_after: SystemTime,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

/// Why what was read is no root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Its key.
    #[error(transparent)]
    Key(#[from] UnusableKey),
    /// More certificates, or one that cannot be read.
    #[error("{0} certificates were given, exactly one is expected: the root itself")]
    Certificates(usize),
    /// It is not what it should be.
    #[error("the certificate {0}")]
    Form(&'static str),
    /// It is over, or not yet valid.
    #[error("the root certificate is valid from {begins} to {ends}")]
    Life {
        /// Valid from.
        begins: String,
        /// Valid to.
        ends: String,
    },
    /// It cannot sign.
    #[error("use the root")]
    Sign(#[source] SignError),
    /// What it would sign is not believed.
    #[error("peers would not believe what the root signs: {0}")]
    Unbelieved(String),
}

impl Root {
    /// A new self-signed root, valid for `ttl`.
    pub fn generate(trust_domain: TrustDomain, ttl: Duration) -> Result<Self, SignError> {
        let key = Key::generate().map_err(SignError::Key)?;
        let now = SystemTime::now();
        let name = format!("{trust_domain} root");
        let not_after = now + ttl;
        let params = ca_params(&name, None, BasicConstraints::Constrained(1), now, not_after)?;
        let der: Arc<[u8]> = params.self_signed(&key).map_err(SignError::Write)?.der().to_vec().into();
        Self::new(trust_domain, key.into(), der, not_after)
    }

    /// A root that was made elsewhere. The bytes of its key go no further than the cryptographic library.
    ///
    /// # Errors
    /// When it is no root, or would sign what nobody believes.
    pub fn read(trust_domain: TrustDomain, pem: &PemChain, now: SystemTime) -> Result<Self, RootError> {
        let key = SigningKey::from_pkcs8(&pem.key)?;
        let [der] = pem.certificates.as_slice() else {
            return Err(RootError::Certificates(pem.certificates.len()));
        };
        let not_after = check_form(der, &key, now)?;
        let root = Self::new(trust_domain, key, der.as_slice().into(), not_after).map_err(RootError::Sign)?;
        root.probe(now)?;
        Ok(root)
    }

    fn new(
        trust_domain: TrustDomain,
        key: SigningKey,
        der: Arc<[u8]>,
        not_after: SystemTime,
    ) -> Result<Self, SignError> {
        let issuer = rcgen::Issuer::from_ca_cert_der(&CertificateDer::from(der.to_vec()), key);
        Ok(Self { trust_domain, issuer: Arc::new(issuer.map_err(SignError::Write)?), der, not_after })
    }

    /// Whether a control plane would take an intermediate of this root.
    fn probe(&self, now: SystemTime) -> Result<(), RootError> {
        let make = || -> Result<(Key, Issued), SignError> {
            let key = Key::generate().map_err(SignError::Key)?;
            let csr = key.csr().map_err(SignError::Key)?;
            let chain = self.sign_intermediate(&csr, PROBE_CLUSTER, PROBE_TTL)?;
            let trust_domain = self.trust_domain.clone();
            Ok((key, Issued { chain, bundles: vec![self.bundle()], id: None, trust_domain }))
        };
        let (key, issued) = make().map_err(RootError::Sign)?;
        match check::intermediate(key, issued, PROBE_CLUSTER, now) {
            Ok(_) => Ok(()),
            Err(unfit) => Err(RootError::Unbelieved(unfit.to_string())),
        }
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate: what join tokens pin.
    pub fn pin(&self) -> [u8; 32] {
        crate::token::pin_of(&self.der)
    }

    /// Whom it vouches for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// As a trust bundle.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle { trust_domain: self.trust_domain.clone(), roots: vec![self.der.to_vec()] }
    }

    /// Certifies the key in `csr` as the intermediate CA of `cluster`, which may sign leaves only. Whatever it
    /// signs is vouched for by that cluster (`identity::cluster`). The chain is intermediate, root.
    pub fn sign_intermediate(
        &self,
        csr: &[u8],
        cluster: &str,
        ttl: Duration,
    ) -> Result<Vec<Vec<u8>>, SignError> {
        let key = public_key(csr)?;
        let now = SystemTime::now();
        let not_after = (now + ttl).min(self.not_after);
        let name = format!("{} cluster {cluster}", self.trust_domain);
        let params = ca_params(&name, Some(cluster), BasicConstraints::Constrained(0), now, not_after)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(SignError::Write)?;
        Ok(vec![certificate.der().to_vec(), self.der.to_vec()])
    }

    /// Certifies the key in `csr` for exactly `id`. The chain is leaf, root.
    pub fn sign_leaf(&self, csr: &[u8], id: &SpiffeId, ttl: Duration) -> Result<Vec<Vec<u8>>, SignError> {
        if id.trust_domain != self.trust_domain {
            return Err(SignError::OtherDomain { id: id.clone(), trust_domain: self.trust_domain.clone() });
        }
        let key = public_key(csr)?;
        let now = SystemTime::now();
        let params = leaf_params(id, now, (now + ttl).min(self.not_after))?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(SignError::Write)?;
        Ok(vec![leaf.der().to_vec(), self.der.to_vec()])
    }

    /// A new intermediate with its key, in this process: tests and the demo's own parts.
    pub fn intermediate(&self, cluster: &str, ttl: Duration) -> Result<Signer, SignError> {
        let key = Key::generate().map_err(SignError::Key)?;
        let csr = key.csr().map_err(SignError::Key)?;
        Signer::new(self.trust_domain.clone(), key, self.sign_intermediate(&csr, cluster, ttl)?)
    }
}

/// What can be seen of a root by itself; when it ends.
fn check_form(der: &[u8], key: &SigningKey, now: SystemTime) -> Result<SystemTime, RootError> {
    let Ok(([], certificate)) = X509Certificate::from_der(der) else {
        return Err(RootError::Form("cannot be read"));
    };
    if certificate.public_key().subject_public_key.data.as_ref() != key.public() {
        return Err(RootError::Form("is for another key than the one behind it"));
    }
    if certificate.subject().as_raw() != certificate.issuer().as_raw() {
        return Err(RootError::Form("is no root: somebody else signed it"));
    }
    let basic = certificate.basic_constraints().ok().flatten().map(|basic| basic.value);
    if !basic.is_some_and(|basic| basic.ca && basic.path_len_constraint != Some(0)) {
        return Err(RootError::Form(
            "may not sign intermediates (CA:TRUE, and a path length of at least 1 or none)",
        ));
    }
    let usage = certificate.key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(RootError::Form("may not sign certificates (key usage)"));
    }
    let at = |unix_s: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_s).unwrap_or(0));
    let validity = certificate.validity();
    let (begins, ends) = (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()));
    if begins > now || ends <= now {
        return Err(RootError::Life { begins: rfc3339(begins), ends: rfc3339(ends) });
    }
    Ok(ends)
}

#[cfg(test)]
mod tests;
