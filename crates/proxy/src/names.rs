//! Endpoints by name: keeps the addresses of all names that the configuration has, and puts them into the snapshot when
//! they change. One task; no request ever asks a name server. What an answer means, and for how long, is said by
//! `decide::resolution`.

use crate::dns::{Forwarder, IsReached};
use crate::snapshot::{ResolvedName, Snapshot, SnapshotChange, SnapshotStore};
use decide::dice::Pcg;
use decide::resolution::{self, NameAnswer, NameState};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Names that are kept; further ones have no addresses, and a warning says so.
const NAMES_MAX: usize = 4096;
/// Names that are asked for at once; others wait.
const ASKED_MAX: usize = 32;
/// Forwarders for name servers that services name.
const FORWARDERS_MAX: usize = 64;
/// Longest sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// The task that keeps names resolved.
pub(crate) struct NameResolution {
    store: Arc<SnapshotStore>,
    own: Arc<Forwarder>,
    others: HashMap<Vec<SocketAddr>, Arc<Forwarder>>,
    is_reached: IsReached,
    dice: Pcg,
    names: HashMap<ResolvedName, Kept>,
    asked: usize,
}

/// What is kept of a name.
struct Kept {
    state: NameState,
    /// `None`: it is being asked for.
    due: Option<Instant>,
}

type Asking = FuturesUnordered<Pin<Box<dyn Future<Output = (ResolvedName, NameAnswer)>>>>;

impl NameResolution {
    /// Asks `own` for the names in the snapshots of `store`, but for those of services that name servers of their own.
    pub(crate) fn new(
        store: Arc<SnapshotStore>,
        own: Arc<Forwarder>,
        is_reached: IsReached,
        dice: Pcg,
    ) -> Self {
        Self { store, own, others: HashMap::new(), is_reached, dice, names: HashMap::new(), asked: 0 }
    }

    /// Runs until dropped.
    pub(crate) async fn run(mut self) {
        let mut changes = self.store.changes();
        let mut asking = Asking::new();
        loop {
            self.follow(&self.store.snapshot());
            changes.mark_unchanged();
            self.ask_what_is_due(&mut asking);
            let next = self.names.values().filter_map(|kept| kept.due).min();
            let next = next.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                Some((name, answer)) = asking.next() => self.answered(&name, answer),
                () = sleep_until(next), if self.asked < ASKED_MAX => {}
            }
        }
    }

    /// Begins and forgets names as the snapshot has them.
    fn follow(&mut self, snapshot: &Snapshot) {
        let wanted = snapshot.wanted_names();
        self.names.retain(|name, _| wanted.contains(name));
        let mut left_out = Vec::new();
        for name in wanted {
            if self.names.contains_key(&name) {
                continue;
            }
            if self.names.len() >= NAMES_MAX {
                left_out.push((name, Vec::new()));
                continue;
            }
            self.names.insert(name, Kept { state: NameState::default(), due: Some(Instant::now()) });
        }
        left_out.retain(|(name, _)| !snapshot.is_resolved(name));
        if !left_out.is_empty() {
            tracing::warn!(
                count = left_out.len(),
                NAMES_MAX,
                "endpoints by name are left out: there are too many"
            );
            self.store.apply(SnapshotChange { resolved: left_out, ..SnapshotChange::default() });
        }
    }

    fn ask_what_is_due(&mut self, asking: &mut Asking) {
        let now = Instant::now();
        let due = |kept: &Kept| kept.due.is_some_and(|due| due <= now);
        let names: Vec<ResolvedName> =
            self.names.iter().filter(|(_, kept)| due(kept)).map(|(name, _)| name.clone()).collect();
        for name in names {
            if self.asked >= ASKED_MAX {
                return;
            }
            if let Some(kept) = self.names.get_mut(&name) {
                kept.due = None;
            }
            self.asked += 1;
            let (forwarder, is_reached) = (self.forwarder(&name.resolvers), self.is_reached);
            asking.push(Box::pin(async move {
                let answer = forwarder.find_addresses(&name.host, is_reached).await;
                (name, answer)
            }));
        }
    }

    fn forwarder(&mut self, resolvers: &[SocketAddr]) -> Arc<Forwarder> {
        if resolvers.is_empty() {
            return Arc::clone(&self.own);
        }
        if self.others.len() >= FORWARDERS_MAX && !self.others.contains_key(resolvers) {
            self.others.clear();
        }
        let new = || Arc::new(Forwarder::new(resolvers.to_vec()));
        Arc::clone(self.others.entry(resolvers.to_vec()).or_insert_with(new))
    }

    fn answered(&mut self, name: &ResolvedName, answer: NameAnswer) {
        self.asked -= 1;
        let Some(kept) = self.names.get_mut(name) else { return };
        let now = Instant::now();
        if answer == NameAnswer::Failed {
            tracing::debug!(host = %name.host, "no name server tells the addresses of an endpoint");
        }
        let wait = kept.state.judge(now.into_std(), answer, &mut self.dice);
        kept.due = Some(now + wait);
        let snapshot = self.store.snapshot();
        let (known, now) = (snapshot.addresses_of(name), kept.state.addresses());
        if !snapshot.is_resolved(name) || resolution::is_other(known, now, snapshot.order_of(name)) {
            let resolved = vec![(name.clone(), kept.state.addresses().to_vec())];
            self.store.apply(SnapshotChange { resolved, ..SnapshotChange::default() });
        }
    }
}
