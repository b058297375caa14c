//! Finds out whether the application is ready, as `WorkloadGroup.probe` says: on the control thread, past capture and mutual
//! TLS, one probe at a time. Without a probe nothing runs.
//!
//! What answers mean is `decide::probe`'s business; the control stream tells the verdict. Read `ask` next.

mod ask;
mod cause;
mod exec;
mod grpc;
mod http;
mod tls;

pub(crate) use ask::Asker;
pub(crate) use exec::ExecProbes;

use decide::probe::{ProbeOutcome, ProbePlan, ProbeRecord};
use model::probe::{ApplicationHealth, ReadinessProbe};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// What is probed, and how long to wait before.
type Work = Option<(Arc<ReadinessProbe>, Duration)>;

/// What is probed, and what was found. Shared by the control stream, the task that probes, and the admin page.
pub(crate) struct Probing {
    record: Mutex<ProbeRecord>,
    health: watch::Sender<ApplicationHealth>,
    work: watch::Sender<Work>,
    successes: AtomicU64,
    failures: AtomicU64,
}

/// How many probes found what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeCounts {
    pub(crate) successes: u64,
    pub(crate) failures: u64,
}

impl Probing {
    /// Nothing is known, nothing is probed.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            record: Mutex::default(),
            health: watch::Sender::default(),
            work: watch::Sender::default(),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// A configuration is in force.
    pub(crate) fn configure(&self, probe: Option<&Arc<ReadinessProbe>>) {
        let (plan, health) = {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            (record.configure(probe), record.health().clone())
        };
        match plan {
            ProbePlan::Same => return,
            // Most proxies probe nothing, and nobody is woken for that.
            ProbePlan::Stop => _ = self.work.send_if_modified(|work| work.take().is_some()),
            ProbePlan::Start(probe, wait) => _ = self.work.send_replace(Some((probe, wait))),
        }
        self.tell(health);
    }

    /// What is known of the application, now and when it changes.
    pub(crate) fn health(&self) -> watch::Receiver<ApplicationHealth> {
        self.health.subscribe()
    }

    /// How many probes found what.
    pub(crate) fn counts(&self) -> ProbeCounts {
        ProbeCounts {
            successes: self.successes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Probes whatever is to be probed. Never ends.
    pub(crate) async fn run(self: Arc<Self>, asker: Asker) {
        let mut works = self.work.subscribe();
        loop {
            let work = works.borrow_and_update().clone();
            tokio::select! {
                () = self.keep_asking(work, &asker) => {}
                // We hold the sender, so this is no error.
                _ = works.changed() => {}
            }
        }
    }

    /// Never ends. Dropping it breaks off the probe at hand.
    async fn keep_asking(&self, work: Work, asker: &Asker) {
        let Some((probe, wait)) = work else { return std::future::pending().await };
        let mut turns = tokio::time::interval_at(Instant::now() + wait, probe.period);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            self.judge(within(probe.timeout, asker.ask(&probe.action)).await);
        }
    }

    fn judge(&self, outcome: ProbeOutcome) {
        match &outcome {
            ProbeOutcome::Success => self.successes.fetch_add(1, Ordering::Relaxed),
            ProbeOutcome::Failure(cause) => {
                tracing::debug!(%cause, "a probe of the application failed");
                self.failures.fetch_add(1, Ordering::Relaxed)
            }
        };
        let health = {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            record.judge(outcome);
            record.health().clone()
        };
        self.tell(health);
    }

    fn tell(&self, health: ApplicationHealth) {
        let before = self.health.send_replace(health.clone());
        match (&before, &health) {
            _ if before == health => {}
            (ApplicationHealth::NotReady(_), ApplicationHealth::Ready) => {
                tracing::info!("the application is ready");
            }
            (_, ApplicationHealth::NotReady(cause)) => {
                tracing::warn!(%cause, "the application is not ready: its callers turn to others");
            }
            _ => {}
        }
    }
}

/// A probe that takes longer has failed.
async fn within(limit: Duration, asking: impl Future<Output = Result<(), String>>) -> ProbeOutcome {
    match tokio::time::timeout(limit, asking).await {
        Ok(Ok(())) => ProbeOutcome::Success,
        Ok(Err(cause)) => ProbeOutcome::Failure(cause.into()),
        Err(_) => ProbeOutcome::Failure(format!("no answer within {limit:?}").into()),
    }
}

#[cfg(test)]
mod tests;
