//! The control thread's side of lookups: what is subscribed on demand, who waits for it, what is unused.
//!
//! No I/O: it returns what to subscribe and unsubscribe. `start::stream` owns it.

use super::{Found, LookupQuery, Unavailable};
use crate::snapshot::{Snapshot, SnapshotStore};
use model::Subscription;
use model::workload_host::is_workload_host;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::oneshot;

/// Names and addresses subscribed on demand at once. At the limit the absent ones make room; then lookups
/// fail with [`Unavailable::TooMany`].
pub(crate) const SUBSCRIPTIONS_MAX: usize = 4096;
/// Of those, addresses that were called to find out whether they are workloads': an application that calls very many
/// must not keep out names.
pub(crate) const WORKLOAD_HOSTS_MAX: usize = SUBSCRIPTIONS_MAX / 2;
/// Who waits for one name. More: [`Unavailable::TooMany`].
const WAITERS_MAX: usize = 1024;
/// A host is forgotten after so many minutes without use.
const FORGET_AFTER_MIN: u32 = 5;
/// The absence of a name is forgotten after so many minutes.
const FORGET_ABSENT_AFTER_MIN: u32 = 2;

/// Whether the control plane can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    /// The first connection is being made.
    Starting,
    /// Open.
    Open,
    /// Broken, or never made.
    Down,
}

type Waiter = oneshot::Sender<Result<Found, Unavailable>>;

/// One subscription on demand.
struct OnDemandSubscription {
    since: u32,
    waiters: Vec<Waiter>,
}

/// On-demand discovery, see the module's head.
pub(crate) struct OnDemand {
    store: Arc<SnapshotStore>,
    subscriptions: HashMap<Subscription, OnDemandSubscription>,
    minute: Arc<AtomicU32>,
    stream: StreamState,
}

impl OnDemand {
    pub(crate) fn new(store: Arc<SnapshotStore>, lookup: &super::Lookup) -> Self {
        Self {
            store,
            subscriptions: HashMap::new(),
            minute: Arc::clone(&lookup.minute),
            stream: StreamState::Starting,
        }
    }

    /// Takes over what the last good configuration held, so that it is renewed and forgotten like the rest.
    pub(crate) fn adopt(&mut self, subscriptions: impl IntoIterator<Item = Subscription>) {
        let since = self.minute();
        for subscription in subscriptions.into_iter().take(SUBSCRIPTIONS_MAX) {
            self.subscriptions
                .entry(subscription)
                .or_insert(OnDemandSubscription { since, waiters: Vec::new() });
        }
    }

    /// Notes the state of the stream. When it breaks, everyone who waits is told.
    pub(crate) fn set_stream(&mut self, stream: StreamState) {
        self.stream = stream;
        if stream == StreamState::Down {
            for entry in self.subscriptions.values_mut() {
                for waiter in entry.waiters.drain(..) {
                    let _ = waiter.send(Err(Unavailable::NoStream));
                }
            }
        }
    }

    /// Takes a question; returns what to subscribe now and what to unsubscribe to make room.
    pub(crate) fn query(&mut self, query: LookupQuery) -> (Option<Subscription>, Vec<Subscription>) {
        let snapshot = self.store.snapshot();
        if let Some(found) = find(&snapshot, &query.what) {
            let _ = query.answer.send(Ok(found));
            return (None, Vec::new());
        }
        if let Some(known) = self.subscriptions.get_mut(&query.what) {
            if self.stream == StreamState::Down {
                let _ = query.answer.send(Err(Unavailable::NoStream));
                return (None, Vec::new());
            }
            // Those whose deadline passed have gone; their places are free again.
            known.waiters.retain(|waiter| !waiter.is_closed());
            if known.waiters.len() < WAITERS_MAX {
                known.waiters.push(query.answer);
            } else {
                let _ = query.answer.send(Err(Unavailable::TooMany));
            }
            return (None, Vec::new());
        }
        if self.stream == StreamState::Down {
            let _ = query.answer.send(Err(Unavailable::NoStream));
            return (None, Vec::new());
        }
        let gone = if self.is_full(&query.what) { self.drop_absent(&snapshot) } else { Vec::new() };
        if self.is_full(&query.what) {
            let _ = query.answer.send(Err(Unavailable::TooMany));
            return (None, gone);
        }
        let since = self.minute();
        self.subscriptions
            .insert(query.what.clone(), OnDemandSubscription { since, waiters: vec![query.answer] });
        (Some(query.what), gone)
    }

