//! Who asks at the Unix socket: the user that the kernel names.

use crate::limits::SigningRate;
use ca::RefusalCode;
use ca::issuer::serve::{Grant, Granting, SigningRefusal, Wish};
use model::{SpiffeId, TrustDomain};
use std::sync::Arc;
use std::time::Instant;

/// Service account of the management plane.
const MANAGER_ACCOUNT: &str = "manager";
/// Namespace of the mesh's own programs.
const SYSTEM_NAMESPACE: &str = "leno-system";
/// Longest name of a cluster, in bytes: what a certificate holds as an organizational unit (RFC 5280, appendix A).
const CLUSTER_BYTES_MAX: usize = 64;

/// Which users may ask.
#[derive(Clone, Debug)]
pub(crate) struct AllowedUsers(Arc<[u32]>);

impl AllowedUsers {
    /// Root, the user of this process, and further ones.
    pub(crate) fn new(further: &[u32]) -> Self {
        let own = nix::unistd::geteuid().as_raw();
        Self([0, own].into_iter().chain(further.iter().copied()).collect())
    }

    fn contains(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }
}

/// One connection's other end.
pub(crate) struct LocalAsker {
    pub(crate) uid: u32,
    pub(crate) pid: Option<i32>,
    pub(crate) allowed: AllowedUsers,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) rate: Arc<SigningRate<u32>>,
}

impl Granting for LocalAsker {
    fn who(&self) -> String {
        match self.pid {
            Some(pid) => format!("uid {} pid {pid}", self.uid),
            None => format!("uid {}", self.uid),
        }
    }

    fn grant(&self, wish: Wish<'_>) -> Result<Grant, SigningRefusal> {
        if !self.allowed.contains(self.uid) {
            let uid = self.uid;
            let reason = format!("uid {uid} may not ask here; `leno root --allow-uid {uid}` lets it");
            return Err(SigningRefusal::new(RefusalCode::NotGranted, reason));
        }
        let grant = match wish {
            Wish::Intermediate(Some(cluster)) => Grant::Intermediate {
                trust_domain: self.trust_domain.clone(),
                cluster: cluster_name(cluster)?.to_owned(),
            },
            Wish::Intermediate(None) => {
                return Err(SigningRefusal::new(RefusalCode::NotGranted, "the question names no cluster"));
            }
            Wish::Leaf => Grant::Leaf(SpiffeId {
                trust_domain: self.trust_domain.clone(),
                namespace: SYSTEM_NAMESPACE.into(),
                service_account: MANAGER_ACCOUNT.into(),
            }),
        };
        self.rate.take(self.uid, Instant::now())?;
        Ok(grant)
    }
}

/// A name that a certificate can hold and a log shows as it is.
fn cluster_name(name: &str) -> Result<&str, SigningRefusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > CLUSTER_BYTES_MAX || !name.bytes().all(is_plain) {
        let reason = format!(
            "{name:?} is no name of a cluster: 1 to {CLUSTER_BYTES_MAX} letters, digits, `-`, `_` and `.`"
        );
        return Err(SigningRefusal::new(RefusalCode::NotGranted, reason));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
