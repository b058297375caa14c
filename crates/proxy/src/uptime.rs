//! The milliseconds that a worker counts in for `decide::outlier` and `decide::retry_budget`.

use daemon::clock::Clock;
use std::sync::Arc;
use std::time::Instant;

/// Counts from the worker's start. All workers start within moments of each other, which is as exact as ejecting an
/// endpoint needs to be.
#[derive(Clone)]
pub(crate) struct Uptime {
    clock: Arc<dyn Clock>,
    started: Instant,
}

impl Uptime {
    /// Zero is now.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started: clock.now(), clock }
    }

    /// Reads the clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_at(self.clock.now())
    }

    /// For a moment that was read from the clock before.
    pub(crate) fn ms_at(&self, moment: Instant) -> u64 {
        moment.duration_since(self.started).as_millis() as u64
    }
}
