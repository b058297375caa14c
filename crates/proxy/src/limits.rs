//! How many connections a worker has at once: each that comes takes a permit, each that is made upstream an
//! upstream permit. Nobody waits; a connection that gets none is refused.
//!
//! No share is fixed: who has little gets more while anything is free, who has much must leave as much free as he
//! has (times a factor). So one caller may use nearly all, and any number of greedy ones leave some to the next.

mod mirrors;
#[cfg(test)]
mod tests;

pub(crate) use mirrors::{MirrorPlace, Mirrors};

use crate::accept::Mark;
use decide::hash::QuickMap;
use model::address::source;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Callers' connections of one worker, at the mesh port and a gateway's listeners together; fewer where the process
/// may have few descriptors ([`Capacity`]). More: closed at once, [`model::Reason::TooManyConnections`].
const CALLERS_MAX: usize = 8192;
/// Connections of the local application, apart, so that callers cannot take its permits. Otherwise as above.
const OWN_MAX: usize = 8192;
/// Requests and tunnels of one worker that each need an upstream connection of their own; fewer as above. More: 503,
/// [`model::Reason::TooManyConnections`].
const UPSTREAM_MAX: usize = 16_384;
/// Idle HTTP/1.1 upstream connections of one worker; fewer as above. More are closed.
const IDLE_MAX: usize = 8192;
/// One address gets a further permit while it has fewer than so many times those that are free: four fifths when
/// nobody else comes, so that a load balancer in front of us, which is one address, has enough. Of two that want
/// all, each has four ninths.
const CALLERS_SHARE: usize = 4;
/// A caller's connection at the edge gets a further one while so many times those that it has are free: a fifth
/// when nobody else comes, and ten that want all leave a tenth.
const FREE_AT_EDGE: usize = 4;
/// The same for the local application and for proxies, which carry the calls of many: a half.
const FREE_IN_MESH: usize = 1;
/// All connections of one address get a further one while they have fewer than so many times those that are free,
/// so that many small ones do not take what one may not.
const UPSTREAM_OF_SOURCE_SHARE: usize = 16;
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
pub(crate) struct Capacity {
    callers: usize,
    own: usize,
    upstream: usize,
    /// Idle HTTP/1.1 upstream connections.
    pub(crate) idle: usize,
}

impl Capacity {
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
                upstream: eighths(3, UPSTREAM_MAX),
                idle: eighths(1, IDLE_MAX),
            },
            Mark::Free => Self {
                callers: eighths(3, CALLERS_MAX),
                own: 1,
                upstream: eighths(3, UPSTREAM_MAX),
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
    /// The local application's.
    Own,
}

/// The limits of a worker.
pub(crate) struct ConnectionLimits {
    /// For callers.
    pub(crate) callers: SharedLimit,
    /// For the local application.
    pub(crate) own: Limit,
    /// For callers that have not proved yet who they are.
    pub(crate) handshakes: PerSourceLimit,
    upstream: Rc<UpstreamPool>,
}

impl ConnectionLimits {
    /// Empty.
    pub(crate) fn new(limits: Capacity) -> Self {
        Self {
            callers: SharedLimit { permits: Limit::new(limits.callers), sources: Rc::default() },
            own: Limit::new(limits.own),
            handshakes: PerSourceLimit::new(HANDSHAKES_MAX, HANDSHAKES_OF_ONE_MAX),
            upstream: Rc::new(UpstreamPool { max: limits.upstream, taken: Cell::new(0) }),
        }
    }

    /// What a connection may have of the upstream connections. A caller has taken a permit before.
    pub(crate) fn share(&self, whose: Whose) -> Rc<UpstreamShare> {
        let (left, address) = match whose {
            Whose::Edge(address) => (FREE_AT_EDGE, Some(address)),
            Whose::Proxy(address) => (FREE_IN_MESH, Some(address)),
            Whose::Own => (FREE_IN_MESH, None),
        };
        let known = |address| self.callers.sources.borrow().get(&source(address)).cloned();
        let (pool, held) = (Rc::clone(&self.upstream), Cell::new(0));
        Rc::new(UpstreamShare { pool, held, left, source: address.and_then(known) })
    }
}

/// A number of permits.
pub(crate) struct Limit {
    free: Rc<Cell<usize>>,
}

/// Is free again when it is dropped.
pub(crate) struct Permit(Rc<Cell<usize>>);

impl Limit {
    fn new(max: usize) -> Self {
        Self { free: Rc::new(Cell::new(max)) }
    }

