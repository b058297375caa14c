//! The control stream: keeps it open, applies what it brings, says what is wanted.
//!
//! It owns the delta session and on-demand discovery. A response is acknowledged after its snapshot has
//! been swapped in. When the stream breaks, everything stays as it is, and after a wait with jitter the
//! next stream starts from what is held. Nothing here can fail for good. Before the certificate that a
//! stream was opened with expires, another stream is opened with the new one and takes over.

use super::alone::Alone;
use super::capture_notice::CaptureNotice;
use super::inbound_report::{InboundReport, REPORT_EVERY};
use super::last_good::{LastGood, Saved};
use crate::listening::Listening;
use crate::lookup::LookupQuery;
use crate::lookup::on_demand::{OnDemand, StreamState as State};
use crate::observe::{Observe, Own};
use crate::probe::Probing;
use crate::shared::Shared;
use crate::snapshot::{ClosedListener, GatewayEntry, LocalNode, Snapshot, SnapshotChange, SnapshotStore};
use daemon::Gate;
use daemon::clock::Clock;
use decide::Dice;
use decide::dice::Pcg;
use identity::rotate::superseded;
use identity::{Identity, Svid};
use model::Backoff;
use model::probe::ApplicationHealth;
use model::{Resource, ResourceKey, Subscription};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use xds::client::{ClientSession, Update};
use xds::link::{Link, LinkError};
use xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, ProxyNode};

/// First wait after a stream broke; doubles, with jitter, up to [`BACKOFF_MAX`].
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// A gateway's listener that cannot be opened is tried again this often.
const REOPEN_EVERY: Duration = Duration::from_secs(1);
/// Longest wait between attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// An attempt to open a stream that takes longer has failed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The last good configuration is written at most this often.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How often unused hosts are looked for.
const MINUTE: Duration = Duration::from_secs(60);

/// What the stream works on.
pub(super) struct StreamParts {
    pub(super) me: LocalNode,
    pub(super) store: Arc<SnapshotStore>,
    pub(super) on_demand: OnDemand,
    pub(super) queries: mpsc::Receiver<LookupQuery>,
    pub(super) identity: Identity,
    pub(super) observe: Arc<Observe>,
    pub(super) probing: Arc<Probing>,
    pub(super) capture: CaptureNotice,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) last_good: Option<LastGood>,
    /// Opened with the first configuration.
    pub(super) configured: Gate,
    /// What the workers listen on.
    pub(super) listening: Arc<Listening>,
    /// Outside of a mesh: takes what keeps the first configuration from being served.
    pub(super) alone: Option<Alone>,
    pub(super) dice: Pcg,
    /// How often it is told who came to the application, where that has changed.
    pub(super) report_every: Duration,
}

impl StreamParts {
    /// What `shared` has of them, and the rest.
    pub(super) fn new(
        shared: &Shared,
        queries: mpsc::Receiver<LookupQuery>,
        configured: Gate,
        capture: CaptureNotice,
        alone: Option<Alone>,
        dice: Pcg,
    ) -> Self {
        let directory = shared.options.state_dir.as_deref();
        Self {
            me: shared.me.clone(),
            store: Arc::clone(&shared.store),
            on_demand: OnDemand::new(Arc::clone(&shared.store), &shared.lookup),
            queries,
            identity: shared.identity.clone(),
            observe: Arc::clone(&shared.observe),
            probing: Arc::clone(&shared.probing),
            capture,
            clock: Arc::clone(&shared.clock),
            last_good: directory.map(|directory| LastGood::new(directory, &shared.me)),
            configured,
            listening: Arc::clone(&shared.listening),
            alone,
            dice,
            report_every: REPORT_EVERY,
        }
    }
}

/// See the module's head.
pub(super) struct StreamClient {
    parts: StreamParts,
    session: ClientSession,
    outbox: VecDeque<DeltaDiscoveryRequest>,
    /// Of the last response on this stream.
    nonce: String,
    /// Listeners that cannot be opened, as last told.
    closed: Vec<ClosedListener>,
    reopen_at: Option<Instant>,
    minutes: tokio::time::Interval,
    inbound: InboundReport,
    save_at: Option<Instant>,
    saving: Option<JoinHandle<()>>,
    /// Of the application.
    health: watch::Receiver<ApplicationHealth>,
}

