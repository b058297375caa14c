//! Control planes over the network: their reports come in, the other clusters go out.
//!
//! Which cluster a control plane speaks for is what its handshake proved (decision 0003); what it says of
//! itself must agree, or it is refused.

use crate::clusters::{Clusters, NAME_BYTES_MAX, News, Unfit};
use apiserver::{Store, StoreError};
use daemon::clock::Clock;
use daemon::metrics::{Counter, Gauge, Registry};
use daemon::{Drain, Tasks};
use identity::{CONTROL_ACCOUNT, SYSTEM_NAMESPACE};
use model::{SpiffeId, Subscription, TrustDomain};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::watch;
use xds::grpc::{CallingPeer, Discovery, Federation, ReportEnd};
use xds::link::ServerEnd;
use xds::proto::DeltaDiscoveryResponse;
use xds::server::{Catalog, Fault, ServerSession, SessionStatus};
use xds::wire::Encoded;
use xds::{Code, Status};

/// Open streams at most, of both sorts; more are refused.
pub const STREAMS_MAX: u32 = 4096;
/// Open streams of one cluster at most; more are refused, so that one cannot take the places of all.
pub const STREAMS_PER_CLUSTER_MAX: u32 = 32;
/// The first request must come within this time.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest version text kept of a control plane, in characters.
const VERSION_CHARS_MAX: usize = 64;

/// Why a stream of a control plane ended.
#[derive(Debug, Error)]
enum StreamEnded {
    /// The way to it failed.
    #[error(transparent)]
    Link(#[from] Status),
    /// It takes nothing more.
    #[error("the control plane went away")]
    Away,
    /// See [`FIRST_REQUEST_TIMEOUT`].
    #[error("no request within {} s", FIRST_REQUEST_TIMEOUT.as_secs())]
    Silent,
    /// What it says of itself cannot be taken.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// What it asks for cannot be served.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Its report could not be stored.
    #[error("store the report")]
    Store(#[source] StoreError),
    /// The thread that stores failed.
    #[error("the thread that stores failed")]
    Thread(#[source] tokio::task::JoinError),
}

impl From<StreamEnded> for Status {
    fn from(ended: StreamEnded) -> Self {
        let code = match ended {
            StreamEnded::Link(status) => return status,
            StreamEnded::Fault(fault) => return fault.into(),
            StreamEnded::Away => Code::Cancelled,
            StreamEnded::Silent => Code::DeadlineExceeded,
            StreamEnded::Unfit(Unfit::TooMany) => Code::ResourceExhausted,
            StreamEnded::Unfit(Unfit::Name) => Code::InvalidArgument,
            StreamEnded::Unfit(Unfit::OtherCluster) => Code::PermissionDenied,
            StreamEnded::Store(_) | StreamEnded::Thread(_) => Code::Unavailable,
        };
        Status::new(code, ended.to_string())
    }
}

/// What the management plane counts.
#[derive(Clone, Debug)]
pub struct ManagerMetrics {
    reports: Counter,
    changes: Counter,
    resources_sent: Counter,
    nacks: Counter,
    refusals: Counter,
    links: Gauge,
}

impl ManagerMetrics {
    /// Makes all of them in `registry`.
    pub fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, &[]);
        Self {
            reports: counter("leno_manager_reports_total", "Reports of clusters taken"),
            changes: counter("leno_manager_report_changes_total", "Reports that told something new"),
            resources_sent: counter("leno_manager_resources_sent_total", "Clusters sent to control planes"),
            nacks: counter("leno_manager_nacks_total", "Responses that a control plane refused"),
            refusals: counter("leno_manager_refusals_total", "Streams and reports refused"),
            links: registry.gauge("leno_manager_connected_clusters", "Open report streams", &[]),
        }
    }
}

/// Everything that streams share.
pub struct HubDeps {
    /// What is known.
    pub clusters: Mutex<Clusters>,
    /// Where it is kept.
    pub store: Arc<dyn Store>,
    /// What is counted.
    pub metrics: ManagerMetrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Owner of the streams' tasks.
    pub tasks: Tasks,
    /// When to stop.
    pub drain: Drain,
    /// Control planes of another one are refused: its root could name clusters as it likes.
    pub trust_domain: TrustDomain,
}

/// Takes streams of control planes.
pub struct Hub {
    parts: HubDeps,
    /// Counts changes; streams look again when it moves.
    version: watch::Sender<u64>,
    /// One report at a time, so that what is stored is what is known.
    storing: tokio::sync::Mutex<()>,
    open: Mutex<HashMap<Arc<str>, u32>>,
    /// What each cluster was told and what it confirmed, by its latest stream.
    told: Mutex<HashMap<Arc<str>, ClusterSync>>,
    streams: AtomicU64,
}

/// How far a cluster is with what the others offer.
#[derive(Clone, Debug)]
pub struct ClusterSync {
    /// Number of the stream.
    stream: u64,
    /// Where the control plane called from.
    pub address: SocketAddr,
    /// Version of its program, as it told.
    pub version: String,
    /// Sent and confirmed.
    pub status: SessionStatus,
}

/// The place of one stream; counts as long as it lives.
struct AdmittedStream {
    hub: Arc<Hub>,
    /// Proved by the handshake.
    cluster: Arc<str>,
    address: SocketAddr,
}

impl Drop for AdmittedStream {
    fn drop(&mut self) {
        let mut open = self.hub.open();
        if let Some(count) = open.get_mut(&self.cluster) {
            *count = count.saturating_sub(1);
        }
        open.retain(|_, count| *count > 0);
    }
}

impl AdmittedStream {
    /// Whether the control plane speaks for its own cluster.
    fn check_claim(&self, claimed: &str) -> Result<(), Unfit> {
        if *claimed == *self.cluster {
            return Ok(());
        }
        self.hub.parts.metrics.refusals.inc();
        let claimed = claimed.chars().take(NAME_BYTES_MAX).collect::<String>();
        tracing::warn!(peer = %self.address, cluster = %self.cluster, claimed, "refused: a control plane speaks for another cluster");
        Err(Unfit::OtherCluster)
    }
}

struct Others<'a> {
    own: &'a str,
    clusters: MutexGuard<'a, Clusters>,
}

