//! What is remembered of an endpoint from one snapshot to the next, in atomics that all workers write. What it means is
//! decided by `decide::outlier` and `decide::balance`.
//!
//! It is made when an endpoint is first used: a proxy knows a hundred thousand and calls a few.

use decide::balance::Load;
use decide::outlier::{self, Health};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What of endpoints that are gone is swept once at least this many are remembered.
const SWEPT_AT_LEAST: usize = 64;

/// What is remembered of all endpoints that were used, by uid, as long as any snapshot or request holds it.
#[derive(Debug, Default)]
pub struct HealthMemory(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    by_uid: HashMap<Arc<str>, Weak<EndpointHealth>>,
    /// Swept when there are so many, which is rare enough to be cheap.
    sweep_at: usize,
}

impl HealthMemory {
    /// What is remembered of one, if anything.
    fn get(&self, uid: &str) -> Option<Arc<EndpointHealth>> {
        self.remembered().by_uid.get(uid).and_then(Weak::upgrade)
    }

    /// What is remembered of one, from now on if nothing was.
    fn get_or_begin(&self, uid: &Arc<str>) -> Arc<EndpointHealth> {
        let mut remembered = self.remembered();
        if let Some(known) = remembered.by_uid.get(uid).and_then(Weak::upgrade) {
            return known;
        }
        if remembered.by_uid.len() >= remembered.sweep_at.max(SWEPT_AT_LEAST) {
            remembered.by_uid.retain(|_, health| health.strong_count() > 0);
            remembered.sweep_at = remembered.by_uid.len().saturating_mul(2);
        }
        let fresh = Arc::new(EndpointHealth::default());
        remembered.by_uid.insert(Arc::clone(uid), Arc::downgrade(&fresh));
        fresh
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Filled by the first use of an endpoint.
type Slot = OnceLock<Arc<EndpointHealth>>;

/// What is remembered of each endpoint of one host, in their order.
#[derive(Debug)]
pub struct EndpointStates {
    memory: Arc<HealthMemory>,
    count: usize,
    /// Made when one of them is first used.
    slots: OnceLock<Box<[Slot]>>,
}

impl EndpointStates {
    /// Of the endpoints with these uids.
    pub(super) fn new<'a>(
        memory: &Arc<HealthMemory>,
        uids: impl ExactSizeIterator<Item = &'a Arc<str>>,
    ) -> Self {
        let states = Self { memory: Arc::clone(memory), count: uids.len(), slots: OnceLock::new() };
        for (index, uid) in uids.enumerate() {
            if let Some(known) = memory.get(uid)
                && let Some(slot) = states.slots().get(index)
            {
                let _ = slot.set(known);
            }
        }
        states
    }

    /// Of other endpoints, remembered among the same.
    pub(super) fn of<'a>(&self, uids: impl ExactSizeIterator<Item = &'a Arc<str>>) -> Self {
        Self::new(&self.memory, uids)
    }

    fn slots(&self) -> &[Slot] {
        self.slots.get_or_init(|| (0..self.count).map(|_| Slot::new()).collect())
    }

    /// Of the endpoint at `index`; `None`: it was never used.
    pub fn get(&self, index: usize) -> Option<&Arc<EndpointHealth>> {
        self.slots.get()?.get(index)?.get()
    }

    /// Of the endpoint at `index`, which has this uid and is used now.
    pub fn get_or_begin(&self, index: usize, uid: &Arc<str>) -> Option<&Arc<EndpointHealth>> {
        Some(self.slots().get(index)?.get_or_init(|| self.memory.get_or_begin(uid)))
    }

    /// The health as of now.
    pub fn health(&self, index: usize) -> Health {
        self.get(index).map_or_else(Health::default, |state| state.health())
    }

    /// Whether it is ejected at `now_ms` (the worker's monotonic milliseconds).
    pub fn is_ejected(&self, index: usize, now_ms: u64) -> bool {
        self.get(index).is_some_and(|state| state.is_ejected(now_ms))
    }

    /// Requests and tunnels in flight from this proxy.
    pub fn active(&self, index: usize) -> u32 {
        self.get(index).map_or(0, |state| state.active())
    }

    /// What choosing an endpoint goes by.
    pub fn load(&self, index: usize, now_ms: u64) -> Load {
        self.get(index).map_or_else(Load::default, |state| state.load(now_ms))
    }
}

/// What is remembered of one endpoint as long as any snapshot knows its uid: whether it is ejected after
/// failures, and how many requests it has. Shared by all workers, and by all hosts that list the endpoint and have used it.
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
