//! Tasks with an owner: counted, named, waited for, and aborted when the deadline of a drain has passed.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Owns tasks. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tasks(Arc<Owned>);

#[derive(Debug, Default)]
struct Owned {
    running: Mutex<Running>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Running {
    next_id: u64,
    /// Without a handle while it is being started.
    by_id: HashMap<u64, (&'static str, Option<AbortHandle>)>,
    /// The deadline of a drain has passed: what starts now is aborted too.
    is_closed: bool,
}

/// How a drain ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Names of the tasks that had not ended by the deadline and were aborted.
    pub aborted: Vec<&'static str>,
}

/// Removes a task from its owner's books when it ends, in whatever way.
struct Entry {
    owner: Arc<Owned>,
    id: u64,
    name: &'static str,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "task panicked");
        }
        let mut running = self.owner.lock();
        running.by_id.remove(&self.id);
        if running.by_id.is_empty() {
            self.owner.ended.notify_waiters();
        }
    }
}

impl Owned {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Tasks::default()
    }

    /// Runs `future` on the runtime at hand.
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        self.enter(name, |entry| {
            tokio::spawn(async move {
                let _entry = entry;
                future.await;
            })
            .abort_handle()
        })
    }

    /// Runs `future` on the `LocalSet` at hand (or local runtime); panics without one, as tokio does.
    pub fn spawn_local(&self, name: &'static str, future: impl Future<Output = ()> + 'static) -> AbortHandle {
        self.enter(name, |entry| {
            tokio::task::spawn_local(async move {
                let _entry = entry;
                future.await;
            })
            .abort_handle()
        })
    }

    fn enter(&self, name: &'static str, start: impl FnOnce(Entry) -> AbortHandle) -> AbortHandle {
        // In the books before it starts, so that a task which ends at once finds itself there; not locked over
        // the start, because a runtime that shuts down drops the entry in it.
        let id = {
            let mut running = self.0.lock();
            let id = running.next_id;
            running.next_id += 1;
            running.by_id.insert(id, (name, None));
            id
        };
        let handle = start(Entry { owner: Arc::clone(&self.0), id, name });
        let is_late = {
            let mut running = self.0.lock();
            if let Some((_, known)) = running.by_id.get_mut(&id) {
                *known = Some(handle.clone());
            }
            running.is_closed
        };
        if is_late {
            handle.abort();
        }
        handle
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until all tasks have ended.
    pub async fn ended(&self) {
        loop {
            let ended = self.0.ended.notified();
            tokio::pin!(ended);
            // Registered before looking, so that no end is missed in between.
            ended.as_mut().enable();
            if self.is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Waits up to `deadline` for all tasks to end by themselves, then aborts the rest and waits for that. Tasks
    /// that start after the deadline are aborted at once.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        if tokio::time::timeout(deadline, self.ended()).await.is_ok() {
            return Drained::default();
        }
        let late: Vec<(&'static str, Option<AbortHandle>)> = {
            let mut running = self.0.lock();
            running.is_closed = true;
            running.by_id.values().cloned().collect()
        };
        let mut aborted = Vec::with_capacity(late.len());
        for (name, handle) in late {
            tracing::warn!(task = name, "task aborted: it did not end before the deadline");
            if let Some(handle) = handle {
                handle.abort();
            }
            aborted.push(name);
        }
        aborted.sort_unstable();
        self.ended().await;
        Drained { aborted }
    }
}

#[cfg(test)]
mod tests;
