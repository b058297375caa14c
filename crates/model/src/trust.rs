//! Whom to trust.

use crate::id::TrustDomain;

/// Trust anchors of one trust domain. Never holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    /// The domain that they vouch for, and no other.
    pub trust_domain: TrustDomain,
    /// DER certificates of the roots.
    pub roots: Vec<Vec<u8>>,
}