    /// After a new snapshot: answers everyone whose question it settles. Returns hosts that an address was
    /// found to belong to but that were not sent with it.
    pub(crate) fn answer_waiters(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Subscription> {
        let mut more = Vec::new();
        for (what, entry) in &mut self.subscriptions {
            if entry.waiters.is_empty() {
                continue;
            }
            if let Some(found) = find(snapshot, what) {
                for waiter in entry.waiters.drain(..) {
                    let _ = waiter.send(Ok(found.clone()));
                }
            } else if let Subscription::Address(ip) = what
                && let Some(host) = snapshot.by_address(*ip)
            {
                more.push(Subscription::Host(host.clone()));
            }
        }
        more.retain(|subscription| !self.subscriptions.contains_key(subscription));
        let since = self.minute();
        for subscription in &more {
            self.subscriptions
                .insert(subscription.clone(), OnDemandSubscription { since, waiters: Vec::new() });
        }
        more
    }

    /// A minute has passed: returns what is to be unsubscribed. Nothing is forgotten without a stream,
    /// because it could not be had again.
    pub(crate) fn tick(&mut self) -> Vec<Subscription> {
        if self.stream != StreamState::Open {
            return Vec::new();
        }
        let minute = self.minute.fetch_add(1, Ordering::Relaxed) + 1;
        let snapshot = self.store.snapshot();
        let is_stale = |what: &Subscription, entry: &OnDemandSubscription| {
            let used = match what {
                Subscription::Host(host) => snapshot.host(host.as_str()),
                Subscription::Address(ip) => {
                    snapshot.by_address(*ip).and_then(|host| snapshot.host(host.as_str()))
                }
                _ => return false,
            };
            let last = used.map_or(0, |entry| entry.used.0.load(Ordering::Relaxed)).max(entry.since);
            let patience = if used.is_some() { FORGET_AFTER_MIN } else { FORGET_ABSENT_AFTER_MIN };
            minute.saturating_sub(last) > patience && entry.waiters.iter().all(oneshot::Sender::is_closed)
        };
        let stale: Vec<Subscription> = self
            .subscriptions
            .iter()
            .filter(|(what, entry)| is_stale(what, entry))
            .map(|(what, _)| what.clone())
            .collect();
        for what in &stale {
            self.subscriptions.remove(what);
        }
        stale
    }

    /// Whether there is no room for one more.
    fn is_full(&self, what: &Subscription) -> bool {
        let all = self.subscriptions.len();
        // Counted where it can matter only.
        let are_called = || self.subscriptions.keys().filter(|known| is_called(known)).count();
        all >= SUBSCRIPTIONS_MAX
            || (is_called(what) && all >= WORKLOAD_HOSTS_MAX && are_called() >= WORKLOAD_HOSTS_MAX)
    }

    fn drop_absent(&mut self, snapshot: &Snapshot) -> Vec<Subscription> {
        let is_absent = |what: &Subscription| match what {
            Subscription::Host(host) => snapshot.is_host_absent(host.as_str()),
            Subscription::Address(ip) => snapshot.is_address_absent(*ip),
            _ => false,
        };
        let gone: Vec<Subscription> =
            self.subscriptions.keys().filter(|what| is_absent(what)).cloned().collect();
        for what in &gone {
            self.subscriptions.remove(what);
        }
        gone
    }

    fn minute(&self) -> u32 {
        self.minute.load(Ordering::Relaxed)
    }
}

/// Whether it is an address that was called, and no name.
fn is_called(what: &Subscription) -> bool {
    matches!(what, Subscription::Host(host) if is_workload_host(host))
}

/// What the snapshot says about a question; `None`: nothing yet.
fn find(snapshot: &Arc<Snapshot>, what: &Subscription) -> Option<Found> {
    let (is_present, is_absent) = match what {
        Subscription::Host(host) => {
            (snapshot.host(host.as_str()).is_some(), snapshot.is_host_absent(host.as_str()))
        }
        Subscription::Address(ip) => {
            let owner = snapshot.by_address(*ip).and_then(|host| snapshot.host(host.as_str()));
            (owner.is_some(), snapshot.is_address_absent(*ip))
        }
        _ => (false, false),
    };
    match (is_present, is_absent) {
        (true, _) => Some(Found::Present(Arc::clone(snapshot))),
        (_, true) => Some(Found::Absent),
        _ => None,
    }
}
