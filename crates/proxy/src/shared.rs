//! What all threads of one proxy share: nothing here locks while a request is served. Built by `start`, held by
//! every worker.

use crate::dns::NameCache;
use crate::listening::Listening;
use crate::lookup::Lookup;
use crate::observe::Observe;
use crate::options::Options;
use crate::probe::Probing;
use crate::proven::ProvenPeers;
use crate::snapshot::{LocalNode, Retries, SnapshotStore};
use daemon::Drain;
use daemon::clock::Clock;
use filter::Chains;
use identity::Identity;
use std::sync::Arc;

/// What all threads of one proxy share. Each worker holds it in an `Arc`.
pub(crate) struct Shared {
    /// As given on the command line.
    pub options: Options,
    /// Who this proxy is, fixed when it joined.
    pub me: LocalNode,
    /// The configuration in force.
    pub store: Arc<SnapshotStore>,
    /// Asks for what the configuration does not have.
    pub lookup: Lookup,
    /// Addresses of names outside the mesh that applications say.
    pub name_cache: NameCache,
    /// Certificates and trust; without an SVID in `leno gateway`.
    pub identity: Identity,
    /// What the other ends of connections have proved.
    pub proven: Arc<ProvenPeers>,
    /// Metrics and access log; a worker takes its own recorder once, by `observe.recorder()`.
    pub observe: Arc<Observe>,
    /// What is known of the application.
    pub probing: Arc<Probing>,
    /// Started when the proxy is to stop.
    pub drain: Drain,
    /// Each worker reports here what it has opened and closed.
    pub listening: Arc<Listening>,
    /// What the local application had lately of requests and retries.
    pub deliveries: Retries,
    /// Filters that may wait.
    pub filters: Chains,
    /// Time, the real one or a test's.
    pub clock: Arc<dyn Clock>,
}
