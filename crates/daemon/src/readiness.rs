//! What a process still waits for before it is ready.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A set of gates; ready when all are open. Clones share it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Gates>);

#[derive(Debug)]
struct Gates {
    closed: Mutex<Vec<&'static str>>,
    ready: watch::Sender<bool>,
}

/// One condition of readiness, closed at first. Dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Gate {
    gates: Arc<Gates>,
    name: &'static str,
}

impl Gates {
    fn lock(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<&'static str>)) {
        let mut closed = self.lock();
        change(&mut closed);
        self.ready.send_replace(closed.is_empty());
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Readiness::new()
    }
}

impl Readiness {
    /// Without any gate, which is ready.
    pub fn new() -> Self {
        Readiness(Arc::new(Gates { closed: Mutex::default(), ready: watch::Sender::new(true) }))
    }

    /// Adds a closed gate.
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate { gates: Arc::clone(&self.0), name };
        gate.close();
        gate
    }

    /// Whether all gates are open.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Names of the closed gates, in the order in which they closed.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().clone()
    }

    /// Waits until all gates are open.
    pub async fn wait(&self) {
        // The sender is in `self`, so this cannot fail.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }
}

impl Gate {
    /// The condition holds.
    pub fn open(&self) {
        self.gates.change(|closed| closed.retain(|name| *name != self.name));
    }

    /// The condition does not hold (any more).
    pub fn close(&self) {
        self.gates.change(|closed| {
            if !closed.contains(&self.name) {
                closed.push(self.name);
            }
        });
    }
}

#[cfg(test)]
mod tests;