impl Catalog for Others<'_> {
    fn members(&self, subscription: &Subscription) -> Vec<Arc<Encoded>> {
        match subscription {
            Subscription::Clusters => self.clusters.others(self.own),
            _ => Vec::new(),
        }
    }

    fn implied(&self) -> Vec<Subscription> {
        Vec::new()
    }
}

impl Hub {
    /// Where what is known is kept.
    pub fn store(&self) -> Arc<dyn Store> {
        self.parts.store.clone()
    }

    /// Nobody connected yet.
    pub fn new(parts: HubDeps) -> Self {
        Self {
            parts,
            version: watch::Sender::new(0),
            storing: tokio::sync::Mutex::new(()),
            open: Mutex::default(),
            told: Mutex::default(),
            streams: AtomicU64::new(0),
        }
    }

    /// What each connected cluster was told.
    pub fn told(&self) -> MutexGuard<'_, HashMap<Arc<str>, ClusterSync>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wall clock.
    pub fn now(&self) -> SystemTime {
        self.parts.clock.wall()
    }

    /// Whose clusters these are.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.parts.trust_domain
    }

    /// What is known.
    pub fn clusters(&self) -> MutexGuard<'_, Clusters> {
        self.parts.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Arc<str>, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only control planes of our trust domain may talk to us, each for the cluster that vouches for it.
    fn admit(self: &Arc<Self>, peer: &CallingPeer) -> Result<AdmittedStream, Status> {
        let refused = |code, why: &str| {
            self.parts.metrics.refusals.inc();
            let id = peer.id().map(ToString::to_string);
            tracing::warn!(peer = %peer.address, id, "refused: {why}");
            Status::new(code, why)
        };
        let is_control = |id: &SpiffeId| {
            id.trust_domain == self.parts.trust_domain
                && *id.namespace == *SYSTEM_NAMESPACE
                && *id.service_account == *CONTROL_ACCOUNT
        };
        let Some(proof) = peer.proof.as_ref().filter(|proof| is_control(&proof.id)) else {
            let why = "only control planes of this trust domain talk to the management plane";
            return Err(refused(Code::PermissionDenied, why));
        };
        let Some(cluster) = proof.cluster() else {
            let why = "the signing certificate of the control plane names no cluster";
            return Err(refused(Code::PermissionDenied, why));
        };
        let mut open = self.open();
        let own = open.get(cluster).copied().unwrap_or_default();
        if own >= STREAMS_PER_CLUSTER_MAX || open.values().sum::<u32>() >= STREAMS_MAX {
            return Err(refused(Code::ResourceExhausted, "too many streams"));
        }
        open.insert(cluster.clone(), own + 1);
        Ok(AdmittedStream { hub: self.clone(), cluster: cluster.clone(), address: peer.address })
    }

    async fn take_reports(
        &self,
        place: &AdmittedStream,
        end: &mut ReportEnd,
        name: &mut Option<Arc<str>>,
    ) -> Result<(), StreamEnded> {
        loop {
            let report = tokio::select! {
                report = end.rx.recv() => match report {
                    Some(report) => report?,
                    None => return Ok(()),
                },
                () = self.parts.drain.started() => return Ok(()),
            };
            let cluster = report.cluster.clone();
            place.check_claim(&cluster)?;
            let storing = self.storing.lock().await;
            let mut weighed = self.clusters().weigh(report, self.parts.clock.wall())?;
            let (news, rows) = (weighed.news, std::mem::take(&mut weighed.rows));
            if !rows.is_empty() {
                let store = self.parts.store.clone();
                let stored = tokio::task::spawn_blocking(move || store.commit(&rows)).await;
                stored.map_err(StreamEnded::Thread)?.map_err(StreamEnded::Store)?;
            }
            self.clusters().take(weighed);
            drop(storing);
            if name.is_none() {
                self.clusters().connect(&cluster);
                self.parts.metrics.links.add(1);
                *name = Some(cluster);
            }
            self.parts.metrics.reports.inc();
            if news == News::Changed {
                self.parts.metrics.changes.inc();
                self.version.send_modify(|version| *version += 1);
            }
            end.acks.send(()).await.map_err(|_| StreamEnded::Away)?;
        }
    }

    /// Serves one control stream, and keeps what it says of itself while it is open.
    async fn tell(&self, place: &AdmittedStream, end: &mut ServerEnd) -> Result<(), StreamEnded> {
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        let result = self.tell_on(stream, place, end).await;
        let mut told = self.told();
        if told.get(&place.cluster).is_some_and(|told| told.stream == stream) {
            told.remove(&place.cluster);
        }
        result
    }

    /// Keeps how far a cluster is, unless a newer stream of it says so already.
    fn note_sync(&self, cluster: &Arc<str>, sync: ClusterSync) {
        let mut all = self.told();
        if all.get(cluster).is_none_or(|known| known.stream <= sync.stream) {
            all.insert(cluster.clone(), sync);
        }
    }

    async fn tell_on(
        &self,
        stream: u64,
        place: &AdmittedStream,
        end: &mut ServerEnd,
    ) -> Result<(), StreamEnded> {
        let clock = self.parts.clock.clone();
        let mut session = ServerSession::new(move || clock.wall());
        let mut version = self.version.subscribe();
        let touched = HashSet::from([Subscription::Clusters]);
        let mut request = match tokio::time::timeout(FIRST_REQUEST_TIMEOUT, end.rx.recv()).await {
            Ok(Some(first)) => Some(first?),
            Ok(None) => return Ok(()),
            Err(_) => return Err(StreamEnded::Silent),
        };
        let node = request.as_ref().and_then(|first| first.node.as_ref()).and_then(|node| node.proxy.clone());
        let node = node.unwrap_or_default();
        place.check_claim(&node.uid)?;
        let program: String = node.version.chars().take(VERSION_CHARS_MAX).collect();
        let own = place.cluster.clone();
        loop {
            let response = match request.take() {
                Some(request) => {
                    if request.error_detail.is_some() {
                        self.parts.metrics.nacks.inc();
                    }
                    session.on_request(request, &Others { own: &own, clusters: self.clusters() })?
                }
                None => session.on_change(&touched, &Others { own: &own, clusters: self.clusters() }),
            };
            let status = session.status();
            let told = ClusterSync { stream, address: place.address, version: program.clone(), status };
            self.note_sync(&own, told);
            if let Some(response) = response {
                self.count(&response);
                end.tx.send(response).await.map_err(|_| StreamEnded::Away)?;
            }
            tokio::select! {
                next = end.rx.recv() => match next {
                    Some(next) => request = Some(next?),
                    None => return Ok(()),
                },
                // The sender is in the hub, which lives as long as this.
                _ = version.changed() => {}
                () = self.parts.drain.started() => return Ok(()),
            }
        }
    }

    fn count(&self, response: &DeltaDiscoveryResponse) {
        self.parts.metrics.resources_sent.add(response.resources.len() as u64);
    }
}

/// The hub as a service.
pub struct HubService(pub Arc<Hub>);

impl Discovery for HubService {
    fn open(&self, peer: CallingPeer, mut end: ServerEnd) -> Result<(), Status> {
        let place = self.0.admit(&peer)?;
        self.0.parts.tasks.spawn("control stream", async move {
            if let Err(error) = place.hub.tell(&place, &mut end).await {
                tracing::warn!(peer = %peer.address, %error, "control stream ended");
                end.fail(error.into());
            }
        });
        Ok(())
    }
}

impl Federation for HubService {
    fn report(&self, peer: CallingPeer, mut end: ReportEnd) -> Result<(), Status> {
        let place = self.0.admit(&peer)?;
        self.0.parts.tasks.spawn("report", async move {
            let hub = &place.hub;
            let mut name = None;
            if let Err(error) = hub.take_reports(&place, &mut end, &mut name).await {
                tracing::warn!(peer = %peer.address, %error, "report ended");
                end.closing.fail(error.into());
            }
            if let Some(name) = name {
                hub.clusters().disconnect(&name, hub.parts.clock.wall());
                hub.parts.metrics.links.add(-1);
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
