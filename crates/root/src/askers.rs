//! What may be signed for whom, wherever it is asked.

use ca::RefusalCode;
use ca::issuer::serve::{Grant, SigningRefusal};
use identity::{MANAGER_ACCOUNT, SYSTEM_NAMESPACE};
use model::{SpiffeId, TrustDomain};

/// Longest name of a cluster, in bytes: what a certificate holds as an organizational unit (RFC 5280, appendix A).
const CLUSTER_BYTES_MAX: usize = 64;

/// A cluster's intermediate.
pub(crate) fn intermediate(trust_domain: &TrustDomain, cluster: &str) -> Grant {
    Grant::Intermediate { trust_domain: trust_domain.clone(), cluster: cluster.to_owned() }
}

/// The management plane's leaf.
pub(crate) fn manager(trust_domain: &TrustDomain) -> Grant {
    Grant::Leaf(system_id(trust_domain, MANAGER_ACCOUNT))
}

/// A program of the mesh's own.
pub(crate) fn system_id(trust_domain: &TrustDomain, account: &str) -> SpiffeId {
    SpiffeId {
        trust_domain: trust_domain.clone(),
        namespace: SYSTEM_NAMESPACE.into(),
        service_account: account.into(),
    }
}

/// A name that a certificate can hold and a log shows as it is.
pub(crate) fn cluster_name(name: &str) -> Result<&str, SigningRefusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > CLUSTER_BYTES_MAX || !name.bytes().all(is_plain) {
        let reason = format!(
            "{name:?} is no name of a cluster: 1 to {CLUSTER_BYTES_MAX} letters, digits, `-`, `_` and `.`"
        );
        return Err(SigningRefusal::new(RefusalCode::NotGranted, reason));
    }
    Ok(name)
}
