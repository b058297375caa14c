//! The one task that owns the [`Plane`]: jobs in, one after the other; changes out, at once and then
//! gathered; rows to the store; this cluster's export to whoever reports it.

use crate::plane::Plane;
use apiserver::{Change, Store, Table};
use daemon::clock::Clock;
use model::federation::RemoteCluster;
use std::collections::HashSet;
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
    judged: watch::Receiver<u64>,
}

impl Handle {
    /// Runs `job` on the plane and gives back what it returns.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Plane, Now) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (job, answer) = answered(job);
        self.jobs.send(job).await.map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }

    /// As [`Handle::run`], on a thread that may block: a caller that goes away does not stop what has begun
    /// there, so what was stored also comes into force.
    pub fn run_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Plane, Now) -> T + Send + 'static,
    ) -> Result<T, Ended> {
        let (job, answer) = answered(job);
        self.jobs.blocking_send(job).map_err(|_| Ended)?;
        answer.blocking_recv().map_err(|_| Ended)
    }

    /// Returns when the task has ended; cancel safe.
    pub async fn ended(&self) {
        self.jobs.closed().await;
    }

    /// This cluster as the others shall see it; `None` until it is known.
    pub fn export(&self) -> watch::Receiver<Option<Arc<RemoteCluster>>> {
        self.export.clone()
    }

    /// Changes when it was looked what is wrong with the configuration.
    pub fn judged(&self) -> watch::Receiver<u64> {
        self.judged.clone()
    }
}

fn answered<T: Send + 'static>(
    job: impl FnOnce(&mut Plane, Now) -> T + Send + 'static,
) -> (Job, oneshot::Receiver<T>) {
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |plane, now| {
        // Nobody waits any more: fine.
        let _ = reply.send(job(plane, now));
    });
    (job, answer)
}

/// What the task needs beside the plane.
pub struct Work {
    jobs: mpsc::Receiver<Job>,
    export: watch::Sender<Option<Arc<RemoteCluster>>>,
    judged: watch::Sender<u64>,
    rows: mpsc::Sender<Vec<Change>>,
    clock: Arc<dyn Clock>,
}

/// The task's work, the handle to it, and the rows that it wants stored (see [`write_rows`]).
pub fn prepare(clock: Arc<dyn Clock>) -> (Work, Handle, mpsc::Receiver<Vec<Change>>) {
    let (job_tx, jobs) = mpsc::channel(JOBS_MAX);
    let (export, export_rx) = watch::channel(None);
    let (judged, judged_rx) = watch::channel(0);
    let (rows, row_rx) = mpsc::channel(ROW_BATCHES_MAX);
    let work = Work { jobs, export, judged, rows, clock };
    (work, Handle { jobs: job_tx, export: export_rx, judged: judged_rx }, row_rx)
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
            self.publish_judged(&plane);
            let rows = plane.take_rows();
            if !rows.is_empty() {
                // Not awaited: a slow disk must not hold up pushes. What has no place goes with the next.
                match self.rows.try_send(rows) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(rows)) => plane.add_rows(latest(rows)),
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

    fn publish_judged(&self, plane: &Plane) {
        self.judged.send_if_modified(|last| std::mem::replace(last, plane.judged()) != plane.judged());
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
/// again, with what came since: rows are whole, so the latest one counts.
pub async fn write_rows(store: Arc<dyn Store>, mut rows: mpsc::Receiver<Vec<Change>>) {
    let mut left: Vec<Change> = Vec::new();
    let mut open = true;
    while open {
        // Without a failure before, this waits for ever.
        let pause = if left.is_empty() { Duration::MAX } else { WRITE_RETRY };
        match tokio::time::timeout(pause, rows.recv()).await {
            Ok(Some(batch)) => left.extend(batch),
            Ok(None) => open = false,
            Err(_) => {}
        }
        while let Ok(batch) = rows.try_recv() {
            left.extend(batch);
        }
        let (writing, work) = (store.clone(), std::mem::take(&mut left));
        let again = work.clone();
        left = tokio::task::spawn_blocking(move || write(&*writing, work)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "writing to the store panicked; its rows are written again");
            again
        });
        // The oldest go: a later row says more.
        left.drain(..left.len().saturating_sub(ROWS_LEFT_MAX));
    }
}

/// Gives back what must be tried again.
fn write(store: &dyn Store, mut rows: Vec<Change>) -> Vec<Change> {
    // One row that can never be stored must not keep out all the others.
    rows.retain(|row| match apiserver::store::check(std::slice::from_ref(row)) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "state not stored");
            false
        }
    });
    if rows.is_empty() {
        return rows;
    }
    match store.commit(&rows) {
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::error!(%error, cause = ?std::error::Error::source(&error), "state not stored; trying again");
            latest(rows)
        }
    }
}

/// Of each row the last change: one that changes again and again while nothing can be stored takes the place of no other.
fn latest(rows: Vec<Change>) -> Vec<Change> {
    let mut seen = HashSet::new();
    let mut rows: Vec<Change> = rows.into_iter().rev().filter(|row| seen.insert(place(row))).collect();
    rows.reverse();
    rows
}

fn place(row: &Change) -> (Table, String) {
    match row {
        Change::Put(table, key, _) | Change::Delete(table, key) => (*table, key.clone()),
    }
}

/// Wait before a failed write is tried again.
const WRITE_RETRY: Duration = Duration::from_secs(1);
/// Rows kept for another attempt after a failed write; more are given up.
const ROWS_LEFT_MAX: usize = 100_000;

#[cfg(test)]
mod tests;
