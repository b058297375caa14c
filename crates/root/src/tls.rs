//! Where a root is asked from other hosts: TLS 1.3, with a certificate of the root on this side and, where the other
//! one has been certified before, on that side too.

use crate::askers::system_id;
use crate::grants::Grants;
use crate::limits::{SigningRate, SourceSlot, SourceSlots, serve_within};
use crate::remote::RemoteAsker;
use anyhow::Context;
use ca::SignError;
use ca::issuer::serve::Holder;
use ca::issuer::tls::PROTOCOL;
use daemon::repeated::Repeated;
use daemon::{Drain, Tasks};
use identity::rotate::{self, SignedLeaf};
use identity::{Clients, Identity, Key, ROOT_ACCOUNT, Svid};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Rest after a failed accept (out of descriptors), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A handshake that takes longer ends the connection.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

static TURNED_AWAY: Repeated = Repeated::new();
static NOT_SHAKEN: Repeated = Repeated::new();

/// A listener for planes on other hosts.
pub(crate) struct TlsDoor {
    listener: TcpListener,
    holder: Arc<Holder>,
    grants: Arc<Grants>,
    rate: Arc<SigningRate<IpAddr>>,
    identity: Identity,
    acceptor: TlsAcceptor,
}

impl TlsDoor {
    /// Listens, with a certificate that the root signed for itself.
    pub(crate) async fn bind(
        address: SocketAddr,
        holder: Arc<Holder>,
        grants: Arc<Grants>,
    ) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("listen on {address} (--listen)"))?;
        let identity = Identity::new(vec![holder.root.bundle()]);
        let key = Key::generate()?;
        let signed = sign_own(&holder, &key.csr()?)?;
        identity.install(Svid::new(key, signed.chain)?);
        let acceptor = TlsAcceptor::from(identity.server_config(Clients::Requested, &[PROTOCOL]));
        let rate = Arc::new(SigningRate::new(Instant::now()));
        Ok(Arc::new(Self { listener, holder, grants, rate, identity, acceptor }))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Answers until the drain.
    pub(crate) async fn serve(self: Arc<Self>, tasks: Tasks, drain: Drain) {
        let slots = SourceSlots::default();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = drain.started() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Closed at once: a stranger is worth no handshake.
            let Some(slot) = slots.take(model::address::source(peer.ip())) else {
                if let Some(held_back) = TURNED_AWAY.admit(Instant::now()) {
                    tracing::warn!(%peer, held_back, "too many connections, or from there; one is closed");
                }
                continue;
            };
            tasks.spawn("asker", self.clone().answer(stream, peer, slot));
        }
    }

    async fn answer(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, _slot: SourceSlot) {
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await;
        let mut stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return not_shaken(peer, &error.to_string()),
            Err(_) => return not_shaken(peer, &format!("not done within {} s", HANDSHAKE_TIMEOUT.as_secs())),
        };
        let shown = stream.get_ref().1.peer_certificates();
        let asker = RemoteAsker {
            address: peer,
            proof: shown.and_then(|shown| self.identity.proof(shown)),
            trust_domain: self.holder.root.trust_domain().clone(),
            grants: self.grants.clone(),
            rate: self.rate.clone(),
            grant_id: Mutex::default(),
        };
        if let Err(error) = serve_within(&mut stream, &self.holder, &asker).await {
            tracing::warn!(%peer, %error, "a connection ended");
        }
    }

    /// Keeps the certificate of this side fresh, for ever.
    pub(crate) async fn renew(self: Arc<Self>) {
        let holder = self.holder.clone();
        let sign = move |csr: Vec<u8>| std::future::ready(sign_own(&holder, &csr));
        let on_event = |event| match event {
            rotate::Event::Renewed { .. } => tracing::debug!("own certificate renewed"),
            rotate::Event::Failed { error, .. } => tracing::warn!(error, "own certificate not renewed"),
        };
        rotate::run(self.identity.clone(), sign, SystemTime::now, rotate::jitter, on_event).await;
    }
}

/// Strangers may do that as often as they like, and fill no log.
fn not_shaken(peer: SocketAddr, cause: &str) {
    if let Some(held_back) = NOT_SHAKEN.admit(Instant::now()) {
        tracing::warn!(%peer, cause, held_back, "handshake refused");
    }
}

fn sign_own(holder: &Holder, csr: &[u8]) -> Result<SignedLeaf, SignError> {
    let id = system_id(holder.root.trust_domain(), ROOT_ACCOUNT);
    let chain = holder.root.sign_leaf(csr, &id, holder.lifetimes.leaf)?;
    Ok(SignedLeaf { chain, bundles: vec![holder.root.bundle()] })
}

#[cfg(test)]
mod tests;