    /// Takes a permit; `None`: all are taken.
    pub(crate) fn take(&self) -> Option<Permit> {
        let left = self.free.get().checked_sub(1)?;
        self.free.set(left);
        Some(Permit(Rc::clone(&self.free)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// What the connections of one address have.
#[derive(Default)]
struct Source {
    permits: Cell<usize>,
    upstream: Cell<usize>,
}

type Sources = Rc<RefCell<QuickMap<IpAddr, Rc<Source>>>>;

/// Permits for all callers, of which one address cannot take all.
pub(crate) struct SharedLimit {
    permits: Limit,
    sources: Sources,
}

/// Is free again when it is dropped.
pub(crate) struct SharedPermit {
    _permit: Permit,
    sources: Sources,
    address: IpAddr,
}

impl SharedLimit {
    /// Takes a permit for `address`; `None`: all are taken, or too many of them by it.
    pub(crate) fn take(&self, address: IpAddr) -> Option<SharedPermit> {
        let address = source(address);
        let mut sources = self.sources.borrow_mut();
        let held = sources.get(&address).map_or(0, |source| source.permits.get());
        if held >= self.permits.free.get().saturating_mul(CALLERS_SHARE) {
            return None;
        }
        let permit = self.permits.take()?;
        sources.entry(address).or_default().permits.set(held + 1);
        Some(SharedPermit { _permit: permit, sources: Rc::clone(&self.sources), address })
    }
}

impl SharedPermit {
    /// Whether it was taken for another address.
    pub(crate) fn is_of_other(&self, address: IpAddr) -> bool {
        self.address != source(address)
    }
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        let mut sources = self.sources.borrow_mut();
        let Some(source) = sources.get(&self.address) else { return };
        source.permits.set(source.permits.get() - 1);
        if source.permits.get() == 0 {
            sources.remove(&self.address);
        }
    }
}

/// The upstream permits of a worker.
struct UpstreamPool {
    max: usize,
    taken: Cell<usize>,
}

/// One caller's connection's part of them.
pub(crate) struct UpstreamShare {
    pool: Rc<UpstreamPool>,
    held: Cell<usize>,
    /// So many times what it has must be free.
    left: usize,
    source: Option<Rc<Source>>,
}

/// Is free again when it is dropped.
pub(crate) struct UpstreamPermit(Rc<UpstreamShare>);

impl UpstreamShare {
    /// Takes a permit for one upstream connection; `None`: all are taken, or too many of them by this caller.
    pub(crate) fn take(self: &Rc<Self>) -> Option<UpstreamPermit> {
        let free = self.pool.max - self.pool.taken.get();
        let of_source = self.source.as_ref().map_or(0, |source| source.upstream.get());
        let has_share = self.held.get().saturating_mul(self.left) < free
            && of_source < free.saturating_mul(UPSTREAM_OF_SOURCE_SHARE);
        has_share.then(|| {
            self.count(|count| count + 1);
            UpstreamPermit(Rc::clone(self))
        })
    }

    fn count(&self, change: impl Fn(usize) -> usize) {
        let source = self.source.as_ref().map(|source| &source.upstream);
        for count in [&self.pool.taken, &self.held].into_iter().chain(source) {
            count.set(change(count.get()));
        }
    }
}

impl Drop for UpstreamPermit {
    fn drop(&mut self) {
        self.0.count(|count| count - 1);
    }
}

/// Permits of which one address has its share at most.
pub(crate) struct PerSourceLimit {
    permits: Limit,
    held: Rc<RefCell<HashMap<IpAddr, usize>>>,
    of_one_max: usize,
}

/// Is free again when it is dropped.
pub(crate) struct PerSourcePermit {
    _permit: Permit,
    held: Rc<RefCell<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl PerSourceLimit {
    fn new(max: usize, of_one_max: usize) -> Self {
        Self { permits: Limit::new(max), held: Rc::default(), of_one_max }
    }

    /// Takes a permit for `address`; `None`: all are taken, or all that it may have.
    pub(crate) fn take(&self, address: IpAddr) -> Option<PerSourcePermit> {
        let mut held = self.held.borrow_mut();
        if held.get(&address).is_some_and(|count| *count >= self.of_one_max) {
            return None;
        }
        let permit = self.permits.take()?;
        *held.entry(address).or_default() += 1;
        Some(PerSourcePermit { _permit: permit, held: Rc::clone(&self.held), address })
    }
}

impl Drop for PerSourcePermit {
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
