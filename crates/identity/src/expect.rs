//! Which server identities a client accepts.

use model::{SpiffeId, TrustDomain};
use std::sync::Arc;

/// Which server identities a client accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// One of these identities; an empty list accepts nobody.
    OneOf(Vec<SpiffeId>),
    /// The control plane of one cluster.
    Control {
        /// Whose roots may name clusters.
        trust_domain: TrustDomain,
        /// The cluster whose signing certificate must vouch for it.
        cluster: Arc<str>,
    },
    /// Before joining: a control plane (`ns/leno-system/sa/control`) whose chain contains the root with
    /// this SHA-256 (of the DER) and is signed by it.
    PinnedRoot([u8; 32]),
    /// Before a plane has its first certificate: whoever holds the root with this SHA-256
    /// (`ns/leno-system/sa/root`), certified by that root itself.
    PinnedHolder([u8; 32]),
}
