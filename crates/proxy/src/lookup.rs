//! Asking the control plane for a host or an address that the snapshot does not have.
//!
//! A [`Lookup`] is the workers' and DNS' handle; the [`on_demand`] part of the control thread subscribes, wakes
//! everyone who waits for the same name at once, and forgets what has not been used for some minutes.
//! A lookup never waits longer than its deadline and never queues without a limit.

pub(crate) mod on_demand;
#[cfg(test)]
mod tests;

use crate::snapshot::{HostEntry, Snapshot, SnapshotStore};
use model::{Hostname, Subscription};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Longest wait for an answer of the control plane; then [`Unavailable::Deadline`].
pub const LOOKUP_DEADLINE: Duration = Duration::from_secs(3);
/// Questions on their way to the control thread; when full, [`Unavailable::TooMany`].
pub const LOOKUP_QUEUE_MAX: usize = 1024;

/// What a lookup found.
#[derive(Clone)]
pub enum Found {
    /// This snapshot has it.
    Present(Arc<Snapshot>),
    /// The control plane said that it does not exist.
    Absent,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no control stream and nothing is known from before.
    #[error("no control stream")]
    NoStream,
    /// The control plane did not answer in time.
    #[error("no answer from the control plane in time")]
    Deadline,
    /// A limit on names or questions was reached.
    #[error("too many names in use")]
    TooMany,
    /// The proxy is stopping.
    #[error("stopping")]
    Stopped,
}

/// One question to the control thread.
pub(crate) struct LookupQuery {
    pub(crate) what: Subscription,
    pub(crate) answer: oneshot::Sender<Result<Found, Unavailable>>,
}

/// The handle; cheap to clone, usable on any thread.
#[derive(Clone)]
pub struct Lookup {
    store: Arc<SnapshotStore>,
    queries: mpsc::Sender<LookupQuery>,
    minute: Arc<AtomicU32>,
}

impl Lookup {
    /// A handle and the questions that it sends.
    pub(crate) fn new(store: Arc<SnapshotStore>) -> (Self, mpsc::Receiver<LookupQuery>) {
        let (queries, questions) = mpsc::channel(LOOKUP_QUEUE_MAX);
        (Self { store, queries, minute: Arc::default() }, questions)
    }

    /// Finds a host, subscribing to it when it is not in the snapshot.
    pub async fn host(&self, host: &Hostname) -> Result<Found, Unavailable> {
        let snapshot = self.store.snapshot();
        if let Some(entry) = snapshot.host(host.as_str()) {
            self.touch(entry);
            return Ok(Found::Present(snapshot));
        }
        if snapshot.is_host_absent(host.as_str()) {
            return Ok(Found::Absent);
        }
        self.query(Subscription::Host(host.clone())).await
    }

    /// Finds the owner of a mesh-only address. When present, `Snapshot::by_address` knows it, and the
    /// host that it names is in the snapshot too.
    pub async fn address(&self, ip: Ipv4Addr) -> Result<Found, Unavailable> {
        let snapshot = self.store.snapshot();
        if let Some(entry) = snapshot.by_address(ip).and_then(|host| snapshot.host(host.as_str())) {
            self.touch(entry);
            return Ok(Found::Present(snapshot));
        }
        if snapshot.is_address_absent(ip) {
            return Ok(Found::Absent);
        }
        self.query(Subscription::Address(ip)).await
    }

    /// Notes that a host is in use, so that it is not forgotten. One relaxed load when it is recent.
    pub fn touch(&self, entry: &HostEntry) {
        entry.used.touch(self.minute.load(Ordering::Relaxed));
    }

    async fn query(&self, what: Subscription) -> Result<Found, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.queries.try_send(LookupQuery { what, answer }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Unavailable::TooMany,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopped,
        })?;
        match tokio::time::timeout(LOOKUP_DEADLINE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Unavailable::Stopped),
            Err(_) => Err(Unavailable::Deadline),
        }
    }
}
