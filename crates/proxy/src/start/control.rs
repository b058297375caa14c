//! Calls to the control plane once the proxy has a certificate: stream, renewals, withdrawal.

use codec::dial;
use identity::rotate::SignedLeaf;
use identity::{Expect, Identity};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use xds::grpc::{Channel, Dial, WithdrawalOutcome};
use xds::link::{Link, LinkError};
use xds::{Code, Status};

/// The way to the control plane. Clones share the connection.
#[derive(Clone)]
pub(super) struct Control {
    address: Arc<str>,
    cluster: Arc<str>,
    identity: Identity,
    // The connection that the stream runs on; calls share it. Locked only to clone it.
    open: Arc<Mutex<Option<Channel>>>,
}

impl Control {
    pub(super) fn new(address: &str, cluster: Arc<str>, identity: Identity) -> Self {
        Self { address: address.into(), cluster, identity, open: Arc::default() }
    }

    /// A new connection and a control stream on it.
    pub(super) async fn open(&self) -> Result<Link, LinkError> {
        let channel = self.connect().await?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel.clone());
        if self.identity.has_expired() {
            // Renewal, which an expired certificate is still good for, goes over this very connection.
            let text = "the local certificate has expired and must be renewed first";
            return Err(Status::new(Code::Unauthenticated, text));
        }
        Ok(channel.open_ads())
    }

    /// Has a new key certified.
    pub(super) async fn sign(&self, csr: Vec<u8>) -> Result<SignedLeaf, Status> {
        let signed = self.channel().await?.sign(csr).await?;
        Ok(SignedLeaf { chain: signed.chain, bundles: signed.bundles })
    }

    /// Says that this proxy takes nothing new; returns when its callers know, or after `deadline`.
    pub(super) async fn withdraw(&self, uid: &str, deadline: Duration) -> Result<WithdrawalOutcome, Status> {
        self.channel().await?.withdraw(uid, deadline).await
    }

    async fn channel(&self) -> Result<Channel, Status> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match open {
            Some(channel) => Ok(channel),
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<Channel, Status> {
        let unavailable =
            |cause: io::Error| Status::new(Code::Unavailable, format!("{}: {cause}", self.address));
        let addresses = dial::resolve(&self.address).await.map_err(unavailable)?;
        let own =
            self.identity.id().ok_or_else(|| Status::new(Code::Unauthenticated, "no certificate yet"))?;
        // Not just any cluster's: that of another could tell us anything.
        let expect = Expect::Control { trust_domain: own.trust_domain, cluster: self.cluster.clone() };
        let config = self.identity.client_config(expect, &[b"h2"]);
        Channel::connect_via(dialer(addresses), Some(config)).await
    }
}

/// Opens sockets that capture leaves alone, to the first of `addresses` that answers.
pub(super) fn dialer(addresses: Vec<SocketAddr>) -> Dial {
    let addresses: Arc<[SocketAddr]> = addresses.into();
    Arc::new(move || {
        let addresses = Arc::clone(&addresses);
        Box::pin(async move { dial::connect_first(&addresses, connect_marked).await })
    })
}

async fn connect_marked(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Fails without the privilege, and then there is no capture either.
    if let Err(error) = SockRef::from(&socket).set_mark(model::address::SOCKET_MARK) {
        tracing::debug!(%error, "mark a control socket");
    }
    socket.connect(address).await
}
