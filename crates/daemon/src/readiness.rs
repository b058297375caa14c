//! Whether the process may be used: a set of named gates, all of which must be open.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// All gates of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Gates>);

#[derive(Debug)]
struct Gates {
    closed: Mutex<BTreeSet<&'static str>>,
    ready: watch::Sender<bool>,
}

/// One condition. It is closed until [`Gate::open`]; dropping it leaves it as it is.
#[derive(Debug)]
pub struct Gate {
    name: &'static str,
    gates: Arc<Gates>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Without gates: ready.
    pub fn new() -> Self {
        Self(Arc::new(Gates { closed: Mutex::default(), ready: watch::Sender::new(true) }))
    }

    /// Adds a closed gate.
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate { name, gates: Arc::clone(&self.0) };
        gate.close();
        gate
    }

    /// Whether every gate is open.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Names of the closed gates.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.closed.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Returns once every gate is open.
    pub async fn ready(&self) {
        let mut ready = self.0.ready.subscribe();
        if ready.wait_for(|ready| *ready).await.is_err() {
            // Cannot happen: `self` keeps the sender alive.
            std::future::pending::<()>().await;
        }
    }
}

impl Gate {
    /// The condition holds.
    pub fn open(&self) {
        self.gates.change(|closed| closed.remove(self.name));
    }

    /// The condition does not hold (any more).
    pub fn close(&self) {
        self.gates.change(|closed| closed.insert(self.name));
    }
}

impl Gates {
    fn change(&self, edit: impl FnOnce(&mut BTreeSet<&'static str>) -> bool) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        edit(&mut closed);
        let ready = closed.is_empty();
        self.ready.send_if_modified(|was| std::mem::replace(was, ready) != ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_every_gate_is_open() {
        let readiness = Readiness::new();
        let (joined, bound) = (readiness.gate("joined"), readiness.gate("bound"));
        joined.open();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.pending(), ["bound"]);
        bound.open();
        readiness.ready().await;
        joined.close();
        assert_eq!(readiness.pending(), ["joined"]);
    }
}
