//! The threads of the workers: started together, each with a runtime, listeners and dice of its own, and drained
//! in two steps: first inbound, then outbound.

use super::{StartError, listeners};
use crate::shared::Shared;
use crate::worker::Worker;
use daemon::{Drain, DrainTrigger};
use decide::Dice;
use decide::dice::Pcg;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::task::LocalSet;

/// At the end of a drain, the tasks that drive upstream connections get so long to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_millis(200);
/// What workers may take beyond the drain's own deadline before they are left behind.
const WORKER_GRACE: Duration = Duration::from_secs(2);

/// The running workers.
pub(crate) struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Waits until all have drained and ended, or are late by their own `drain_timeout`.
    pub(super) async fn end(self, drain_timeout: Duration) {
        let joined = tokio::task::spawn_blocking(move || self.join());
        if tokio::time::timeout(drain_timeout + WORKER_GRACE, joined).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }

    /// Waits until all have drained and ended; blocks. They end after `Shared::drain` started.
    pub(crate) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }
}

/// Starts as many as the options say.
pub(super) async fn start(shared: &Arc<Shared>, seed: u64) -> Result<Workers, StartError> {
    let shared = Arc::clone(shared);
    // On another thread: it waits for the workers, and they may need this one.
    let spawning =
        tokio::task::spawn_blocking(move || spawn(shared.options.worker_count(), &shared, seed)).await;
    let workers = spawning.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    workers.map_err(|cause| StartError::System("the workers", cause))
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
pub(crate) fn spawn(count: usize, shared: &Arc<Shared>, seed: u64) -> io::Result<Workers> {
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
                serve(&worker, listeners, phases).await;
            }
            Err(error) => drop(told.send(Err(error))),
        }
    });
}

/// Serves until the drain, then drains: first inbound, then outbound.
async fn serve(worker: &Rc<Worker>, listeners: listeners::Listeners, phases: &Phases) {
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
    worker.mirrors.tasks.drain(GOODBYE_MAX).await;
    worker.upstream.close(GOODBYE_MAX).await;
}
