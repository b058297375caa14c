//! Certificates that were made elsewhere and are given with their keys, once, over an inherited descriptor.
//!
//! Nobody renews them: a plane lives on one until it expires, and is started anew with another.

use super::check::{self, UnfitIntermediate};
use super::intermediate::IntermediateIssuer;
use super::{Issued, RootIssuer};
use crate::key::{SigningKey, UnusableKey};
use crate::pem::{self, PemChain, PemError};
use identity::{Identity, Key, KeyError, MANAGER_ACCOUNT, SYSTEM_NAMESPACE, Svid, SvidError};
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::SystemTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Options of a control plane's intermediate.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct IntermediateOptions {
    /// Instead of --issuer: inherited descriptor from which this cluster's intermediate is read once, as PEM: its
    /// certificate, those above it up to the root, and its key (PKCS#8); 0 is standard input. It is not renewed
    #[arg(long, value_name = "FD", conflicts_with_all = ["issuer", "issuer_fd"], requires = "trust_domain")]
    pub intermediate_fd: Option<RawFd>,
}

/// Options of the management plane's certificate.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CertificateOptions {
    /// Instead of --issuer: inherited descriptor from which this plane's certificate is read once, as PEM: the
    /// certificate of spiffe://TRUST-DOMAIN/ns/leno-system/sa/manager, the root that signed it, and its key (PKCS#8,
    /// P-256); 0 is standard input. It is not renewed
    #[arg(long, value_name = "FD", conflicts_with_all = ["issuer", "issuer_fd", "trust_domain"])]
    pub certificate_fd: Option<RawFd>,
}

/// Where a plane's certificate comes from.
#[derive(Clone)]
pub enum CertificateSource<T> {
    /// Asked for, and renewed in time.
    Issued(Arc<dyn RootIssuer>),
    /// Given.
    Plugged(T),
}

/// Why what was given is not used.
#[derive(Debug, thiserror::Error)]
pub enum PluggedError {
    /// It was not read.
    #[error("read descriptor {fd}")]
    Read {
        /// The descriptor.
        fd: RawFd,
        /// Why.
        #[source]
        cause: PemError,
    },
    /// Its key.
    #[error(transparent)]
    Key(#[from] UnusableKey),
    /// Its key, where it must be of P-256.
    #[error(transparent)]
    LeafKey(#[from] KeyError),
    /// There is no root to trust.
    #[error(
        "the last of the {0} certificates is no root (it did not sign itself); pass the whole chain, the root last"
    )]
    NoRoot(usize),
    /// An intermediate that is none.
    #[error("use the intermediate; it must be the first certificate, with its key")]
    Unfit(#[from] UnfitIntermediate),
    /// A leaf that is none.
    #[error("use the certificate; it must be the first one, with its key")]
    Leaf(#[from] SvidError),
    /// A leaf of somebody else.
    #[error(
        "the certificate is for {found}, it must be for spiffe://TRUST-DOMAIN/ns/{SYSTEM_NAMESPACE}/sa/{MANAGER_ACCOUNT}"
    )]
    OtherId {
        /// Whom it names.
        found: SpiffeId,
    },
    /// A leaf that nobody believes.
    #[error("control planes would not believe the certificate: {0}")]
    Unbelieved(String),
}

/// Reads a cluster's intermediate.
///
/// # Errors
/// When it is not fit to sign.
pub fn read_intermediate(
    fd: RawFd,
    trust_domain: TrustDomain,
    cluster: &str,
    now: SystemTime,
) -> Result<IntermediateIssuer, PluggedError> {
    let pem = pem::read_inherited(fd).map_err(|cause| PluggedError::Read { fd, cause })?;
    intermediate(pem, trust_domain, cluster, now)
}

fn intermediate(
    pem: PemChain,
    trust_domain: TrustDomain,
    cluster: &str,
    now: SystemTime,
) -> Result<IntermediateIssuer, PluggedError> {
    let key = SigningKey::from_pkcs8(&pem.key)?;
    let bundles = vec![bundle(&pem, trust_domain.clone())?];
    let issued = Issued { chain: pem.certificates, bundles, id: None, trust_domain };
    Ok(check::intermediate(key, issued, cluster, now)?)
}

/// Reads the management plane's own certificate: an identity that has it and trusts its root.
///
/// # Errors
/// When control planes would not believe it.
pub fn read_own_certificate(fd: RawFd, now: SystemTime) -> Result<Identity, PluggedError> {
    let pem = pem::read_inherited(fd).map_err(|cause| PluggedError::Read { fd, cause })?;
    own_certificate(pem, now)
}

fn own_certificate(pem: PemChain, now: SystemTime) -> Result<Identity, PluggedError> {
    let svid = Svid::new(Key::from_pkcs8(&pem.key)?, pem.certificates.clone())?;
    if *svid.id.namespace != *SYSTEM_NAMESPACE || *svid.id.service_account != *MANAGER_ACCOUNT {
        return Err(PluggedError::OtherId { found: svid.id });
    }
    let identity = Identity::new(vec![bundle(&pem, svid.id.trust_domain.clone())?]);
    let proof = identity.proof_at(svid.chain(), now);
    proof.map_err(|error| PluggedError::Unbelieved(error.to_string()))?;
    identity.install(svid);
    Ok(identity)
}

/// The root at the end of the chain.
fn bundle(pem: &PemChain, trust_domain: TrustDomain) -> Result<TrustBundle, PluggedError> {
    let is_root = |der: &&Vec<u8>| {
        let parsed = X509Certificate::from_der(der);
        parsed.is_ok_and(|(_, root)| root.subject().as_raw() == root.issuer().as_raw())
    };
    let root = pem.certificates.last().filter(is_root);
    let root = root.ok_or(PluggedError::NoRoot(pem.certificates.len()))?;
    Ok(TrustBundle { trust_domain, roots: vec![root.clone()] })
}

#[cfg(test)]
mod tests;
