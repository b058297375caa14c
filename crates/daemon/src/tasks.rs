//! Owned tasks: what is spawned here is waited for, and cut off at a deadline.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinError};
use tokio::time::Instant;

/// What a drain found at its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Names of the tasks that had to be cut off.
    pub aborted: Vec<&'static str>,
}

/// A set of named tasks. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Mutex<Vec<Joined>>>);

/// Finished tasks are swept out of the list whenever it has grown to a multiple of this.
const SWEEP_EVERY: usize = 256;

/// One task: its name, how to stop it, whether it is done.
#[derive(Debug)]
struct Joined {
    name: &'static str,
    abort: AbortHandle,
    done: tokio::sync::watch::Receiver<bool>,
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns on the current runtime. A panic is logged and costs this task only.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (finished, done) = tokio::sync::watch::channel(false);
        let inner = tokio::spawn(task);
        let abort = inner.abort_handle();
        tokio::spawn(async move {
            report(name, inner.await);
            finished.send_replace(true);
        });
        self.keep(Joined { name, abort, done });
    }

    /// Spawns on the current `LocalSet`.
    pub fn spawn_local(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let (finished, done) = tokio::sync::watch::channel(false);
        let inner = tokio::task::spawn_local(task);
        let abort = inner.abort_handle();
        tokio::task::spawn_local(async move {
            report(name, inner.await);
            finished.send_replace(true);
        });
        self.keep(Joined { name, abort, done });
    }

    fn keep(&self, task: Joined) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            tasks.retain(|task| !*task.done.borrow());
        }
        tasks.push(task);
    }

    /// Waits for all tasks to end by themselves, at most `deadline`; what is left is aborted and named.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let until = Instant::now() + deadline;
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut aborted = Vec::new();
        for mut task in tasks {
            let finished = tokio::time::timeout_at(until, task.done.wait_for(|done| *done)).await;
            if finished.is_err() {
                task.abort.abort();
                aborted.push(task.name);
            }
        }
        Drained { aborted }
    }
}

fn report(name: &'static str, result: Result<(), JoinError>) {
    match result {
        Err(error) if error.is_panic() => tracing::error!(task = name, "task panicked"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_then_aborts_and_names() {
        let tasks = Tasks::new();
        tasks.spawn("short", async {});
        tasks.spawn("for ever", std::future::pending());
        let drained = tasks.drain(Duration::from_millis(20)).await;
        assert_eq!(drained.aborted, ["for ever"]);
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_task_only() {
        let tasks = Tasks::new();
        tasks.spawn("bad", async { panic!("planted") });
        tasks.spawn("good", async {});
        assert!(tasks.drain(Duration::from_secs(10)).await.aborted.is_empty());
    }
}