impl StreamClient {
    /// Starts from the last good configuration, when there is one.
    pub(super) fn new(mut parts: StreamParts) -> Self {
        let saved = match parts.last_good.as_ref().map(LastGood::load) {
            Some(Ok(Some(saved))) => saved,
            Some(Err(error)) => {
                tracing::warn!(%error, "the last good configuration is not used");
                Saved::default()
            }
            _ => Saved::default(),
        };
        let mut restored = None;
        let mut session = ClientSession::restore(
            saved.resources.iter().map(|(key, version, _)| (key.clone(), version.clone())),
        );
        if !saved.resources.is_empty() {
            tracing::info!(resources = saved.resources.len(), "started from the last good configuration");
            let upserts = saved.resources.into_iter().map(|(key, _, resource)| (key, resource)).collect();
            let snapshot = parts.store.apply(SnapshotChange { upserts, ..SnapshotChange::default() });
            parts.on_demand.adopt(saved.wanted.clone());
            session.subscribe(&saved.wanted);
            put_in_force(&parts, &snapshot);
            restored = Some(snapshot);
        }
        let mut minutes = tokio::time::interval_at(Instant::now() + MINUTE, MINUTE);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream = Self {
            health: parts.probing.health(),
            inbound: InboundReport::new(parts.report_every),
            parts,
            session,
            outbox: VecDeque::new(),
            nonce: String::new(),
            closed: Vec::new(),
            reopen_at: None,
            minutes,
            save_at: None,
            saving: None,
        };
        if let Some(snapshot) = restored {
            stream.listen(&snapshot);
        }
        stream
    }

