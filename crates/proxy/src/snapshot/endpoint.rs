//! What is remembered of an endpoint from one snapshot to the next, in atomics that all workers write. What it means is
//! decided by `decide::outlier` and `decide::balance`.

use decide::balance::Load;
use decide::outlier::{self, Health};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What is remembered of one endpoint as long as any snapshot knows its uid: whether it is ejected after
/// failures, and how many requests it has. Shared by all workers and by all hosts that list the endpoint.
#[derive(Debug)]
pub struct EndpointHealth {
    /// Packed [`Health`].
    bits: AtomicU64,
    /// Requests and tunnels in flight from this proxy.
    active: AtomicU32,
}

impl Default for EndpointHealth {
    fn default() -> Self {
        Self { bits: AtomicU64::new(Health::default().to_bits()), active: AtomicU32::new(0) }
    }
}

impl EndpointHealth {
    /// The health as of now.
    pub fn health(&self) -> Health {
        Health::from_bits(self.bits.load(Ordering::Relaxed))
    }

    /// Whether it is ejected at `now_ms` (the worker's monotonic milliseconds).
    pub fn is_ejected(&self, now_ms: u64) -> bool {
        outlier::is_ejected(self.health(), now_ms)
    }

    /// Requests and tunnels in flight from this proxy.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// What choosing an endpoint goes by.
    pub fn load(&self, now_ms: u64) -> Load {
        Load { active: self.active(), ejected: self.is_ejected(now_ms) }
    }

    /// Counts one more in flight until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    /// Notes that it could not be reached or did not answer.
    pub fn failed(&self, now_ms: u64, dice: &mut dyn decide::Dice) {
        self.update(|health| outlier::after_failure(health, now_ms, dice));
    }

    /// Notes an answer. Writes only when that changes something.
    pub fn succeeded(&self, now_ms: u64) {
        self.update(|health| outlier::after_success(health, now_ms));
    }

    /// Decides anew when another worker came in between: an answer that one of them had must not undo the
    /// failure that another saw, or traffic would go to and fro.
    fn update(&self, mut decide: impl FnMut(Health) -> Health) {
        let mut now = self.bits.load(Ordering::Relaxed);
        loop {
            let next = decide(Health::from_bits(now)).to_bits();
            if next == now {
                return;
            }
            match self.bits.compare_exchange_weak(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }
}

/// One request in flight to an endpoint.
#[derive(Debug)]
pub struct Active(Arc<EndpointHealth>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
