//! One signal, many listeners: finish what has begun, take nothing new.

use std::sync::Arc;
use tokio::sync::watch;

/// Held by whoever decides to drain. Dropping it does not start a drain.
#[derive(Clone, Debug)]
pub struct DrainTrigger(Arc<watch::Sender<bool>>);

/// Held by whoever must react.
#[derive(Clone, Debug)]
pub struct Drain {
    started: watch::Receiver<bool>,
    // Keeps the channel open when every trigger is gone, so that waiting never ends by accident.
    _open: Arc<watch::Sender<bool>>,
}

impl DrainTrigger {
    /// Starts the drain; later calls change nothing.
    pub fn start(&self) {
        self.0.send_replace(true);
    }

    /// A further listener.
    pub fn drain(&self) -> Drain {
        Drain { started: self.0.subscribe(), _open: Arc::clone(&self.0) }
    }
}

impl Drain {
    /// A trigger and its first listener.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (DrainTrigger, Drain) {
        let trigger = DrainTrigger(Arc::new(watch::Sender::new(false)));
        let drain = trigger.drain();
        (trigger, drain)
    }

    /// Returns once the drain has started; at once if it already has. Cancel-safe.
    pub async fn started(&self) {
        let mut started = self.started.clone();
        if started.wait_for(|started| *started).await.is_err() {
            // Cannot happen: `_open` keeps the sender alive. Waiting for ever is the safe answer.
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has started.
    pub fn is_started(&self) -> bool {
        *self.started.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_listener_hears_it_early_or_late() {
        let (trigger, early) = Drain::new();
        assert!(!early.is_started());
        let waiting = tokio::spawn({
            let early = early.clone();
            async move { early.started().await }
        });
        trigger.start();
        waiting.await.expect("listener returns");
        trigger.drain().started().await;
        assert!(early.is_started());
    }
}
