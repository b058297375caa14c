//! What is known of the attempts made for one request or one opaque connection.

use crate::snapshot::HostEntry;
use crate::upstream::attempts::Begun;
use model::Reason;
use model::service::{Endpoint, Service};
use std::cell::{Cell, OnceCell};
use std::net::SocketAddr;
use std::sync::Arc;

/// Gathered by the loop of attempts, read when all is over.
#[derive(Default)]
pub(crate) struct AttemptFacts {
    entry: OnceCell<Arc<HostEntry>>,
    endpoint: Cell<Option<usize>>,
    address: Cell<Option<SocketAddr>>,
    count: Cell<u32>,
    limited: Cell<Option<Reason>>,
}

impl AttemptFacts {
    /// They go to this service. Nothing is changed where that is known already.
    pub(crate) fn set_service(&self, entry: &Arc<HostEntry>) {
        self.entry.get_or_init(|| Arc::clone(entry));
    }

    /// One begins.
    pub(crate) fn began(&self, attempt: &Begun<'_>) {
        if let Some(entry) = attempt.entry {
            self.set_service(entry);
            self.endpoint.set(Some(attempt.index));
        }
        self.address.set(attempt.address);
        self.count.set(self.count.get() + 1);
    }

    /// One begins at an address that is no service's.
    pub(crate) fn began_at(&self, address: SocketAddr) {
        self.address.set(Some(address));
        self.count.set(self.count.get() + 1);
    }

    /// There would have been one more but for this.
    pub(crate) fn set_limited(&self, by: Reason) {
        self.limited.set(Some(by));
    }

    /// None of them stands, so that no endpoint is at the other side.
    pub(crate) fn forget_endpoint(&self) {
        self.endpoint.set(None);
    }

    /// Where they went.
    pub(crate) fn service(&self) -> Option<&Service> {
        self.entry.get().map(|entry| &entry.service)
    }

    /// Where the last one went.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        self.entry.get()?.endpoints.get(self.endpoint.get()?)
    }

    /// The same as an address.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address.get()
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.count.get()
    }

    /// What kept it from a further one.
    pub(crate) fn limited(&self) -> Option<Reason> {
        self.limited.get()
    }
}
