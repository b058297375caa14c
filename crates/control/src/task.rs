//! The one task that owns the [`Plane`]: jobs in, one after the other; changes out, at once and then
//! gathered; rows to the store; this cluster's export to whoever reports it.

use crate::plane::Plane;
use apiserver::{Change, Store};
use daemon::clock::Clock;
use model::federation::RemoteCluster;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

/// After a push, further changes are gathered for this long.
const TICK: Duration = Duration::from_millis(5);
/// Longest sleep: what depends on the wall clock is looked at this often.
const NAP_MAX: Duration = Duration::from_secs(1);
/// Registrations that nobody uses any more are looked for this often.
const TIDY: Duration = Duration::from_secs(60);
/// Jobs waiting; callers wait when there are more.
const JOBS_MAX: usize = 1024;
/// Jobs done before changes are looked at.
const BATCH_MAX: usize = 64;
/// Batches of rows waiting to be stored; the task keeps its rows for later when there are more.
const ROW_BATCHES_MAX: usize = 256;

/// The time of a job.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// Wall clock.
    pub wall: SystemTime,
}

type Job = Box<dyn FnOnce(&mut Plane, Now) + Send>;

/// The task has ended: the process is stopping.
#[derive(Clone, Copy, Debug, Error)]
#[error("the control plane is stopping")]
pub struct Ended;

/// How others reach the plane.
#[derive(Clone)]
pub struct Handle {
    jobs: mpsc::Sender<Job>,
    export: watch::Receiver<Option<Arc<RemoteCluster>>>,
}

impl Handle {
    /// Runs `job` on the plane and gives back what it returns.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Plane, Now) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |plane, now| {
            // Nobody waits any more: fine.
            let _ = reply.send(job(plane, now));
        });
        self.jobs.send(job).await.map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }

    /// Returns when the task has ended; cancel safe.
    pub async fn ended(&self) {
        self.jobs.closed().await;
    }

    /// This cluster as the others shall see it; `None` until it is known.
    pub fn export(&self) -> watch::Receiver<Option<Arc<RemoteCluster>>> {
        self.export.clone()
    }
}

/// What the task needs beside the plane.
pub struct Work {
    jobs: mpsc::Receiver<Job>,
    export: watch::Sender<Option<Arc<RemoteCluster>>>,
    rows: mpsc::Sender<Vec<Change>>,
    clock: Arc<dyn Clock>,
}

/// The task's work, the handle to it, and the rows that it wants stored (see [`write_rows`]).
pub fn prepare(clock: Arc<dyn Clock>) -> (Work, Handle, mpsc::Receiver<Vec<Change>>) {
    let (job_tx, jobs) = mpsc::channel(JOBS_MAX);
    let (export, export_rx) = watch::channel(None);
    let (rows, row_rx) = mpsc::channel(ROW_BATCHES_MAX);
    (Work { jobs, export, rows, clock }, Handle { jobs: job_tx, export: export_rx }, row_rx)
}

impl Work {
    fn now(&self) -> Now {
        Now { instant: self.clock.now(), wall: self.clock.wall() }
    }

    /// Runs until all handles are gone.
    pub async fn run(mut self, mut plane: Plane) {
        let mut next_push = self.now().instant;
        let mut next_tidy = next_push + TIDY;
        self.publish_export(&plane);
        loop {
            let now = self.now();
            if plane.is_dirty() && next_push <= now.instant {
                plane.flush(now.instant);
                next_push = now.instant + TICK;
            }
            let rows = plane.take_rows();
            if !rows.is_empty() {
                // Not awaited: a slow disk must not hold up pushes. What has no place goes with the next.
                match self.rows.try_send(rows) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(rows)) => plane.add_rows(rows),
                    Err(mpsc::error::TrySendError::Closed(_)) => return,
                }
            }
            self.publish_export(&plane);
            let push = plane.is_dirty().then_some(next_push);
            let due = [push, plane.deadline()].into_iter().flatten().min();
            let nap =
                due.map_or(NAP_MAX, |due| due.saturating_duration_since(self.now().instant).min(NAP_MAX));
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => self.work_off(job, &mut plane),
                    None => return,
                },
                () = tokio::time::sleep(nap) => {}
            }
            let now = self.now();
            if next_tidy <= now.instant || plane.deadline().is_some_and(|due| due <= now.instant) {
                plane.expire(now.instant, now.wall);
                next_tidy = now.instant + TIDY;
            }
        }
    }

    fn work_off(&mut self, first: Job, plane: &mut Plane) {
        first(plane, self.now());
        for _ in 1..BATCH_MAX {
            let Ok(job) = self.jobs.try_recv() else { return };
            job(plane, self.now());
        }
    }

    fn publish_export(&self, plane: &Plane) {
        if !plane.export_may_have_changed() {
            return;
        }
        let export = plane.world.export();
        self.export.send_if_modified(|last| {
            let changed = last.as_deref() != Some(&export);
            if changed {
                *last = Some(Arc::new(export));
            }
            changed
        });
    }
}

/// Stores what the task hands over, in order, until the task ends. A write that fails is told and tried
/// again with the next batch: rows are whole, so the latest one counts.
pub async fn write_rows(store: Arc<dyn Store>, mut rows: mpsc::Receiver<Vec<Change>>) {
    let mut left: Vec<Change> = Vec::new();
    while let Some(batch) = rows.recv().await {
        left.extend(batch);
        while let Ok(batch) = rows.try_recv() {
            left.extend(batch);
        }
        let work = std::mem::take(&mut left);
        let writing = store.clone();
        let done = tokio::task::spawn_blocking(move || match writing.commit(&work) {
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::error!(%error, cause = ?std::error::Error::source(&error), "state not stored");
                work
            }
        });
        left = done.await.unwrap_or_default();
        // The oldest go: a later row says more.
        left.drain(..left.len().saturating_sub(ROWS_LEFT_MAX));
    }
}

/// Rows kept for another attempt after a failed write; more are given up.
const ROWS_LEFT_MAX: usize = 100_000;

#[cfg(test)]
mod tests;
