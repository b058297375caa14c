//! Tells the control plane who came to the application's ports: with the first request of each stream, then whenever
//! that has changed, at most every few seconds. What it tells is counted by `observe::inbound`.

use crate::observe::Observe;
use daemon::clock::Clock;
use model::observed::ObservedInbound;
use std::time::Duration;
use tokio::time::Instant;
use xds::{DeltaDiscoveryRequest, TYPE_URL, proto, wire};

/// What has changed is told this often at most.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(5);

/// What was told, and when to look again.
pub(super) struct InboundReport {
    every: Duration,
    told: Option<ObservedInbound>,
    /// `None` before the first stream.
    pub(super) due: Option<Instant>,
}

impl InboundReport {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, told: None, due: None }
    }

    /// All of it, for a stream that begins.
    pub(super) fn first(&mut self, observe: &Observe, clock: &dyn Clock) -> proto::ObservedInbound {
        self.due = Some(Instant::now() + self.every);
        let observed = observe.inbound(self.every);
        let report = wire::observed_out(&observed, clock.wall());
        self.told = Some(observed);
        report
    }

    /// All of it, where anything has changed.
    pub(super) fn next(&mut self, observe: &Observe, clock: &dyn Clock) -> Option<DeltaDiscoveryRequest> {
        self.due = Some(Instant::now() + self.every);
        if self.told.as_ref() == Some(&observe.inbound(self.every)) {
            return None;
        }
        let observed = Some(self.first(observe, clock));
        let type_url = TYPE_URL.to_owned();
        Some(DeltaDiscoveryRequest { type_url, observed, ..DeltaDiscoveryRequest::default() })
    }
}
