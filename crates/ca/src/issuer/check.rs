//! What a signing certificate must be before a control plane signs with it, whoever it came from.
//!
//! The last check is the one that peers make: a leaf is signed and verified. Those before it say more clearly what is wrong.

use super::Issued;
use super::intermediate::IntermediateIssuer;
use crate::key::SigningKey;
use crate::sign::{SignError, Signer};
use identity::{CONTROL_ACCOUNT, CertificateDer, Identity, Key, SYSTEM_NAMESPACE};
use model::SpiffeId;
use model::time::rfc3339;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A signing certificate that ends sooner is of no use: what it signs would be over before it is renewed.
pub const LIFE_LEFT_MIN: Duration = Duration::from_secs(30);
/// Life of the leaf that is signed to see whether peers believe it.
const PROBE_TTL: Duration = Duration::from_secs(20);

/// Why a control plane does not sign with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum UnfitIntermediate {
    /// It is none for our key, or none that signs.
    #[error("use the signing certificate")]
    Sign(#[source] SignError),
    /// Nobody but us would notice, so it is refused here.
    #[error("the signing certificate is for cluster {}, this is {cluster}; the holder of the root writes the name as the subject's one organizational unit (OU)", found.as_deref().unwrap_or("(none)"))]
    OtherCluster {
        /// The cluster that it names.
        found: Option<Arc<str>>,
        /// This one.
        cluster: String,
    },
    /// It could make intermediates of other clusters.
    #[error("the signing certificate has {}, it must have path length 0: with more it could speak for other clusters", found.map_or_else(|| "no path length".to_owned(), |length| format!("path length {length}")))]
    PathLength {
        /// What it has.
        found: Option<u32>,
    },
    /// Peers' TLS libraries refuse every leaf below it.
    #[error(
        "the signing certificate or one above it has name constraints for URIs, below which peers believe no identity; have it signed without"
    )]
    UriConstraints,
    /// Too late, too early, or for too short a time.
    #[error("the signing certificate is valid from {begins} to {ends}, it is {now} now; at least {} s must be left", LIFE_LEFT_MIN.as_secs())]
    Life {
        /// Valid from.
        begins: String,
        /// Valid to.
        ends: String,
        /// By our clock.
        now: String,
    },
    /// It does not lead to a root of its own domain.
    #[error("the last certificate of the chain is no root of {0} in the trust bundles that came with it")]
    NoRoot(String),
    /// What peers would say.
    #[error("peers would not believe what the signing certificate signs: {0}")]
    Unbelieved(String),
}

/// Joins a key with what was signed for it, if it is fit for `cluster`.
///
/// # Errors
/// With what is wrong.
pub fn intermediate(
    key: impl Into<SigningKey>,
    issued: Issued,
    cluster: &str,
    now: SystemTime,
) -> Result<IntermediateIssuer, UnfitIntermediate> {
    let Issued { chain, bundles, trust_domain, .. } = issued;
    for (at, der) in chain.iter().enumerate() {
        form(der, at == 0, now)?;
    }
    let signer = Signer::new(trust_domain, key, chain).map_err(UnfitIntermediate::Sign)?;
    match signer.cluster() {
        Some(found) if *found == *cluster => {}
        found => return Err(UnfitIntermediate::OtherCluster { found, cluster: cluster.into() }),
    }
    let own = bundles.iter().find(|bundle| bundle.trust_domain == *signer.trust_domain());
    if !own.is_some_and(|bundle| bundle.roots.iter().any(|root| root == signer.root())) {
        return Err(UnfitIntermediate::NoRoot(signer.trust_domain().to_string()));
    }
    let held = IntermediateIssuer { signer, bundles };
    probe(&held)?;
    Ok(held)
}

/// What can be seen of a certificate of the chain by itself.
fn form(der: &[u8], is_first: bool, now: SystemTime) -> Result<(), UnfitIntermediate> {
    let malformed = || UnfitIntermediate::Sign(SignError::Chain("malformed"));
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| malformed())?;
    let constraints = certificate.name_constraints().map_err(|_| malformed())?;
    let is_uri = |name: &GeneralName<'_>| matches!(name, GeneralName::URI(_));
    if constraints.is_some_and(|constraints| {
        let trees = [&constraints.value.permitted_subtrees, &constraints.value.excluded_subtrees];
        trees.into_iter().flatten().flatten().any(|tree| is_uri(&tree.base))
    }) {
        return Err(UnfitIntermediate::UriConstraints);
    }
    if !is_first {
        return Ok(());
    }
    let basic = certificate.basic_constraints().map_err(|_| malformed())?;
    if let Some(basic) = basic.filter(|basic| basic.value.ca && basic.value.path_len_constraint != Some(0)) {
        return Err(UnfitIntermediate::PathLength { found: basic.value.path_len_constraint });
    }
    let usage = certificate.key_usage().map_err(|_| malformed())?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(UnfitIntermediate::Sign(SignError::Chain("it may not sign certificates (key usage)")));
    }
    let at = |unix_s: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_s).unwrap_or(0));
    let validity = certificate.validity();
    let (begins, ends) = (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()));
    if begins > now || ends < now + LIFE_LEFT_MIN {
        let [begins, ends, now] = [begins, ends, now].map(rfc3339);
        return Err(UnfitIntermediate::Life { begins, ends, now });
    }
    Ok(())
}

/// Signs a leaf and verifies it as a peer does.
fn probe(held: &IntermediateIssuer) -> Result<(), UnfitIntermediate> {
    let id = SpiffeId {
        trust_domain: held.signer.trust_domain().clone(),
        namespace: SYSTEM_NAMESPACE.into(),
        service_account: CONTROL_ACCOUNT.into(),
    };
    let key = Key::generate().map_err(|error| UnfitIntermediate::Sign(SignError::Key(error)))?;
    let csr = key.csr().map_err(|error| UnfitIntermediate::Sign(SignError::Key(error)))?;
    let chain = held.signer.sign(&csr, &id, PROBE_TTL).map_err(UnfitIntermediate::Sign)?;
    let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
    let peer = Identity::new(held.bundles.clone());
    // It was signed by the machine's clock.
    match peer.proof_at(&chain, SystemTime::now()) {
        Ok(_) => Ok(()),
        Err(error) => Err(UnfitIntermediate::Unbelieved(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
