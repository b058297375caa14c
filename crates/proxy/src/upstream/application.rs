//! Where an application listens that is spoken to without TLS: at its address, or on loopback alone. Found by trying, once for
//! each new connection; what was found on loopback is remembered by port.
//!
//! Loopback is tried only for ports that a Service names: what else listens there was not meant for others.

use crate::accept::{Mark, PeerKind, dial};
use decide::hash::QuickMap;
use decide::listener::application_places;
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// An application by its address, which is what its connections are pooled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApplicationAddress {
    /// As it was called.
    pub(crate) called: SocketAddr,
    /// Where it may listen.
    pub(crate) listens: Listens,
}

/// Where an application may listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listens {
    /// At its address.
    There,
    /// It is of this host: there, or on loopback.
    ThereOrOnLoopback,
}

impl From<SocketAddr> for ApplicationAddress {
    fn from(called: SocketAddr) -> Self {
        Self { called, listens: Listens::There }
    }
}

/// What was found of one worker's application.
#[derive(Default)]
pub(crate) struct FoundApplications {
    /// By port; one entry at most for each that a Service names.
    on_loopback: RefCell<QuickMap<u16, IpAddr>>,
}

impl FoundApplications {
    /// Connects to where it listens, at most as long as `timeout` for each place.
    pub(crate) async fn dial(
        &self,
        to: ApplicationAddress,
        mark: Mark,
        timeout: Duration,
    ) -> io::Result<TcpStream> {
        // Once for each connection; every request that may need one would hold room for it.
        match to.listens {
            Listens::There => Box::pin(dial(to.called, PeerKind::Anyone, mark, timeout)).await,
            Listens::ThereOrOnLoopback => Box::pin(self.find(to.called, mark, timeout)).await,
        }
    }

    async fn find(&self, called: SocketAddr, mark: Mark, timeout: Duration) -> io::Result<TcpStream> {
        let last = self.on_loopback.borrow().get(&called.port()).copied();
        let mut first_error = None;
        for place in application_places(called.ip(), last) {
            match dial(SocketAddr::new(place, called.port()), PeerKind::Anyone, mark, timeout).await {
                Ok(stream) => {
                    self.found(called, place);
                    return Ok(stream);
                }
                // One that does not answer is there all the same.
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
    }

    fn found(&self, called: SocketAddr, place: IpAddr) {
        let mut on_loopback = self.on_loopback.borrow_mut();
        if place == called.ip() {
            on_loopback.remove(&called.port());
        } else {
            on_loopback.insert(called.port(), place);
        }
    }
}
