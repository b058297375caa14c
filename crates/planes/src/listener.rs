//! The mutual TLS listener where proxies and other planes call a plane.

use anyhow::Context;
use daemon::Drain;
use daemon::clock::Clock;
use daemon::metrics::Registry;
use identity::{CertificateDer, Clients, Identity};
use model::trust::Shown;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use xds::grpc::{HandshakeObserver, Services, Tls};

/// All addresses of this host, of both families.
pub const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// Callers that wait to be accepted; further ones try again.
const BACKLOG: i32 = 1024;

/// Listens on the address of an option. `[::]` is of both families, whatever the host's default is, and of IPv4 alone where
/// the kernel has no other.
///
/// # Errors
/// With the address and the option, when it is not free.
pub async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    let bound = if address != everywhere(address.port()) {
        TcpListener::bind(address).await
    } else {
        match Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)) {
            Ok(socket) => listen_everywhere(socket, address),
            Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await,
        }
    };
    bound.with_context(|| format!("listen on {address} ({option})"))
}

fn listen_everywhere(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    // Its default is the host's: `net.ipv6.bindv6only`.
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How a plane is called by mutual TLS.
pub struct MtlsConfig {
    /// The plane's identity and the authorities that it trusts.
    pub identity: Identity,
    /// What it takes from callers.
    pub clients: Clients,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counts refused handshakes by reason.
    pub registry: Registry,
    /// The name of that counter.
    pub refused_metric: &'static str,
}

impl MtlsConfig {
    /// Serves until `drain` starts, then finishes open calls.
    pub async fn serve(self, listener: TcpListener, services: Services, drain: Drain) {
        let Self { identity, clients, clock, registry, refused_metric } = self;
        let proving = identity.clone();
        let prove = move |shown: &[CertificateDer<'_>]| match clients {
            Clients::Renewing => proving.shown(shown),
            // An expired certificate is good for nothing here.
            _ => proving.proof(shown).map(Shown::Valid),
        };
        let tls = Tls {
            config: identity.server_config(clients, &[b"h2"]),
            prove: Arc::new(prove),
            wall: Arc::new(move || clock.wall()),
        };
        let refused: HandshakeObserver = Arc::new(move |peer, error| {
            let reason = identity::refusal(error).row().code;
            registry.counter(refused_metric, "Handshakes refused", &[("reason", reason)]).inc();
            let clock = identity::outside_validity(error).map(|outside| outside.to_string());
            tracing::warn!(%peer, reason, %error, clock, "handshake refused");
        });
        if let Err(error) = xds::grpc::serve(listener, Some(tls), services, refused, drain.started()).await {
            tracing::error!(%error, "the listener for mutual TLS ended");
        }
    }
}

#[cfg(test)]
mod tests;
