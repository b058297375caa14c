//! The signal to drain: started once, seen by everybody who holds a `Drain`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Sees whether the process (or a part of it) wants to end.
#[derive(Clone, Debug)]
pub struct Drain {
    flag: Arc<AtomicBool>,
    started: watch::Receiver<bool>,
}

/// Starts a drain.
#[derive(Debug)]
pub struct DrainTrigger {
    flag: Arc<AtomicBool>,
    started: watch::Sender<bool>,
}

impl Drain {
    /// A drain that was not started.
    #[allow(clippy::new_ret_no_self, reason = "a drain is made with the end that starts it")]
    pub fn new() -> (DrainTrigger, Drain) {
        let flag = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = watch::channel(false);
        (DrainTrigger { flag: Arc::clone(&flag), started: sender }, Drain { flag, started: receiver })
    }

    /// Completes when the drain starts; never if its trigger was dropped before.
    pub async fn started(&self) {
        if self.is_started() {
            return;
        }
        let mut started = self.started.clone();
        if started.wait_for(|started| *started).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has started; one relaxed load.
    pub fn is_started(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

impl DrainTrigger {
    /// Starts the drain; again does nothing.
    pub fn start(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.started.send_replace(true);
    }
}
