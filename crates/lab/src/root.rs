//! The demo's root of trust: its key lives in the memory of the lab's PID 1 and nowhere else.
//!
//! Control planes and the manager ask for their certificates over a socket that they inherit; what may be
//! signed is fixed here, whatever they ask for.

use anyhow::{Context, Result};
use ca::issuer::serve::{Grant, Holder, Lifetimes, serve};
use model::{SpiffeId, TrustDomain};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Life of the root: longer than anybody leaves a demo running.
const ROOT_TTL: Duration = Duration::from_secs(365 * 24 * 3600);
/// Life of what it signs: control planes renew theirs while the demo runs.
const LIFETIMES: Lifetimes =
    Lifetimes { intermediate: Duration::from_secs(24 * 3600), leaf: Duration::from_secs(24 * 3600) };
/// Namespace of the mesh's own programs.
const SYSTEM_NAMESPACE: &str = "leno-system";

/// Holder of the root key.
pub(crate) struct LabRoot {
    trust_domain: TrustDomain,
    holder: Holder,
}

impl LabRoot {
    /// Makes a root with a new key.
    pub(crate) fn create(trust_domain: &str) -> Result<Self> {
        let trust_domain = TrustDomain::parse(trust_domain).context("read the trust domain")?;
        let root = ca::Root::generate(trust_domain.clone(), ROOT_TTL).context("make the demo's root key")?;
        Ok(Self { trust_domain, holder: Holder { root, lifetimes: LIFETIMES } })
    }

    /// A socket over which the control plane of `cluster` has its signing certificate signed, with which it
    /// signs its own.
    pub(crate) fn for_control(&self, cluster: &str) -> Result<OwnedFd> {
        let trust_domain = self.trust_domain.clone();
        let intermediate = Grant::Intermediate { trust_domain, cluster: cluster.into() };
        self.serve(vec![intermediate])
    }

    /// A socket over which the manager has its own certificate signed.
    pub(crate) fn for_manager(&self) -> Result<OwnedFd> {
        self.serve(vec![Grant::Leaf(self.system_id("manager"))])
    }

    fn system_id(&self, service_account: &str) -> SpiffeId {
        SpiffeId {
            trust_domain: self.trust_domain.clone(),
            namespace: SYSTEM_NAMESPACE.into(),
            service_account: service_account.into(),
        }
    }

    fn serve(&self, grants: Vec<Grant>) -> Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair().context("make an issuer's socket")?;
        ours.set_nonblocking(true)?;
        let ours = tokio::net::UnixStream::from_std(ours)?;
        let holder = self.holder.clone();
        tokio::task::spawn_local(async move {
            // Ends with the process at the other end.
            if let Err(error) = serve(ours, &holder, grants.as_slice()).await {
                tracing::warn!(%error, "an issuer's socket failed");
            }
        });
        Ok(theirs.into())
    }
}
