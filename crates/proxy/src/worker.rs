//! What one thread has: pools, limits and dice of its own. Workers share only what `Shared` holds: the
//! configuration, the health of endpoints, counters that each writes alone. Read `start::workers` for the thread
//! itself, `flow` next.

use crate::accept::Mark;
use crate::limits::{Capacity, ConnectionLimits, Mirrors};
use crate::mesh_tls::MeshTls;
use crate::observe::Recorder;
use crate::request::RequestIds;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::upstream::Upstream;
use crate::upstream::connect::Connector;
use crate::uptime::Uptime;
use decide::Dice;
use decide::dice::Pcg;
use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What one worker has. Lives in an `Rc`; nothing of it leaves the thread.
pub(crate) struct Worker {
    /// What all workers share.
    pub(crate) shared: Arc<Shared>,
    /// Metrics and access log.
    pub(crate) recorder: Recorder,
    /// All chance of this worker.
    pub(crate) dice: Rc<RefCell<Pcg>>,
    /// The way out.
    pub(crate) upstream: Upstream,
    /// For callers at the mesh port.
    pub(crate) tls: Rc<MeshTls>,
    /// Makes ids for requests that have none.
    pub(crate) request_ids: RequestIds,
    /// How many connections there may be, and whose.
    pub(crate) limits: ConnectionLimits,
    /// Copies of requests.
    pub(crate) mirrors: Mirrors,
    /// Since when it runs.
    pub(crate) uptime: Uptime,
    snapshot: RefCell<WorkerSnapshot>,
}

impl Worker {
    /// A worker without listeners.
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let mark = if shared.options.no_capture { Mark::Free } else { Mark::Captured };
        let descriptors = daemon::process::descriptors_max();
        let capacity = Capacity::within(descriptors, shared.options.worker_count(), mark);
        let dice = Rc::new(RefCell::new(Pcg::new(seed)));
        let tls =
            Rc::new(MeshTls::new(&shared.identity, Arc::clone(&shared.proven), Arc::clone(&shared.clock)));
        let uptime = Uptime::new(Arc::clone(&shared.clock));
        let connector = Connector::new(Rc::clone(&tls), mark);
        Rc::new(Self {
            recorder: shared.observe.recorder(),
            upstream: Upstream::new(connector, capacity.idle, Rc::clone(&dice), uptime.clone()),
            dice,
            tls,
            request_ids: RequestIds::default(),
            limits: ConnectionLimits::new(capacity),
            mirrors: Mirrors::default(),
            uptime,
            snapshot: RefCell::new(WorkerSnapshot::new(shared.store.snapshot())),
            shared,
        })
    }

    /// The configuration in force. Ordinarily one relaxed load and a count in thread-local memory.
    pub(crate) fn snapshot(&self) -> WorkerSnapshot {
        let mut held = self.snapshot.borrow_mut();
        // By the snapshot's own number, so that one which was swapped meanwhile is noticed next time.
        if held.epoch != self.shared.store.epoch() {
            *held = WorkerSnapshot::new(self.shared.store.snapshot());
        }
        held.clone()
    }

    /// Closes idle connections now and then; never ends.
    pub(crate) async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.upstream.sweep();
        }
    }

    /// 128 random bits, not for secrets.
    pub(crate) fn random(&self) -> u128 {
        let mut dice = self.dice.borrow_mut();
        u128::from(dice.next_u64()) << 64 | u128::from(dice.next_u64())
    }
}

/// A worker's own hold on a snapshot: cloning it counts in this thread's memory, not in memory that all
/// workers write.
#[derive(Clone)]
pub(crate) struct WorkerSnapshot(Rc<Holder>);

struct Holder(Arc<Snapshot>);

impl WorkerSnapshot {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Rc::new(Holder(snapshot)))
    }
}

impl Deref for WorkerSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0.0
    }
}