    /// Runs until dropped. `open` makes a new stream.
    pub(super) async fn run(mut self, open: impl AsyncFn() -> Result<Link, LinkError>) {
        let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_MAX);
        loop {
            // Read first: should it be renewed meanwhile, the stream is replaced too early, not too late.
            let shown = self.parts.identity.svid();
            match self.while_idle(tokio::time::timeout(OPEN_TIMEOUT, open())).await {
                Ok(Ok(link)) => {
                    if self.serve(link, shown, &open).await {
                        backoff.reset();
                    }
                    // Not down yet: whoever waits goes on waiting while the next attempt is made.
                    self.parts.on_demand.set_stream(State::Starting);
                }
                Ok(Err(error)) => self.failed(&error.to_string()),
                Err(_) => self.failed("no answer in time"),
            }
            self.session.on_disconnect();
            self.outbox.clear();
            self.parts.observe.set_connected(false);
            let pause = backoff.next_wait(self.jitter());
            self.while_idle(tokio::time::sleep(pause)).await;
        }
    }

    fn jitter(&mut self) -> f64 {
        (self.parts.dice.next_u64() % 1000) as f64 / 1000.0
    }

    fn failed(&mut self, error: &str) {
        tracing::warn!(error, "the control plane cannot be reached; going on with what is known");
        self.parts.on_demand.set_stream(State::Down);
    }

    /// Awaits something while lookups are still answered.
    async fn while_idle<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                output = &mut done => return output,
                Some(query) = self.parts.queries.recv() => self.take_query(query),
                () = due(self.save_at) => self.save(),
                () = due(self.reopen_at) => self.reopen(),
            }
        }
    }

    /// Says on a new stream what is held and wanted; whatever the one before had still to say is in it.
    fn send_initial_request(&mut self) {
        self.session.on_disconnect();
        self.outbox.clear();
        self.nonce.clear();
        let me = &self.parts.me;
        let node = ProxyNode {
            uid: me.uid.to_string(),
            namespace: me.namespace.to_string(),
            group: me.group.to_string(),
            addresses: me.addresses.iter().map(ToString::to_string).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.tell_health();
        let observed = self.inbound.first(&self.parts.observe, &*self.parts.clock);
        let request = self.session.on_connect(node);
        self.outbox.push_back(DeltaDiscoveryRequest { observed: Some(observed), ..request });
    }

    /// A stream, and those that take over from it, until one breaks; returns whether any ever brought anything.
    async fn serve(
        &mut self,
        mut link: Link,
        shown: Option<Arc<Svid>>,
        open: &impl AsyncFn() -> Result<Link, LinkError>,
    ) -> bool {
        let mut has_answered = false;
        let (identity, clock) = (self.parts.identity.clone(), Arc::clone(&self.parts.clock));
        let mut next = std::pin::pin!(successor(&identity, &*clock, shown, self.jitter(), open));
        // Kept until the one that took over has answered, so that the control plane always sees one.
        let mut before: Option<Link> = None;
        self.send_initial_request();
        self.parts.on_demand.set_stream(State::Open);
        self.parts.observe.set_connected(true);
        loop {
            let (newer, shown) = loop {
                tokio::select! {
                    // Reserving, not sending: a server that does not read must not keep us from reading it.
                    permit = link.tx.reserve(), if !self.outbox.is_empty() => match (permit, self.outbox.pop_front()) {
                        (Ok(permit), Some(request)) => permit.send(request),
                        _ => return has_answered,
                    },
                    response = link.rx.recv() => match response {
                        Some(Ok(response)) => {
                            has_answered = true;
                            drop(before.take());
                            self.take_response(response);
                        }
                        Some(Err(error)) => {
                            tracing::info!(%error, "the control stream broke");
                            return has_answered;
                        }
                        None => {
                            tracing::info!("the control plane closed the stream");
                            return has_answered;
                        }
                    },
                    taken_over = &mut next => break taken_over,
                    Some(query) = self.parts.queries.recv() => self.take_query(query),
                    _ = self.minutes.tick() => {
                        let unused = self.parts.on_demand.tick();
                        self.forget(unused);
                    }
                    () = due(self.save_at) => self.save(),
                    () = due(self.reopen_at) => self.reopen(),
                    Ok(()) = self.health.changed() => self.tell_health(),
                    // When all that was to be said is out.
                    () = due(self.inbound.due), if self.outbox.is_empty() => {
                        self.outbox.extend(self.inbound.next(&self.parts.observe, &*self.parts.clock));
                    }
                }
            };
            tracing::debug!("a control stream with the new certificate takes over");
            before = Some(std::mem::replace(&mut link, newer));
            self.send_initial_request();
            next.set(successor(&identity, &*clock, shown, self.jitter(), open));
        }
    }

    fn tell_health(&mut self) {
        let health = self.health.borrow_and_update().clone();
        self.outbox.extend(self.session.tell_health(&health));
    }

    fn take_query(&mut self, query: LookupQuery) {
        let (subscribe, unsubscribe) = self.parts.on_demand.query(query);
        self.forget(unsubscribe);
        if let Some(subscription) = subscribe {
            self.outbox.extend(self.session.subscribe(&[subscription]));
        }
    }

    fn forget(&mut self, unused: Vec<Subscription>) {
        if unused.is_empty() {
            return;
        }
        self.outbox.extend(self.session.unsubscribe(&unused));
        self.parts.store.apply(SnapshotChange { forgotten: unused, ..SnapshotChange::default() });
    }

    fn take_response(&mut self, response: DeltaDiscoveryResponse) {
        match self.session.on_response(response) {
            Ok(update) => self.apply(update),
            Err(refusal) => {
                tracing::warn!(cause = %refusal.cause, "refused a response; the last good configuration stays");
                self.outbox.push_back(*refusal.request);
            }
        }
    }

    fn apply(&mut self, update: Update) {
        for (name, cause) in &update.refused {
            tracing::warn!(name, cause, "refused a resource; its last good version stays");
        }
        let is_change = !(update.upserts.is_empty() && update.removed.is_empty());
        let change = SnapshotChange {
            upserts: update.upserts,
            removed: update.removed,
            absent: update.absent,
            ..SnapshotChange::default()
        };
        let snapshot = self.parts.store.apply(change);
        let more = self.parts.on_demand.answer_waiters(&snapshot);
        self.listen(&snapshot);
        self.nonce = update.nonce;
        self.outbox.push_back(self.session.ack(&self.nonce, self.session.held_hash()));
        self.outbox.extend(self.session.subscribe(&more));
        put_in_force(&self.parts, &snapshot);
        if is_change && self.parts.alone.is_some() {
            tell_applied(&snapshot);
        }
        if is_change && self.parts.last_good.is_some() {
            self.save_at.get_or_insert_with(|| Instant::now() + SAVE_EVERY);
        }
    }

    /// Tells the workers, the control plane and whoever reads the log what of a configuration can be listened on.
    /// Whether the control plane has to be told something new.
    fn listen(&mut self, snapshot: &Snapshot) -> bool {
        let gateway = snapshot.gateway.as_deref();
        let closed = gateway.map(|gateway| gateway.closed.clone()).unwrap_or_default();
        for listener in closed.iter().filter(|listener| !self.closed.contains(listener)) {
            tracing::error!(
                address = %listener.address,
                gateway = %format_args!("{}/{}", listener.namespace, listener.gateway),
                listener = %listener.name,
                error = %listener.why,
                "cannot listen on {}; what this gateway listened on before stays open",
                listener.address
            );
        }
        let places = gateway.map(GatewayEntry::listen_places).unwrap_or_default();
        self.reopen_at = (!closed.is_empty()).then(|| Instant::now() + REOPEN_EVERY);
        if let Some(alone) = &mut self.parts.alone {
            alone.set_listening(&places, &closed);
        }
        self.parts.listening.want(places, !closed.is_empty());
        let unmet = closed.iter().map(|listener| {
            let key = ResourceKey::Gateway(listener.namespace.clone(), listener.gateway.clone());
            (key.to_string(), format!("cannot listen on {}: {}", listener.address, listener.why))
        });
        let certificates = self.parts.store.certificates().faults();
        let faulty = certificates.into_iter().map(|(name, why)| (name, format!("cannot be used: {why}")));
        let is_new = self.session.complain(unmet.chain(faulty).collect());
        self.closed = closed;
        is_new
    }

    /// Tries listeners again that could not be opened.
    fn reopen(&mut self) {
        let Some(snapshot) = self.parts.store.reopen() else {
            self.reopen_at = Some(Instant::now() + REOPEN_EVERY);
            return;
        };
        if self.listen(&snapshot) && !self.nonce.is_empty() {
            self.outbox.push_back(self.session.ack(&self.nonce, self.session.held_hash()));
        }
    }

    /// Hands the configuration to a thread that writes it: a slow disk must not delay DNS.
    fn save(&mut self) {
        self.save_at = None;
        let Some(last_good) = self.parts.last_good.clone() else { return };
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            // Two at once would write the same file, and hold both threads that resolve names too.
            self.save_at = Some(Instant::now() + SAVE_EVERY);
            return;
        }
        let held = |(key, resource): (ResourceKey, Resource)| {
            let version = self.session.version(&key.to_string())?;
            Some((key, version, resource))
        };
        let saved = Saved {
            wanted: self.session.wanted().cloned().collect(),
            resources: self.parts.store.resources().into_iter().filter_map(held).collect(),
        };
        // Not awaited: it only ever replaces a whole file by another, and the next one comes seconds later.
        self.saving = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = last_good.save(&saved) {
                tracing::warn!(%error, "cannot keep the last good configuration");
            }
        }));
    }
}

