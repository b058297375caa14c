//! Which names the mesh answers for: one small resource that every proxy has.

use crate::id::Hostname;
use std::sync::Arc;

/// A query below a suffix is answered by the mesh (absent is NXDOMAIN); all else is forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// For example `mesh.internal`, `svc.cluster.local`.
    pub suffixes: Vec<Arc<str>>,
    /// Single names outside the suffixes.
    pub hosts: Vec<Hostname>,
}
