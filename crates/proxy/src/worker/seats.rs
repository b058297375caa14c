//! How many connections a worker has at once: one seat each. Nobody waits for a seat; who gets none is refused.

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;

/// Callers' connections of one worker, at the mesh port and a gateway's listeners together. More: closed at
/// once, [`model::Reason::TooManyConnections`].
const CALLERS_MAX: usize = 8192;
/// Connections of the own application, apart, so that callers cannot take its seats. More: as above.
const OWN_MAX: usize = 8192;
/// TLS handshakes of callers in flight; each costs signatures. More: as above.
const HANDSHAKES_MAX: usize = 512;

/// All seats of a worker.
pub(crate) struct Hall {
    /// For callers.
    pub(crate) callers: Seats,
    /// For the own application.
    pub(crate) own: Seats,
    /// For callers that have not proved yet who they are.
    pub(crate) handshakes: Seats,
}

impl Default for Hall {
    fn default() -> Self {
        Self {
            callers: Seats::new(CALLERS_MAX),
            own: Seats::new(OWN_MAX),
            handshakes: Seats::new(HANDSHAKES_MAX),
        }
    }
}

/// Seats of one kind.
pub(crate) struct Seats {
    free: Rc<Cell<usize>>,
}

/// Is free again when it is dropped.
pub(crate) struct Seat(Rc<Cell<usize>>);

impl Seats {
    fn new(max: usize) -> Self {
        Self { free: Rc::new(Cell::new(max)) }
    }

    /// Takes a seat; `None`: all are taken.
    pub(crate) fn take(&self) -> Option<Seat> {
        let left = self.free.get().checked_sub(1)?;
        self.free.set(left);
        Some(Seat(Rc::clone(&self.free)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}
