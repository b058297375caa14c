//! The control stream: keeps it open, applies what it brings, says what is wanted.
//!
//! It owns the delta session and the desk of lookups. A response is acknowledged after its snapshot has
//! been swapped in. When the stream breaks, everything stays as it is, and after a wait with jitter the
//! next stream starts from what is held. Nothing here can fail for good. Before the certificate that a
//! stream was opened with expires, another stream is opened with the new one and takes over.

use super::last_good::{LastGood, Saved};
use crate::lookup::Ask;
use crate::lookup::desk::{Desk, Stream as State};
use crate::observe::{Observe, Own};
use crate::snapshot::{Change, Me, Snapshot, Store};
use daemon::Gate;
use daemon::clock::Clock;
use decide::Dice;
use decide::dice::Pcg;
use identity::rotate::superseded;
use identity::{Identity, Svid};
use model::{Resource, ResourceKey, Subscription};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use xds::client::{Session, Update};
use xds::link::{Link, LinkError};
use xds::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, ProxyNode};

/// First wait after a stream broke; doubles, with jitter, up to [`BACKOFF_MAX`].
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// An attempt to open a stream that takes longer has failed.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The last good configuration is written at most this often.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How often unused hosts are looked for.
const MINUTE: Duration = Duration::from_secs(60);

/// What the stream works on.
pub(super) struct Parts {
    pub(super) me: Me,
    pub(super) store: Arc<Store>,
    pub(super) desk: Desk,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) identity: Identity,
    pub(super) observe: Arc<Observe>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) last_good: Option<LastGood>,
    /// Opened with the first configuration.
    pub(super) configured: Gate,
    pub(super) dice: Pcg,
}

/// See the module's head.
pub(super) struct Stream {
    parts: Parts,
    session: Session,
    outbox: VecDeque<DeltaDiscoveryRequest>,
    minutes: tokio::time::Interval,
    save_at: Option<Instant>,
    saving: Option<JoinHandle<()>>,
}

impl Stream {
    /// Starts from the last good configuration, when there is one.
    pub(super) fn new(mut parts: Parts) -> Self {
        let saved = match parts.last_good.as_ref().map(LastGood::load) {
            Some(Ok(Some(saved))) => saved,
            Some(Err(error)) => {
                tracing::warn!(%error, "the last good configuration is not used");
                Saved::default()
            }
            _ => Saved::default(),
        };
        let mut session =
            Session::restore(saved.resources.iter().map(|(key, version, _)| (key.clone(), version.clone())));
        if !saved.resources.is_empty() {
            tracing::info!(resources = saved.resources.len(), "started from the last good configuration");
            let upserts = saved.resources.into_iter().map(|(key, _, resource)| (key, resource)).collect();
            let snapshot = parts.store.apply(Change { upserts, ..Change::default() });
            parts.desk.adopt(saved.wanted.clone());
            session.subscribe(&saved.wanted);
            put_in_force(&parts, &snapshot);
        }
        let mut minutes = tokio::time::interval_at(Instant::now() + MINUTE, MINUTE);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { parts, session, outbox: VecDeque::new(), minutes, save_at: None, saving: None }
    }

    /// Runs until dropped. `open` makes a new stream.
    pub(super) async fn run(mut self, open: impl AsyncFn() -> Result<Link, LinkError>) {
        let mut wait = BACKOFF_FIRST;
        loop {
            // Read first: should it be renewed meanwhile, the stream is replaced too early, not too late.
            let shown = self.parts.identity.svid();
            match self.while_idle(tokio::time::timeout(OPEN_TIMEOUT, open())).await {
                Ok(Ok(link)) => {
                    if self.serve(link, shown, &open).await {
                        wait = BACKOFF_FIRST;
                    }
                    // Not down yet: whoever waits goes on waiting while the next attempt is made.
                    self.parts.desk.set_stream(State::Starting);
                }
                Ok(Err(error)) => self.failed(&error.to_string()),
                Err(_) => self.failed("no answer in time"),
            }
            self.session.on_disconnect();
            self.outbox.clear();
            self.parts.observe.set_connected(false);
            let pause = wait.mul_f64(0.5 + 0.5 * self.jitter());
            self.while_idle(tokio::time::sleep(pause)).await;
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    fn jitter(&mut self) -> f64 {
        (self.parts.dice.next_u64() % 1000) as f64 / 1000.0
    }

    fn failed(&mut self, error: &str) {
        tracing::warn!(error, "the control plane cannot be reached; going on with what is known");
        self.parts.desk.set_stream(State::Down);
    }

    /// Awaits something while lookups are still answered.
    async fn while_idle<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                output = &mut done => return output,
                Some(ask) = self.parts.asks.recv() => self.take_ask(ask),
                () = save_due(self.save_at) => self.save(),
            }
        }
    }

    /// Says on a new stream what is held and wanted; whatever the one before had still to say is in it.
    fn greet(&mut self) {
        self.session.on_disconnect();
        self.outbox.clear();
        let me = &self.parts.me;
        let node = ProxyNode {
            uid: me.uid.to_string(),
            namespace: me.namespace.to_string(),
            group: me.group.to_string(),
            addresses: me.addresses.iter().map(ToString::to_string).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.outbox.push_back(self.session.on_connect(node));
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
        self.greet();
        self.parts.desk.set_stream(State::Open);
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
                    Some(ask) = self.parts.asks.recv() => self.take_ask(ask),
                    _ = self.minutes.tick() => {
                        let unused = self.parts.desk.tick();
                        self.forget(unused);
                    }
                    () = save_due(self.save_at) => self.save(),
                }
            };
            tracing::debug!("a control stream with the new certificate takes over");
            before = Some(std::mem::replace(&mut link, newer));
            self.greet();
            next.set(successor(&identity, &*clock, shown, self.jitter(), open));
        }
    }

    fn take_ask(&mut self, ask: Ask) {
        let (subscribe, unsubscribe) = self.parts.desk.ask(ask);
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
        self.parts.store.apply(Change { forgotten: unused, ..Change::default() });
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
        let change = Change {
            upserts: update.upserts,
            removed: update.removed,
            absent: update.absent,
            forgotten: Vec::new(),
        };
        let snapshot = self.parts.store.apply(change);
        let more = self.parts.desk.settle(&snapshot);
        self.outbox.push_back(self.session.ack(&update.nonce, self.session.held_hash()));
        self.outbox.extend(self.session.subscribe(&more));
        put_in_force(&self.parts, &snapshot);
        if is_change && self.parts.last_good.is_some() {
            self.save_at.get_or_insert_with(|| Instant::now() + SAVE_EVERY);
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

/// What beside the snapshot follows from a configuration: trust, own labels, readiness.
fn put_in_force(parts: &Parts, snapshot: &Snapshot) {
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

async fn save_due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
