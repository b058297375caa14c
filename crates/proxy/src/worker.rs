//! One thread with a runtime, listeners, pools and dice of its own. Workers share only what `Shared` holds:
//! the configuration, the health of endpoints, counters that each writes alone. Read `flow` next.

mod listeners;
pub(crate) mod limits;

use crate::accept::Mark;
use crate::observe::Recorder;
use crate::secure::ALPN_MESH;
use crate::snapshot::Snapshot;
use crate::start::Shared;
use crate::upstream::{http1_pool, http2_pool};
use daemon::{Drain, DrainTrigger, Tasks};
use decide::Dice;
use decide::dice::Pcg;
use identity::Clients;
use rustls::ServerConfig;
use std::cell::RefCell;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// At the end of a drain, the tasks that drive upstream connections get so long to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_millis(200);

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
    pub(crate) limits: limits::ConnectionLimits,
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
        let capacity = limits::Capacity::within(descriptors, shared.options.worker_count(), mark);
        Rc::new(Self {
            recorder: shared.observe.recorder(),
            dice: RefCell::new(Pcg::new(seed)),
            plain: http1_pool::Pool::new(background.clone(), mark, capacity.idle),
            mesh: http2_pool::Pool::default(),
            background,
            mesh_tls: shared.identity.server_config(Clients::Required, &[ALPN_MESH]),
            limits: limits::ConnectionLimits::new(capacity),
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
    async fn sweep(&self) {
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

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Waits until all have drained and ended; blocks. They end after `Shared::drain` started.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }

    /// Whether all have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

/// The second half of a drain: calls of applications go on until nobody calls them any more.
struct Phases {
    serving: AtomicUsize,
    outbound: (DrainTrigger, Drain),
}

impl Phases {
    /// This worker has no callers left.
    fn inbound_done(&self) {
        if self.serving.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.outbound.0.start();
        }
    }
}

/// Starts `count` workers, each with dice of its own from `seed`, and returns when all of them listen.
///
/// # Errors
/// When a thread cannot be made or a port is taken; workers that did start are left to the caller's drain.
pub fn spawn(count: usize, shared: &Arc<Shared>, seed: u64) -> io::Result<Workers> {
    let mut dice = Pcg::new(seed);
    let phases = Arc::new(Phases { serving: AtomicUsize::new(count), outbound: Drain::new() });
    let (told, bound) = mpsc::channel();
    let mut threads = Vec::with_capacity(count);
    for number in 0..count {
        let (shared, phases, told) = (Arc::clone(shared), Arc::clone(&phases), told.clone());
        let (name, seed) = (format!("worker-{number}"), dice.next_u64());
        let thread =
            std::thread::Builder::new().name(name).spawn(move || run(shared, &phases, seed, &told))?;
        threads.push(thread);
    }
    drop(told);
    for _ in 0..count {
        bound.recv().map_err(|_| io::Error::other("a worker ended at its start"))??;
    }
    Ok(Workers { threads })
}

fn run(shared: Arc<Shared>, phases: &Phases, seed: u64, told: &mpsc::Sender<io::Result<()>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(told.send(Err(error))),
    };
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let worker = Worker::new(shared, seed);
        match listeners::open(&worker, &phases.outbound.1) {
            Ok(listeners) => {
                worker.shared.listening.started();
                let _ = told.send(Ok(()));
                live(&worker, listeners, phases).await;
            }
            Err(error) => drop(told.send(Err(error))),
        }
    });
}

/// Serves until the drain, then drains: first who calls us, then whom our application calls.
async fn live(worker: &Rc<Worker>, listeners: listeners::Listeners, phases: &Phases) {
    tokio::select! {
        () = worker.shared.drain.started() => {}
        () = worker.sweep() => {}
    }
    let deadline = tokio::time::Instant::now() + worker.shared.options.drain_timeout();
    let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
    listeners.inbound_accepting.drain(left()).await;
    listeners.inbound.drain(left()).await;
    phases.inbound_done();
    let others = phases.outbound.1.started();
    let _ = tokio::time::timeout_at(deadline, others).await;
    // At the deadline the outbound drain starts in any case, or accepting would never end.
    phases.outbound.0.start();
    listeners.outbound_accepting.drain(left().max(GOODBYE_MAX)).await;
    let drained = listeners.outbound.drain(left()).await;
    if !drained.aborted.is_empty() {
        tracing::warn!(connections = drained.aborted.len(), "cut off at the drain's deadline");
    }
    worker.plain.clear();
    worker.mesh.clear();
    worker.background.drain(GOODBYE_MAX).await;
}
