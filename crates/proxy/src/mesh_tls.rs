//! TLS of the mesh, both directions: handshakes, and the peer that each proves. Trust and keys are `identity`'s.

use crate::peer::Peer;
use codec::Io;
use daemon::clock::Clock;
use identity::{Clients, Expect, Identity};
use model::trust::Proof;
use model::{Reason, SpiffeId};
use rustls::ServerConfig;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// From the first byte of a TLS handshake to its end, on either side. Longer: the connection is closed.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest life of a certificate that is waited for; a longer one counts as this.
const CERTIFICATE_LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The only protocol inside mesh TLS.
pub(crate) const ALPN_MESH: &[u8] = b"h2";

/// A caller who proved an identity.
pub(crate) struct Accepted<I> {
    /// What it says, decrypted.
    pub(crate) tls: server::TlsStream<I>,
    /// Who it is, who vouches for that, and how long.
    pub(crate) proof: Proof,
    /// The same moment by the clock of timers.
    pub(crate) expires: Instant,
}

/// A callee who proved an identity.
pub(crate) struct Connected<I> {
    /// What it says, decrypted.
    pub(crate) tls: client::TlsStream<I>,
    /// Who it is.
    pub(crate) peer: Rc<Peer>,
    /// When the first of the two certificates ends.
    pub(crate) expires: Instant,
}

/// The TLS of the mesh, as this proxy speaks it in both directions.
pub(crate) struct MeshTls {
    identity: Identity,
    clock: Arc<dyn Clock>,
    server: Arc<ServerConfig>,
}

impl MeshTls {
    /// With the certificate of `identity` and the roots that it trusts.
    pub(crate) fn new(identity: &Identity, clock: Arc<dyn Clock>) -> Self {
        let server = identity.server_config(Clients::Required, &[ALPN_MESH]);
        Self { identity: identity.clone(), clock, server }
    }

    /// Shakes hands with a caller, who must prove an identity.
    ///
    /// # Errors
    /// Why the caller was refused, for the log and the counters.
    pub(crate) async fn accept<I: Io>(&self, io: I) -> Result<Accepted<I>, Reason> {
        let accepting = TlsAcceptor::from(Arc::clone(&self.server)).accept(io);
        let shaken = timeout(HANDSHAKE_TIMEOUT, accepting).await;
        let tls = shaken.map_err(|_| Reason::PeerHandshake)?.map_err(|error| identity::refusal(&error))?;
        let certificates = tls.get_ref().1.peer_certificates().ok_or(Reason::NoPeerCertificate)?;
        let proof = self.identity.proof(certificates).ok_or(Reason::PeerUntrusted)?;
        Ok(Accepted { expires: self.at(proof.expires), proof, tls })
    }

    /// Shakes hands with a callee, who must prove to be one of `expected`.
    ///
    /// # Errors
    /// [`Reason::TlsFailed`] or [`Reason::ConnectTimeout`].
    pub(crate) async fn connect<I: Io>(&self, io: I, expected: &[SpiffeId]) -> Result<Connected<I>, Reason> {
        let own = self.identity.svid().map(|svid| svid.not_after);
        let config = self.identity.client_config(Expect::OneOf(expected.to_vec()), &[ALPN_MESH]);
        let shaking = TlsConnector::from(config).connect(identity::server_name(), io);
        let tls = match timeout(HANDSHAKE_TIMEOUT, shaking).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                tracing::debug!(%error, ?expected, "mesh handshake");
                return Err(Reason::TlsFailed);
            }
            Err(_) => return Err(Reason::ConnectTimeout),
        };
        let certificates = tls.get_ref().1.peer_certificates().ok_or(Reason::TlsFailed)?;
        let leaf = identity::leaf(certificates).ok_or(Reason::TlsFailed)?;
        let peer = Peer::new(leaf.id, leaf.uid.as_deref(), None);
        let expires = self.at(own.map_or(leaf.not_after, |own| own.min(leaf.not_after)));
        Ok(Connected { tls, peer, expires })
    }

    /// Wall time as an `Instant`; the past becomes now.
    fn at(&self, time: SystemTime) -> Instant {
        let left = time.duration_since(self.clock.wall()).unwrap_or_default();
        // More than any certificate lives; keeps the addition within what an instant can hold.
        Instant::now() + left.min(CERTIFICATE_LIFE_MAX)
    }
}
