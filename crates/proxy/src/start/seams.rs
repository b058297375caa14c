//! The one way to hand in something other than the real world.

use daemon::clock::{Clock, System};
use filter::Chains;
use std::sync::Arc;

/// What a proxy takes from outside itself.
#[derive(Clone)]
pub struct Seams {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Seeds of all dice: of the workers' choices and of jitter.
    pub seed: u64,
    /// Filters that may wait (crate `filter`). No kind makes any yet: only tests give some.
    pub filters: Chains,
    /// Name servers for names outside the mesh; empty: those of `/etc/resolv.conf`.
    pub nameservers: Vec<std::net::SocketAddr>,
}

impl Seams {
    /// The real ones.
    pub fn real() -> Self {
        let seed = std::hash::BuildHasher::hash_one(
            &std::collections::hash_map::RandomState::new(),
            std::process::id(),
        );
        Self { clock: Arc::new(System), seed, filters: Chains::default(), nameservers: Vec::new() }
    }
}
