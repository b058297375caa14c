//! What a service, or the local application, had lately of requests and of retries. Shared by all workers, kept across
//! snapshots; whether one more is within the budget is decided by `decide::retry_budget`.

use decide::retry_budget::{self as budget, BUDGET_WINDOW_S, Budget, Second};
use std::sync::atomic::{AtomicU64, Ordering};

/// Packed seconds of the window. Times are the workers' monotonic milliseconds.
#[derive(Debug, Default)]
pub struct Retries([AtomicU64; BUDGET_WINDOW_S]);

impl Retries {
    /// A request begins.
    pub(crate) fn requested(&self, now_ms: u64) {
        self.update(now_ms, budget::after_request);
    }

    /// It goes once more.
    pub(crate) fn repeated(&self, now_ms: u64) {
        self.update(now_ms, budget::after_retry);
    }

    /// Whether one more may. Workers that ask at the same moment get the same answer, so that there may be as many
    /// too many as there are other workers.
    pub(crate) fn left(&self, now_ms: u64) -> Budget {
        let window = self.0.each_ref().map(|second| Second::from_bits(second.load(Ordering::Relaxed)));
        budget::left(&window, now_ms / 1000)
    }

    fn update(&self, now_ms: u64, count: fn(Second, u64) -> Second) {
        let now_s = now_ms / 1000;
        let second = &self.0[budget::place(now_s)];
        let next = |bits| Some(count(Second::from_bits(bits), now_s).to_bits());
        // Never fails: there is always a next one.
        let _ = second.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}
