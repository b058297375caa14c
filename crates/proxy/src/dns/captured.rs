//! Whether capture takes a mesh-only address on this host: by this proxy's options and its group's annotations.
//!
//! An address that it leaves alone leads nowhere, so no application is told of it.

use arc_swap::ArcSwap;
use model::address::MeshPrefix;
use model::capture_scope::{AddressBlock, CaptureScope};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// See the module's head.
pub(crate) struct Captured {
    /// What the owner of the host says.
    owner: CaptureScope,
    in_force: ArcSwap<CaptureScope>,
}

impl Captured {
    /// All is captured but what the owner of the host excludes.
    pub(crate) fn new(excluded: &BTreeSet<AddressBlock>) -> Self {
        let owner = CaptureScope { exclude_outbound_ip_ranges: excluded.clone(), ..CaptureScope::default() };
        Self { in_force: ArcSwap::from_pointee(owner.clone()), owner }
    }

    /// The mesh has this prefix, the group these annotations. One without a reading changes nothing, as on the host.
    pub(crate) fn configure(&self, mesh_prefix: MeshPrefix, annotations: &[(Arc<str>, Arc<str>)]) {
        let owner = CaptureScope { mesh_prefix, ..self.owner.clone() };
        match owner.annotated(annotations.iter().map(|(name, value)| (&**name, &**value))) {
            Ok(scope) => self.in_force.store(Arc::new(scope)),
            Err(error) => tracing::warn!(%error, "an annotation about capture has no reading"),
        }
    }

    /// Whether a connection to this address comes to us.
    pub(crate) fn takes(&self, ip: IpAddr) -> bool {
        self.in_force.load().takes_outbound(ip)
    }
}