/// What beside the snapshot follows from a configuration: trust, own labels, what is probed, what is
/// captured, readiness.
fn put_in_force(parts: &StreamParts, snapshot: &Snapshot) {
    // An empty list never replaces trust: it would cut off everybody, the control plane included.
    if !snapshot.trust.is_empty() && parts.identity.bundles() != *snapshot.trust {
        parts.identity.set_trust(snapshot.trust.to_vec());
    }
    let label = |name: &str| {
        let labels = snapshot.inbound.as_ref().map(|inbound| inbound.labels.as_slice()).unwrap_or_default();
        labels.iter().find(|(key, _)| &**key == name).map(|(_, value)| value.to_string()).unwrap_or_default()
    };
    parts.observe.set_own(Own {
        id: parts.identity.id(),
        workload: parts.me.group.to_string(),
        cluster: parts.me.place.cluster.to_string(),
        app: label("app"),
        version: label("version"),
    });
    parts.probing.configure(snapshot.inbound.as_ref().and_then(|inbound| inbound.probe.as_ref()));
    parts.capture.tell(snapshot);
    parts.configured.open();
}

/// Waits until a stream that was opened with `shown` should be replaced, and opens the one that takes over. While
/// that fails the old one goes on.
async fn successor(
    identity: &Identity,
    clock: &dyn Clock,
    shown: Option<Arc<Svid>>,
    jitter01: f64,
    open: &impl AsyncFn() -> Result<Link, LinkError>,
) -> (Link, Option<Arc<Svid>>) {
    superseded(identity, shown, || clock.wall(), jitter01).await;
    loop {
        let current = identity.svid();
        match tokio::time::timeout(OPEN_TIMEOUT, open()).await {
            Ok(Ok(link)) => return (link, current),
            Ok(Err(error)) => {
                tracing::warn!(%error, "no stream with the new certificate yet; the old one goes on");
            }
            Err(_) => tracing::warn!("no stream with the new certificate in time; the old one goes on"),
        }
        tokio::time::sleep(BACKOFF_MAX).await;
    }
}

/// Says, in a process that serves people at a terminal, that their change is in force.
fn tell_applied(snapshot: &Snapshot) {
    let gateway = snapshot.gateway.as_deref();
    tracing::info!(
        epoch = snapshot.epoch,
        listeners = gateway.map_or(0, |gateway| gateway.gateway.listeners.len()),
        rules = gateway.map_or(0, |gateway| gateway.rules.iter().map(|table| table.rules().count()).sum()),
        services = snapshot.hosts().count(),
        "configuration applied"
    );
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
