//! How many connections a worker has at once: one seat each for those that come, one place for each that is made
//! upstream. Nobody waits; who gets none is refused.
//!
//! No share is fixed: who has little gets more while anything is free, who has much must leave as much free as he
//! has (times a factor). So one caller may use nearly all, and any number of greedy ones leave some to the next.

#[cfg(test)]
mod tests;

use crate::accept::Mark;
use decide::hash::QuickMap;
use model::address::source;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Callers' connections of one worker, at the mesh port and a gateway's listeners together; fewer where the process
/// may have few descriptors ([`Limits`]). More: closed at once, [`model::Reason::TooManyConnections`].
const CALLERS_MAX: usize = 8192;
/// Connections of the own application, apart, so that callers cannot take its seats. Otherwise as above.
const OWN_MAX: usize = 8192;
/// Requests and tunnels of one worker that each need an upstream connection of their own; fewer as above. More: 503,
/// [`model::Reason::TooManyConnections`].
const PLACES_MAX: usize = 16_384;
/// Idle HTTP/1.1 upstream connections of one worker; fewer as above. More are closed.
const IDLE_MAX: usize = 8192;
/// One address gets a further seat while it has fewer than so many times those that are free: four fifths when
/// nobody else comes, so that a load balancer in front of us, which is one address, has enough. Of two that want
/// all, each has four ninths.
const SEATS_SHARE: usize = 4;
/// A caller's connection at the edge gets a further place while so many times those that it has are free: a fifth
/// when nobody else comes, and ten that want all leave a tenth.
const LEFT_AT_EDGE: usize = 4;
/// The same for the own application and for proxies, which carry the calls of many: a half.
const LEFT_IN_MESH: usize = 1;
/// All connections of one address get a further place while they have fewer than so many times those that are free,
/// so that many small ones do not take what one may not.
const PLACES_OF_SOURCE_SHARE: usize = 16;
/// Descriptors that are kept for what is not traffic: admin and metrics (64 connections each), the control stream,
/// listeners, logs and state. At most half of all.
const RESERVED_DESCRIPTORS: u64 = 256;
/// The same for the DNS questions of a captured application.
const RESERVED_FOR_DNS: u64 = crate::dns::DESCRIPTORS_MAX as u64;
/// TLS handshakes of callers in flight; each costs signatures. More: as above.
const HANDSHAKES_MAX: usize = 512;
/// Those of one address, so that one host which begins handshakes and never ends them does not shut out the
/// others. A gateway stands for all callers behind it, therefore not fewer. More: as above.
const HANDSHAKES_OF_ONE_MAX: usize = HANDSHAKES_MAX / 2;

/// How many of each a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    callers: usize,
    own: usize,
    places: usize,
    /// Idle HTTP/1.1 upstream connections.
    pub(crate) idle: usize,
}

impl Limits {
    /// For one of `workers` in a process that may have `descriptors` open.
    pub(crate) fn within(descriptors: u64, workers: usize, mark: Mark) -> Self {
        let reserved = match mark {
            Mark::Captured => RESERVED_DESCRIPTORS + RESERVED_FOR_DNS,
            Mark::Free => RESERVED_DESCRIPTORS,
        };
        let traffic = descriptors - reserved.min(descriptors / 2);
        let all = usize::try_from(traffic).unwrap_or(usize::MAX) / workers.max(1);
        let eighths = |n: usize, max: usize| (all / 8 * n).clamp(1, max);
        match mark {
            // An own connection may need a second descriptor, for its opaque bytes: another eighth.
            Mark::Captured => Self {
                callers: eighths(2, CALLERS_MAX),
                own: eighths(1, OWN_MAX),
                places: eighths(3, PLACES_MAX),
                idle: eighths(1, IDLE_MAX),
            },
            Mark::Free => Self {
                callers: eighths(3, CALLERS_MAX),
                own: 1,
                places: eighths(3, PLACES_MAX),
                idle: eighths(2, IDLE_MAX),
            },
        }
    }
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// From outside, from this address.
    Edge(IpAddr),
    /// Another proxy's, from this address.
    Proxy(IpAddr),
    /// The own application's.
    Own,
}

