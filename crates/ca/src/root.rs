//! A root in memory, for the demo and for tests. Real roots live in Vault, a cloud CA, an HSM or offline.

use crate::sign::{SignError, Signer, ca_params, leaf_params, public_key};
use identity::{CertificateDer, Key};
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use rcgen::BasicConstraints;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A root key with its certificate. Copies share it.
#[derive(Clone)]
pub struct Root {
    trust_domain: TrustDomain,
    issuer: Arc<rcgen::Issuer<'static, Key>>,
    der: Arc<[u8]>,
    not_after: SystemTime,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
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
        let issuer = rcgen::Issuer::from_ca_cert_der(&CertificateDer::from(der.to_vec()), key);
        Ok(Self { trust_domain, issuer: Arc::new(issuer.map_err(SignError::Write)?), der, not_after })
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
