//! What all workers together listen on: whether that makes the proxy ready, and one log line for each listener
//! that they have opened or closed.

use daemon::Gate;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where a gateway's listener listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ListenPlace {
    /// For connections.
    Tcp(SocketAddr),
    /// For datagrams.
    Udp(SocketAddr),
}

impl fmt::Display for ListenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Udp(address) => write!(f, "{address}/udp"),
        }
    }
}

/// Opens a gate when all is open that should be.
pub(crate) struct Listening {
    workers: usize,
    /// The gateway's listeners are all that there is.
    is_alone: bool,
    gate: Gate,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Workers that have opened what they listen on from their start.
    started: usize,
    /// What the gateway in force listens on; `None`: no configuration yet.
    wanted: Option<HashSet<ListenPlace>>,
    /// Something else is configured that cannot be opened.
    is_blocked: bool,
    /// How many workers have opened it.
    open: HashMap<ListenPlace, usize>,
    has_been_ready: bool,
}

impl Listening {
    /// Nothing is open; `gate` is closed.
    pub(crate) fn new(workers: usize, gate: Gate) -> Self {
        Self { workers, is_alone: false, gate, state: Mutex::default() }
    }

    /// Of a proxy in no mesh: without a gateway's listener it listens on nothing, and is not ready.
    #[must_use]
    pub(crate) fn outside_a_mesh(self) -> Self {
        Self { is_alone: true, ..self }
    }

    /// One worker has opened what it listens on from its start.
    pub(crate) fn started(&self) {
        let mut state = self.lock();
        state.started += 1;
        self.report(&mut state);
    }

    /// The gateway in force listens on `wanted`. `is_blocked`: more is configured, and cannot be opened.
    pub(crate) fn want(&self, wanted: HashSet<ListenPlace>, is_blocked: bool) {
        let mut state = self.lock();
        (state.wanted, state.is_blocked) = (Some(wanted), is_blocked);
        self.report(&mut state);
    }

    /// One worker listens there.
    pub(crate) fn opened(&self, address: ListenPlace) {
        let mut state = self.lock();
        let open = state.open.entry(address).or_default();
        *open += 1;
        if *open == self.workers {
            tracing::info!(%address, "listening on {address}");
        }
        self.report(&mut state);
    }

    /// One worker does not listen there any more.
    pub(crate) fn closed(&self, address: ListenPlace) {
        let mut state = self.lock();
        if let Some(open) = state.open.get_mut(&address) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                state.open.remove(&address);
                tracing::info!(%address, "no longer listening on {address}");
            }
        }
        self.report(&mut state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready at first when all is open; later, a change that is not open yet, or cannot be, leaves open what was.
    fn report(&self, state: &mut State) {
        let is_open = |address| state.open.get(address).is_some_and(|open| *open == self.workers);
        let is_complete = !state.is_blocked
            && state.started == self.workers
            && state.wanted.as_ref().is_some_and(|wanted| wanted.iter().all(is_open));
        let is_ready = (is_complete || state.has_been_ready) && !(self.is_alone && state.open.is_empty());
        state.has_been_ready |= is_ready;
        if is_ready { self.gate.open() } else { self.gate.close() }
    }
}

#[cfg(test)]
mod tests;
