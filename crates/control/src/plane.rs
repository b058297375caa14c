//! The control plane without its sockets: what is known, who is there, what each proxy is served.
//!
//! One task owns it (see `task`). Everything that happens is a call here with the time as an argument;
//! what must be stored comes back as rows. Changes are gathered in `touched` and sent by `flush`. How objects come
//! into force is in `objects`, who is there in `registrations`, who is sent what in `streams`.

mod inbound;
mod objects;
mod registrations;
mod streams;
mod withdrawals;

use crate::metrics::Metrics;
use crate::observed::Observed;
use crate::presence::{Presence, seconds};
use crate::push::published::Published;
use crate::source::objects::Objects;
use crate::stream::{ControlStream, StreamId};
use apiserver::Change as Row;
use model::federation::RemoteCluster;
use model::trust::TrustBundle;
use model::{Finding, Hostname, Subscription};
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use translate::{LocalCluster, World, WorldChange};
use withdrawals::Withdrawal;

pub use streams::{Hello, read_health};
pub use withdrawals::{WITHDRAWALS_MAX, Withdrawn};

/// Open streams at most; more are refused.
pub const STREAMS_MAX: usize = 20_000;
/// Open streams of one proxy at most; it needs one, and a few more while broken ones are being noticed.
pub const STREAMS_PER_PROXY_MAX: u32 = 16;

/// Everything that a control plane knows.
pub struct Plane {
    /// What is translated.
    pub world: World,
    /// The objects of all sources.
    pub objects: Objects,
    /// Who is there.
    pub presence: Presence,
    /// Who comes to their applications.
    pub observed: Observed,
    /// What the metrics say.
    pub metrics: Metrics,
    source_findings: Vec<Finding>,
    /// What is wrong with the configuration, since it last changed.
    findings: Vec<Finding>,
    judged: u64,
    gateways: Vec<Subscription>,
    remote: BTreeMap<Arc<str>, RemoteCluster>,
    published: Published,
    streams: BTreeMap<StreamId, ControlStream>,
    last_stream: StreamId,
    touched: HashSet<Subscription>,
    withdrawals: Vec<Withdrawal>,
    rows: Vec<Row>,
    export_stale: Cell<bool>,
    /// Changes of the API's objects up to this revision were handed to the streams.
    pushed: u64,
}

impl Plane {
    /// A plane that knows its place and its trust bundles, and what an earlier run had stored.
    pub fn new(
        place: LocalCluster,
        trust: Vec<TrustBundle>,
        stored: Stored,
        metrics: Metrics,
        now: Instant,
    ) -> Self {
        let mut plane = Self {
            world: World::new(place),
            objects: stored.objects,
            presence: stored.presence,
            observed: Observed::default(),
            metrics,
            source_findings: Vec::new(),
            findings: Vec::new(),
            judged: 0,
            gateways: Vec::new(),
            remote: BTreeMap::new(),
            published: Published::default(),
            streams: BTreeMap::new(),
            last_stream: 0,
            touched: HashSet::new(),
            withdrawals: Vec::new(),
            rows: stored.unstored,
            export_stale: Cell::new(true),
            pushed: 0,
        };
        plane.presence.begin(now);
        plane.apply(WorldChange::Addresses(stored.addresses));
        plane.apply(WorldChange::Trust(trust));
        for cluster in stored.remote {
            plane.remote.insert(cluster.cluster.clone(), cluster.clone());
            plane.apply(WorldChange::Remote(cluster));
        }
        plane.sync_objects();
        plane.sync_presence();
        plane.flush(now);
        plane
    }

    fn apply(&mut self, change: WorldChange) {
        self.export_stale.set(true);
        self.touched.extend(self.world.apply(change));
    }

    /// Rows to be stored, since the last call.
    pub fn take_rows(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.rows)
    }

    /// Rows that others want stored in the same order.
    pub fn add_rows(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }

    /// Whether something happened since the last call that may show in the export.
    pub fn export_may_have_changed(&self) -> bool {
        self.export_stale.replace(false)
    }

    /// Whether there are changes that were not sent yet.
    pub fn is_dirty(&self) -> bool {
        !self.touched.is_empty() || self.objects.revision() > self.pushed
    }

    /// Changes of the API's objects up to this revision were handed to the streams that they concern.
    pub fn revision(&self) -> u64 {
        self.pushed
    }

    /// What other clusters offer changed.
    pub fn remote(&mut self, upserts: Vec<RemoteCluster>) {
        for cluster in upserts {
            self.metrics.remote_received.inc();
            self.remote.insert(cluster.cluster.clone(), cluster.clone());
            self.apply(WorldChange::Remote(cluster));
        }
        // Names of clusters, and hosts that only others serve.
        self.find_what_is_wrong();
        self.store_addresses();
    }

    /// Trust bundles changed.
    pub fn trust(&mut self, bundles: Vec<TrustBundle>) {
        self.apply(WorldChange::Trust(bundles));
    }

    /// Time passed: graces and deadlines that are over take effect.
    pub fn expire(&mut self, now: Instant, wall: SystemTime) {
        let rows = self.presence.expire(now, seconds(wall));
        if !rows.is_empty() {
            self.rows.extend(rows);
            self.sync_presence();
            self.forget_unregistered();
        }
        self.metrics.gone.set(self.presence.gone(seconds(wall)) as i64);
        self.metrics.unready.set(self.presence.unready() as i64);
        self.complete_withdrawals(Some(now));
    }

    /// When [`Plane::expire`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let withdrawals = self.withdrawals.iter().map(|withdrawal| withdrawal.deadline);
        withdrawals.chain(self.presence.deadline()).min()
    }

    /// What is wrong with the configuration.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn find_what_is_wrong(&mut self) {
        self.findings = [self.source_findings.clone(), self.world.findings()].concat();
        self.metrics.findings.set(self.findings.len() as i64);
        self.judged += 1;
    }

    /// How often what is wrong was looked for: whoever was told what before is to be told again.
    pub fn judged(&self) -> u64 {
        self.judged
    }

    /// The last view of the other clusters.
    pub fn remotes(&self) -> impl Iterator<Item = &RemoteCluster> {
        self.remote.values()
    }
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub struct Stored {
    /// Objects of the API, and those of the other sources as read at the start.
    pub objects: Objects,
    /// Registrations.
    pub presence: Presence,
    /// Mesh-only addresses.
    pub addresses: BTreeMap<Hostname, Ipv4Addr>,
    /// The last federated view.
    pub remote: Vec<RemoteCluster>,
    /// What a full disk did not take at the start; it is tried again.
    pub unstored: Vec<Row>,
}

#[cfg(test)]
pub(crate) mod tests;
