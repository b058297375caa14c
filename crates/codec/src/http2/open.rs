//! How many streams of a connection are open.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// The streams of a connection that are open.
#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    count: Cell<usize>,
    /// Notified when a stream closes, and when anything else may make room.
    pub(super) freed: Notify,
}

impl OpenStreams {
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }
}

/// Counts an open stream until it is dropped.
#[derive(Debug)]
pub(crate) struct StreamGuard(Rc<OpenStreams>);

impl StreamGuard {
    pub(super) fn new(open: &Rc<OpenStreams>) -> Self {
        open.count.set(open.count.get() + 1);
        StreamGuard(Rc::clone(open))
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        debug_assert!(self.0.count.get() > 0, "stream counted twice");
        self.0.count.set(self.0.count.get().saturating_sub(1));
        self.0.freed.notify_one();
    }
}
