//! Asks the application once, at the address where it gets its requests, and by the same way: past our own capture.

use super::cause::plain;
use super::exec::{self, ExecProbes};
use super::{grpc, http};
use crate::accept::{Mark, PeerKind, dial};
use crate::upstream::connect::CONNECT_TIMEOUT;
use model::probe::ProbeAction;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;

/// Asks one application.
pub(crate) struct Asker {
    own: IpAddr,
    mark: Mark,
    exec: ExecProbes,
}

impl Asker {
    /// Of the application at `own`. Sockets are marked as `mark` says, programs run if `exec` allows it.
    pub(crate) fn new(own: IpAddr, mark: Mark, exec: ExecProbes) -> Self {
        Self { own, mark, exec }
    }

    /// Asks it once, for as long as it takes.
    ///
    /// # Errors
    /// Why it is not ready.
    pub(super) async fn ask(&self, action: &ProbeAction) -> Result<(), String> {
        match action {
            ProbeAction::HttpGet(get) => {
                let at = self.at(get.host, get.port);
                http::get(self.connect(at).await?, at, get).await
            }
            ProbeAction::TcpSocket(tcp) => self.connect(self.at(tcp.host, tcp.port)).await.map(drop),
            ProbeAction::Exec(command) => exec::run(command, self.exec).await,
            ProbeAction::Grpc(grpc) => {
                let at = self.at(None, grpc.port);
                grpc::check(self.connect(at).await?, at, grpc).await
            }
        }
    }

    fn at(&self, host: Option<IpAddr>, port: u16) -> SocketAddr {
        SocketAddr::new(host.unwrap_or(self.own), port)
    }

    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, String> {
        let connected = dial(to, PeerKind::Anyone, self.mark, CONNECT_TIMEOUT).await;
        connected.map_err(|error| format!("cannot connect to {to}: {}", plain(&error)))
    }
}
