//! What one thread has: pools, limits and dice of its own. Workers share only what `Shared` holds: the
//! configuration, the health of endpoints, counters that each writes alone. Read `start::workers` for the thread
//! itself, `flow` next.

use crate::accept::Mark;
use crate::limits::{Capacity, ConnectionLimits};
use crate::observe::Recorder;
use crate::secure::ALPN_MESH;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::upstream::{http1_pool, http2_pool};
use daemon::Tasks;
use decide::Dice;
use decide::dice::Pcg;
use identity::Clients;
use rustls::ServerConfig;
use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What one worker has. Lives in an `Rc`; nothing of it leaves the thread.
pub(crate) struct Worker {
    /// What all workers share.
    pub(crate) shared: Arc<Shared>,
    /// Metrics and access log.
    pub(crate) recorder: Recorder,
    /// All chance of this worker.
    pub(crate) dice: RefCell<Pcg>,
    /// HTTP/1.1 connections.
    pub(crate) plain: Rc<http1_pool::Pool>,
    /// HTTP/2 connections.
    pub(crate) mesh: http2_pool::Pool,
    /// What drives upstream connections.
    pub(crate) background: Tasks,
    /// How many connections there may be, and whose.
    pub(crate) limits: ConnectionLimits,
    /// For callers at the mesh port.
    pub(crate) mesh_tls: Arc<ServerConfig>,
    snapshot: RefCell<Held>,
    started: Instant,
    mark: Mark,
}

impl Worker {
    /// A worker without listeners.
    pub(crate) fn new(shared: Arc<Shared>, seed: u64) -> Rc<Self> {
        let background = Tasks::new();
        let mark = if shared.options.no_capture { Mark::Free } else { Mark::Captured };
        let descriptors = daemon::process::descriptors_max();
        let capacity = Capacity::within(descriptors, shared.options.worker_count(), mark);
        Rc::new(Self {
            recorder: shared.observe.recorder(),
            dice: RefCell::new(Pcg::new(seed)),
            plain: http1_pool::Pool::new(background.clone(), mark, capacity.idle),
            mesh: http2_pool::Pool::default(),
            background,
            mesh_tls: shared.identity.server_config(Clients::Required, &[ALPN_MESH]),
            limits: ConnectionLimits::new(capacity),
            snapshot: RefCell::new(Held::new(shared.store.snapshot())),
            started: shared.clock.now(),
            mark,
            shared,
        })
    }

    /// The configuration in force. Ordinarily one relaxed load and a count in thread-local memory.
    pub(crate) fn snapshot(&self) -> Held {
        let mut held = self.snapshot.borrow_mut();
        // By the snapshot's own number, so that one which was swapped meanwhile is noticed next time.
        if held.epoch != self.shared.store.epoch() {
            *held = Held::new(self.shared.store.snapshot());
        }
        held.clone()
    }

    /// Monotonic milliseconds, for `decide::health`. All workers start within moments of each other, which is
    /// as exact as ejecting an endpoint needs to be.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_at(self.shared.clock.now())
    }

    /// The same for a moment that was read from the clock before.
    pub(crate) fn ms_at(&self, moment: Instant) -> u64 {
        moment.duration_since(self.started).as_millis() as u64
    }

    /// Closes idle connections now and then; never ends.
    pub(crate) async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let now = tokio::time::Instant::now();
            self.plain.sweep(now);
            self.mesh.sweep(now);
        }
    }

    /// Whether own sockets are marked.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Uniform below `bound`.
    pub(crate) fn below(&self, bound: u32) -> u32 {
        self.dice.borrow_mut().below(u64::from(bound)) as u32
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
pub(crate) struct Held(Rc<Holder>);

struct Holder(Arc<Snapshot>);

impl Held {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Rc::new(Holder(snapshot)))
    }
}

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0.0
    }
}
