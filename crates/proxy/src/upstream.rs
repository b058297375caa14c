//! The way out of one worker: to some endpoint of a service, or to the local application. It knows nothing of who
//! asks and tells what it does to an [`AttemptLog`]. The loop is `attempts`; what is done at one endpoint is `send`
//! (a request), `upgrade` (one for another protocol) or `tunnel` (opaque bytes); connections are kept in `http1_pool` and `http2_pool`, made by `connect`.

pub(crate) mod application;
pub(crate) mod attempt_error;
pub(crate) mod attempts;
pub(crate) mod connect;
pub(crate) mod datagrams;
pub(crate) mod http1_pool;
pub(crate) mod http2_pool;
pub(crate) mod reauthenticate;
pub(crate) mod retry_state;
pub(crate) mod send;
pub(crate) mod tunnel;
mod upgrade;

pub(crate) use attempts::AttemptLog;

#[cfg(test)]
pub(crate) use upgrade::websocket_accept;

use crate::backend_tls::BackendTlsClient;
use crate::request::SpareLists;
use crate::snapshot::HostEntry;
use crate::uptime::Uptime;
use application::ApplicationAddress;
use connect::Connector;
use decide::Dice;
use decide::dice::Pcg;
use http::Version;
use model::Reason;
use model::service::{Endpoint, Protocol, Reach};
use model::traffic::ConnectionPool;
use model::workload_host::is_workload_host;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What one worker has to reach others.
pub(crate) struct Upstream {
    http1: Rc<http1_pool::Http1Pool>,
    http2: Rc<http2_pool::Http2Pool>,
    connector: Rc<Connector>,
    /// For the heads of requests under way.
    lists: Rc<SpareLists>,
    dice: Rc<RefCell<Pcg>>,
    uptime: Uptime,
}

impl Upstream {
    /// Without any connection; of those for HTTP/1.1, `idle_max` are kept.
    pub(crate) fn new(connector: Connector, idle_max: usize, dice: Rc<RefCell<Pcg>>, uptime: Uptime) -> Self {
        let connector = Rc::new(connector);
        Self {
            http1: http1_pool::Http1Pool::new(Rc::clone(&connector), idle_max),
            http2: http2_pool::Http2Pool::new(Rc::clone(&connector)),
            connector,
            lists: Rc::default(),
            dice,
            uptime,
        }
    }

    /// TCP to an application, or to wherever outside the mesh.
    ///
    /// # Errors
    /// [`Reason::ConnectFailed`], [`Reason::ConnectTimeout`].
    pub(crate) async fn dial(&self, to: impl Into<ApplicationAddress>) -> Result<TcpStream, Reason> {
        self.connector.dial_application(to.into()).await
    }

    /// A connection to the proxy that `endpoint` of `target` is behind.
    async fn lease_mesh(&self, target: &Target, endpoint: &Endpoint) -> Result<http2_pool::Leased, Reason> {
        let lanes = http2_pool::lanes(endpoint);
        let lane = if lanes > 1 { self.dice.borrow_mut().below(u64::from(lanes)) as u32 } else { 0 };
        self.http2.lease(endpoint, &target.entry.service.host, target.port, lane).await
    }

    /// Closes what has been idle for long. Called now and then by the worker.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        self.http1.sweep(now);
        self.http2.sweep(now);
    }

    /// Closes all connections, those in use after `goodbye` at the latest.
    pub(crate) async fn close(&self, goodbye: Duration) {
        self.http1.clear();
        self.http2.clear();
        self.connector.tasks().drain(goodbye).await;
    }

    /// HTTP/2 connections.
    #[cfg(test)]
    pub(crate) fn http2(&self) -> &Rc<http2_pool::Http2Pool> {
        &self.http2
    }

    /// What drives connections.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> &daemon::Tasks {
        self.connector.tasks()
    }
}

/// Where an application is spoken to without a proxy in between. Held by each request, so it is small.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Where.
    pub(crate) address: ApplicationAddress,
    /// The service that says how; `None`: in plaintext.
    target: Option<&'a Target>,
}

impl<'a> Place<'a> {
    /// `None`: in plaintext.
    pub(crate) fn tls(self) -> Option<&'a Arc<BackendTlsClient>> {
        self.target?.tls.as_ref()
    }

    /// What is said of connections to it.
    pub(crate) fn pool(self) -> Option<&'a Arc<ConnectionPool>> {
        self.target?.pool()
    }

    /// An address of the other family, where it has a name that has both.
    pub(crate) fn other(self) -> Option<IpAddr> {
        self.target?.entry.alternates.get(&self.address.called.ip()).copied()
    }

    /// What connections to it are pooled by.
    fn key(self) -> PlaceKey {
        PlaceKey { address: self.address.called, tls: self.tls().map(|tls| tls.id) }
    }
}

impl<A: Into<ApplicationAddress>> From<A> for Place<'_> {
    fn from(address: A) -> Self {
        Self { address: address.into(), target: None }
    }
}

/// What connections to a [`Place`] are pooled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PlaceKey {
    address: SocketAddr,
    tls: Option<NonZeroU32>,
}

/// A port of a service.
pub(crate) struct Target {
    /// The service and its endpoints.
    pub(crate) entry: Arc<HostEntry>,
    /// The port that clients use.
    pub(crate) port: u16,
    /// The application's port, where an endpoint does not name its own.
    pub(crate) target_port: u16,
    /// What the application speaks.
    pub(crate) protocol: Protocol,
    /// TLS to endpoints that are not of the mesh; `None`: plaintext.
    tls: Option<Arc<BackendTlsClient>>,
}

impl Target {
    /// The service's port; `None`: it has no such port.
    pub(crate) fn new(entry: &Arc<HostEntry>, port: u16) -> Option<Self> {
        let (target_port, protocol) = match entry.service.ports.iter().find(|known| known.port == port) {
            Some(known) => (known.target_port, known.protocol),
            // Whatever it listens on, declared or not.
            None if is_workload_host(&entry.service.host) => (port, Protocol::Undeclared),
            None => return None,
        };
        let tls = entry.tls.as_ref().and_then(|tls| tls.at(port)).cloned();
        Some(Self { entry: Arc::clone(entry), port, target_port, protocol, tls })
    }

    /// What is said of connections to its endpoints that are not of the mesh.
    pub(crate) fn pool(&self) -> Option<&Arc<ConnectionPool>> {
        self.entry.traffic.connection_pool.as_ref().map(|field| &field.value)
    }

    /// Where the application is at `endpoint`, which is of this network.
    fn address(&self, endpoint: &Endpoint) -> SocketAddr {
        let port = if endpoint.port == 0 { self.target_port } else { endpoint.port };
        SocketAddr::new(endpoint.address, port)
    }

    /// The application at `endpoint`, spoken to without a proxy in between.
    fn place(&self, endpoint: &Endpoint) -> Place<'_> {
        Place { address: self.address(endpoint).into(), target: Some(self) }
    }

    /// How the application is reached at `endpoint`: in plaintext where that takes nothing else.
    fn reach<'e>(&self, endpoint: &'e Endpoint) -> &'e Reach {
        endpoint.reach_at(self.address(endpoint).port())
    }

    /// The same for a caller who speaks `version`: where nothing is declared, the application is expected to
    /// speak what its caller does.
    #[must_use]
    pub(crate) fn spoken_to_in(mut self, version: Version) -> Self {
        if self.protocol == Protocol::Undeclared && version == Version::HTTP_2 {
            self.protocol = Protocol::Http2;
        }
        self
    }
}
