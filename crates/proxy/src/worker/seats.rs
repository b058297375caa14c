//! How many connections a worker has at once: one seat each. Nobody waits for a seat; who gets none is refused.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Callers' connections of one worker, at the mesh port and a gateway's listeners together. More: closed at
/// once, [`model::Reason::TooManyConnections`].
const CALLERS_MAX: usize = 8192;
/// Connections of the own application, apart, so that callers cannot take its seats. More: as above.
const OWN_MAX: usize = 8192;
/// TLS handshakes of callers in flight; each costs signatures. More: as above.
const HANDSHAKES_MAX: usize = 512;
/// Those of one address, so that one host which begins handshakes and never ends them does not shut out the
/// others. A gateway stands for all callers behind it, therefore not fewer. More: as above.
const HANDSHAKES_OF_ONE_MAX: usize = HANDSHAKES_MAX / 2;

/// All seats of a worker.
pub(crate) struct Hall {
    /// For callers.
    pub(crate) callers: Seats,
    /// For the own application.
    pub(crate) own: Seats,
    /// For callers that have not proved yet who they are.
    pub(crate) handshakes: SourceSeats,
}

impl Default for Hall {
    fn default() -> Self {
        Self {
            callers: Seats::new(CALLERS_MAX),
            own: Seats::new(OWN_MAX),
            handshakes: SourceSeats::new(HANDSHAKES_MAX, HANDSHAKES_OF_ONE_MAX),
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

/// Seats of which one address has its share at most.
pub(crate) struct SourceSeats {
    seats: Seats,
    held: Rc<RefCell<HashMap<IpAddr, usize>>>,
    of_one_max: usize,
}

/// Is free again when it is dropped.
pub(crate) struct SourceSeat {
    _seat: Seat,
    held: Rc<RefCell<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl SourceSeats {
    fn new(max: usize, of_one_max: usize) -> Self {
        Self { seats: Seats::new(max), held: Rc::default(), of_one_max }
    }

    /// Takes a seat for `address`; `None`: all are taken, or all that it may have.
    pub(crate) fn take(&self, address: IpAddr) -> Option<SourceSeat> {
        let mut held = self.held.borrow_mut();
        if held.get(&address).is_some_and(|count| *count >= self.of_one_max) {
            return None;
        }
        let seat = self.seats.take()?;
        *held.entry(address).or_default() += 1;
        Some(SourceSeat { _seat: seat, held: Rc::clone(&self.held), address })
    }
}

impl Drop for SourceSeat {
    fn drop(&mut self) {
        let mut held = self.held.borrow_mut();
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}
