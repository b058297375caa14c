//! Asks the application once, where it gets its requests, and by the same way: past our own capture, and on loopback where
//! nobody listens at its address.

use super::cause::plain;
use super::exec::{self, ExecProbes};
use super::{grpc, http};
use crate::accept::Mark;
use crate::upstream::application::{ApplicationAddress, FoundApplications, Listens};
use crate::upstream::connect::CONNECT_TIMEOUT;
use model::probe::ProbeAction;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;

/// Asks one application.
pub(crate) struct Asker {
    own: IpAddr,
    mark: Mark,
    exec: ExecProbes,
    applications: FoundApplications,
}

impl Asker {
    /// Of the application at `own`. Sockets are marked as `mark` says, programs run if `exec` allows it.
    pub(crate) fn new(own: IpAddr, mark: Mark, exec: ExecProbes) -> Self {
        Self { own, mark, exec, applications: FoundApplications::default() }
    }

    /// Asks it once, for as long as it takes.
    ///
    /// # Errors
    /// Why it is not ready.
    pub(super) async fn ask(&self, action: &ProbeAction) -> Result<(), String> {
        match action {
            ProbeAction::HttpGet(get) => {
                let at = self.at(get.host, get.port);
                http::get(self.connect(get.host, get.port).await?, at, get).await
            }
            ProbeAction::TcpSocket(tcp) => self.connect(tcp.host, tcp.port).await.map(drop),
            ProbeAction::Exec(command) => exec::run(command, self.exec).await,
            ProbeAction::Grpc(grpc) => {
                let at = self.at(None, grpc.port);
                grpc::check(self.connect(None, grpc.port).await?, at, grpc).await
            }
        }
    }

    fn at(&self, host: Option<IpAddr>, port: u16) -> SocketAddr {
        SocketAddr::new(host.unwrap_or(self.own), port)
    }

    async fn connect(&self, host: Option<IpAddr>, port: u16) -> Result<TcpStream, String> {
        let called = self.at(host, port);
        let listens = if host.is_some() { Listens::There } else { Listens::ThereOrOnLoopback };
        let to = ApplicationAddress { called, listens };
        let connected = self.applications.dial(to, self.mark, CONNECT_TIMEOUT).await;
        connected.map_err(|error| format!("cannot connect to {called}: {}", plain(&error)))
    }
}
