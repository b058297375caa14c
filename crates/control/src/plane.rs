//! The control plane without its sockets: what is known, who is there, what is served to whom.
//!
//! One task owns it (see `task`). Everything that happens is a call here with the time as an argument;
//! what must be stored comes back as rows. Changes are gathered in `touched` and sent by `flush`. How objects come
//! into force is in `objects`.

mod objects;
mod withdrawals;

use crate::metrics::Metrics;
use crate::presence::{Presence, REGISTRATIONS_MAX, Registration, Stranger, Validity, seconds};
use crate::push::{self, published::Published};
use crate::source::objects::Objects;
use crate::stream::{CatalogSource, Peer, RequestFailure, Stream, StreamId};
use api::Object;
use apiserver::Change as Row;
use model::federation::RemoteCluster;
use model::trust::{Proof, TrustBundle};
use model::{Finding, Hostname, ObjectRef, Subscription};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use translate::{ClusterPlace, World, WorldChange};
use withdrawals::Withdrawal;
use xds::proto::DeltaDiscoveryRequest;
use xds::server::NACK_MESSAGE_CHARS_MAX;

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
    /// What the metrics say.
    pub metrics: Metrics,
    source_findings: Vec<Finding>,
    /// What is wrong with the configuration, since it last changed.
    findings: Vec<Finding>,
    judged: u64,
    in_force: BTreeMap<ObjectRef, Arc<Object>>,
    gateways: Vec<Subscription>,
    remote: BTreeMap<Arc<str>, RemoteCluster>,
    stored_addresses: BTreeMap<Hostname, Ipv4Addr>,
    published: Published,
    streams: BTreeMap<StreamId, Stream>,
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
        place: ClusterPlace,
        trust: Vec<TrustBundle>,
        stored: Stored,
        metrics: Metrics,
        now: Instant,
    ) -> Self {
        let mut plane = Self {
            world: World::new(place),
            objects: stored.objects,
            presence: stored.presence,
            metrics,
            source_findings: Vec::new(),
            findings: Vec::new(),
            judged: 0,
            in_force: BTreeMap::new(),
            gateways: Vec::new(),
            remote: BTreeMap::new(),
            stored_addresses: stored.addresses.clone(),
            published: Published::default(),
            streams: BTreeMap::new(),
            last_stream: 0,
            touched: HashSet::new(),
            withdrawals: Vec::new(),
            rows: Vec::new(),
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

    /// Brings the world in line with who is there.
    fn sync_presence(&mut self) {
        let wanted: BTreeMap<Arc<str>, translate::JoinedWorkload> = self
            .presence
            .present()
            .filter_map(|(registration, state)| registration.workload(state))
            .map(|workload| (workload.uid.clone(), workload))
            .collect();
        let known: BTreeMap<Arc<str>, translate::JoinedWorkload> = self
            .world
            .workloads()
            .into_iter()
            .map(|workload| (workload.uid.clone(), workload.clone()))
            .collect();
        for (uid, workload) in &wanted {
            if known.get(uid) != Some(workload) {
                self.apply(WorldChange::Workload(workload.clone()));
            }
        }
        for uid in known.into_keys().filter(|uid| !wanted.contains_key(uid)) {
            self.apply(WorldChange::WorkloadGone(uid));
        }
    }

    fn sync_workload(&mut self, uid: &str) {
        let wanted =
            self.presence.find_present(uid).and_then(|(registration, state)| registration.workload(state));
        let known = self.world.workload(uid).cloned();
        match (wanted, known) {
            (Some(wanted), known) if known.as_ref() != Some(&wanted) => {
                self.apply(WorldChange::Workload(wanted))
            }
            (None, Some(known)) => self.apply(WorldChange::WorkloadGone(known.uid)),
            _ => {}
        }
    }

    /// A proxy joined; its row is stored by the caller before the answer.
    pub fn join(&mut self, registration: Registration) {
        self.presence.join(registration);
    }

    /// Whether there is room for one more registration.
    pub fn has_room(&self) -> bool {
        self.presence.len() < REGISTRATIONS_MAX
    }

    /// Whether who proved this may act as `uid`.
    pub fn admit(&self, uid: &str, proof: &Proof) -> Result<Registration, Stranger> {
        self.presence.admit(uid, proof, &self.world.place().cluster).cloned()
    }

    /// Whether who showed an expired certificate, which proved this, may have `uid` certified anew.
    pub fn admit_expired(&self, uid: &str, proof: &Proof, now: SystemTime) -> Result<Registration, Stranger> {
        let registration = self.presence.admit_expired(uid, proof, &self.world.place().cluster, now)?;
        // Long ago the configuration may have been another.
        match self.world.identity(&registration.namespace, &registration.group) {
            Some(identity) if identity == proof.id => Ok(registration.clone()),
            _ => Err(Stranger::NoGroup),
        }
    }

    /// A proxy got another certificate; to be said before it is handed out.
    pub fn renew(&mut self, uid: &str, shown: Validity, expires_s: u64) -> Result<(), Stranger> {
        self.rows.extend(self.presence.renew(uid, shown, expires_s)?);
        Ok(())
    }

    /// Takes a stream; `None` when there are too many.
    pub fn open(&mut self, stream: Stream, addresses: &[IpAddr]) -> Option<StreamId> {
        if self.streams.len() >= STREAMS_MAX {
            return None;
        }
        if let Peer::Proxy { uid, shown, .. } = &stream.peer {
            if self.presence.streams(uid) >= STREAMS_PER_PROXY_MAX {
                return None;
            }
            let uid = uid.clone();
            self.rows.extend(self.presence.connect(&uid, addresses, *shown));
            self.sync_workload(&uid);
        }
        self.last_stream += 1;
        self.streams.insert(self.last_stream, stream);
        self.metrics.proxies.set(self.streams.len() as i64);
        Some(self.last_stream)
    }

    /// A request came in; `Err`: the stream must end.
    pub fn request(&mut self, id: StreamId, request: DeltaDiscoveryRequest) -> Result<(), RequestFailure> {
        let source =
            CatalogSource { world: &self.world, published: &self.published, gateways: &self.gateways };
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.sequence() == 1 {
            // Whatever it is answered first holds all that was handed to others before.
            stream.expect_revision(1, self.pushed);
        }
        if request.error_detail.is_some() {
            self.metrics.nacks.inc();
            let message = request.error_detail.as_ref().map_or("", |error| error.message.as_str());
            let message: String = message.chars().take(NACK_MESSAGE_CHARS_MAX).collect();
            tracing::warn!(proxy = %stream.peer, cause = message, "a proxy refused what it was sent");
        }
        let sent = stream.on_request(request, source)?;
        self.metrics.resources_sent.add(sent.resources);
        self.metrics.resources_removed.add(sent.removed);
        // Names come and go without any change of the mesh too.
        self.published.sweep(|| self.streams.values().flat_map(Stream::subscriptions));
        self.complete_withdrawals(None);
        Ok(())
    }

    /// A stream ended.
    pub fn close(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.remove(&id) else { return };
        if let Peer::Proxy { uid, .. } = &stream.peer {
            self.rows.extend(self.presence.disconnect(uid, now));
            self.sync_workload(uid);
        }
        self.metrics.proxies.set(self.streams.len() as i64);
        self.complete_withdrawals(None);
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
        }
        self.metrics.gone.set(self.presence.gone(seconds(wall)) as i64);
        self.complete_withdrawals(Some(now));
    }

    /// When [`Plane::expire`] has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        let withdrawals = self.withdrawals.iter().map(|withdrawal| withdrawal.deadline);
        withdrawals.chain(self.presence.deadline()).min()
    }

    /// Sends what changed to the streams that it concerns; the result is what really changed.
    pub fn flush(&mut self, started: Instant) -> HashSet<Subscription> {
        let touched = std::mem::take(&mut self.touched);
        let revision = self.objects.revision();
        let sequences: Vec<u64> = match revision > self.pushed {
            true => self.streams.values().map(Stream::sequence).collect(),
            false => Vec::new(),
        };
        self.pushed = revision;
        let changed = if touched.is_empty() {
            HashSet::new()
        } else {
            let source =
                CatalogSource { world: &self.world, published: &self.published, gateways: &self.gateways };
            push::fan_out(&touched, source, &mut self.streams, &self.metrics, started)
        };
        for (stream, sequence) in self.streams.values_mut().zip(sequences) {
            stream.expect_revision(sequence, revision);
        }
        changed
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

    /// All streams.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamId, &Stream)> {
        self.streams.iter()
    }

    /// The last view of the other clusters.
    pub fn remotes(&self) -> impl Iterator<Item = &RemoteCluster> {
        self.remote.values()
    }

    /// Objects in force.
    pub fn in_force(&self) -> &BTreeMap<ObjectRef, Arc<Object>> {
        &self.in_force
    }

    /// Number of subscriptions whose resources are kept encoded.
    pub fn published(&self) -> usize {
        self.published.len()
    }

    /// Uids that have an open stream.
    pub fn connected(&self) -> HashMap<Arc<str>, &Stream> {
        let of = |stream: &Stream| match &stream.peer {
            Peer::Proxy { uid, .. } => Some(uid.clone()),
            Peer::Local => None,
        };
        self.streams.values().filter_map(|stream| Some((of(stream)?, stream))).collect()
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
}

#[cfg(test)]
pub(crate) mod tests;