/// All seats of a worker.
pub(crate) struct Hall {
    /// For callers.
    pub(crate) callers: SharedSeats,
    /// For the own application.
    pub(crate) own: Seats,
    /// For callers that have not proved yet who they are.
    pub(crate) handshakes: SourceSeats,
    places: Rc<Pool>,
}

impl Hall {
    /// Empty.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            callers: SharedSeats { seats: Seats::new(limits.callers), sources: Rc::default() },
            own: Seats::new(limits.own),
            handshakes: SourceSeats::new(HANDSHAKES_MAX, HANDSHAKES_OF_ONE_MAX),
            places: Rc::new(Pool { max: limits.places, taken: Cell::new(0) }),
        }
    }

    /// What a connection may have of the upstream connections. A caller has taken his seat before.
    pub(crate) fn share(&self, whose: Whose) -> Rc<Share> {
        let (left, address) = match whose {
            Whose::Edge(address) => (LEFT_AT_EDGE, Some(address)),
            Whose::Proxy(address) => (LEFT_IN_MESH, Some(address)),
            Whose::Own => (LEFT_IN_MESH, None),
        };
        let known = |address| self.callers.sources.borrow().get(&source(address)).cloned();
        let (pool, held) = (Rc::clone(&self.places), Cell::new(0));
        Rc::new(Share { pool, held, left, source: address.and_then(known) })
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

/// What the connections of one address have.
#[derive(Default)]
struct Source {
    seats: Cell<usize>,
    places: Cell<usize>,
}

type Sources = Rc<RefCell<QuickMap<IpAddr, Rc<Source>>>>;

/// Seats for all who come, of which one address cannot take all.
pub(crate) struct SharedSeats {
    seats: Seats,
    sources: Sources,
}

/// Is free again when it is dropped.
pub(crate) struct SharedSeat {
    _seat: Seat,
    sources: Sources,
    address: IpAddr,
}

impl SharedSeats {
    /// Takes a seat for `address`; `None`: all are taken, or too many of them by it.
    pub(crate) fn take(&self, address: IpAddr) -> Option<SharedSeat> {
        let address = source(address);
        let mut sources = self.sources.borrow_mut();
        let held = sources.get(&address).map_or(0, |source| source.seats.get());
        if held >= self.seats.free.get().saturating_mul(SEATS_SHARE) {
            return None;
        }
        let seat = self.seats.take()?;
        sources.entry(address).or_default().seats.set(held + 1);
        Some(SharedSeat { _seat: seat, sources: Rc::clone(&self.sources), address })
    }
}

impl Drop for SharedSeat {
    fn drop(&mut self) {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.get(&self.address) else { return };
        source.seats.set(source.seats.get() - 1);
        if source.seats.get() == 0 {
            sources.remove(&self.address);
        }
    }
}

/// The places of a worker.
struct Pool {
    max: usize,
    taken: Cell<usize>,
}

/// One caller's connection's part of them.
pub(crate) struct Share {
    pool: Rc<Pool>,
    held: Cell<usize>,
    /// So many times what it has must be free.
    left: usize,
    source: Option<Rc<Source>>,
}

/// Is free again when it is dropped.
pub(crate) struct Place(Rc<Share>);

impl Share {
    /// Takes a place for one upstream connection; `None`: all are taken, or too many of them by this caller.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Place> {
        let free = self.pool.max - self.pool.taken.get();
        let of_source = self.source.as_ref().map_or(0, |source| source.places.get());
        let has_share = self.held.get().saturating_mul(self.left) < free
            && of_source < free.saturating_mul(PLACES_OF_SOURCE_SHARE);
        has_share.then(|| {
            self.count(|count| count + 1);
            Place(Rc::clone(self))
        })
    }

    fn count(&self, change: impl Fn(usize) -> usize) {
        let source = self.source.as_ref().map(|source| &source.places);
        for count in [&self.pool.taken, &self.held].into_iter().chain(source) {
            count.set(change(count.get()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count(|count| count - 1);
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
