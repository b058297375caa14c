//! What a proxy has before it knows who it is: all its parts are started on this.

use super::reserved::Reserved;
use super::{Seams, StartError};
use crate::dns::{self, Forwarder, NameCache};
use crate::listening::Listening;
use crate::lookup::{Lookup, LookupQuery};
use crate::observe::{AccessLog, Observe};
use crate::options::Options;
use crate::probe::Probing;
use crate::shared::Shared;
use crate::snapshot::{LocalNode, Retries, SnapshotStore};
use daemon::{Drain, Gate, Tasks};
use decide::dice::Pcg;
use identity::Identity;
use std::sync::Arc;
use tokio::sync::mpsc;

/// See the module's head.
pub(super) struct Unjoined {
    pub(super) options: Options,
    pub(super) seams: Seams,
    pub(super) observe: Arc<Observe>,
    pub(super) probing: Arc<Probing>,
    pub(super) identity: Identity,
    /// Started when the proxy is to stop.
    pub(super) drain: Drain,
    /// What runs on the control thread.
    pub(super) tasks: Tasks,
    pub(super) dice: Pcg,
}

impl Unjoined {
    /// Opens the access log; nothing else can fail.
    pub(super) fn new(options: Options, seams: Seams, drain: Drain) -> Result<Self, StartError> {
        let open = |path: &std::path::PathBuf| {
            AccessLog::open(path).map_err(|cause| StartError::AccessLog(path.clone(), cause))
        };
        let log = options.access_log.as_ref().map(open).transpose()?;
        let wall = Arc::clone(&seams.clock);
        Ok(Self {
            observe: Observe::new(Arc::clone(&seams.clock), log),
            probing: Probing::new(),
            identity: Identity::new(Vec::new()).with_wall(move || wall.wall()),
            dice: Pcg::new(seams.seed),
            drain,
            tasks: Tasks::new(),
            options,
            seams,
        })
    }

    /// Whether it is in no mesh, and a control plane in this process drives it.
    pub(super) fn is_alone(&self) -> bool {
        self.options.control.is_none()
    }

    /// What all threads share once the proxy knows that it is `me`, and what they ask the control plane for.
    pub(super) fn into_shared(
        self,
        me: LocalNode,
        is_listening: Gate,
    ) -> (Arc<Shared>, mpsc::Receiver<LookupQuery>) {
        let store = SnapshotStore::with_ports(&me, Reserved::new(&self.options.inherit_listener));
        let (lookup, queries) = Lookup::new(Arc::clone(&store));
        let listening = Listening::new(self.options.worker_count(), is_listening);
        let listening = if self.is_alone() { listening.outside_a_mesh() } else { listening };
        let Self { options, seams, observe, probing, identity, drain, .. } = self;
        let forwarder = Arc::new(Forwarder::new(seams.nameservers));
        let shared = Shared {
            options,
            me,
            store,
            lookup,
            name_cache: NameCache::new(forwarder, dns::has_route),
            identity,
            proven: Arc::default(),
            observe,
            probing,
            drain,
            listening: Arc::new(listening),
            deliveries: Retries::default(),
            filters: seams.filters,
            clock: seams.clock,
        };
        (Arc::new(shared), queries)
    }
}
