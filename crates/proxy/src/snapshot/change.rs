//! What changes in one step from one snapshot to the next.

use super::ResolvedName;
use model::{Resource, ResourceKey, Subscription};
use std::net::IpAddr;

/// What changes in one step.
#[derive(Default)]
pub struct SnapshotChange {
    /// New or changed.
    pub upserts: Vec<(ResourceKey, Resource)>,
    /// Gone.
    pub removed: Vec<ResourceKey>,
    /// Asked for and not there.
    pub absent: Vec<Subscription>,
    /// No longer asked for: what is known of their absence is forgotten.
    pub forgotten: Vec<Subscription>,
    /// Names that were answered for, with all their addresses.
    pub resolved: Vec<(ResolvedName, Vec<IpAddr>)>,
}
