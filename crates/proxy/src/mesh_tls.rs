//! TLS of the mesh, both directions: handshakes, and the peer that each proves. Trust and keys are `identity`'s.

use crate::peer::Peer;
use crate::proven::{Handshake, PeerValidity, ProvenPeers};
use codec::Io;
use daemon::clock::Clock;
use decide::reauthentication::OpenStreams;
use futures_util::stream::{FuturesUnordered, StreamExt};
use identity::{Clients, Expect, Identity};
use model::hex::hex;
use model::trust::Proof;
use model::{Reason, SpiffeId};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep_until, timeout};
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
    /// Who it is, and who vouches for that.
    pub(crate) proof: Proof,
    /// How long it is let in.
    pub(crate) validity: PeerValidity,
    /// SHA-256 of its certificate, hex.
    pub(crate) sha256: String,
}

/// A callee who proved an identity.
pub(crate) struct Connected<I> {
    /// What it says, decrypted.
    pub(crate) tls: client::TlsStream<I>,
    /// Who it is.
    pub(crate) peer: Rc<Peer>,
    /// How long it is believed.
    pub(crate) validity: PeerValidity,
    /// When the certificate ends that it was shown.
    pub(crate) own_expires: Instant,
}

impl<I> Connected<I> {
    /// When the first of the two certificates ends.
    pub(crate) fn expires(&self) -> Instant {
        self.validity.expires().min(self.own_expires)
    }
}

/// The TLS of the mesh, as this proxy speaks it in both directions.
pub(crate) struct MeshTls {
    identity: Identity,
    proven: Arc<ProvenPeers>,
    clock: Arc<dyn Clock>,
    server: Arc<ServerConfig>,
}

impl MeshTls {
    /// With the certificate of `identity` and the roots that it trusts; what peers prove is recorded in `proven`.
    pub(crate) fn new(identity: &Identity, proven: Arc<ProvenPeers>, clock: Arc<dyn Clock>) -> Self {
        let server = identity.server_config(Clients::Required, &[ALPN_MESH]);
        Self { identity: identity.clone(), proven, clock, server }
    }

    /// Shakes hands with a caller, who must prove an identity.
    ///
    /// # Errors
    /// Why the caller was refused, for the log and the counters.
    pub(crate) async fn accept<I: Io>(&self, io: I) -> Result<Accepted<I>, Reason> {
        let own_expires = self.own_expires();
        let accepting = TlsAcceptor::from(Arc::clone(&self.server)).accept(io);
        let shaken = timeout(HANDSHAKE_TIMEOUT, accepting).await;
        let tls = shaken.map_err(|_| Reason::PeerHandshake)?.map_err(|error| identity::refusal(&error))?;
        let certificates = tls.get_ref().1.peer_certificates().ok_or(Reason::NoPeerCertificate)?;
        let (proof, validity) = self.judge(certificates).ok_or(Reason::PeerUntrusted)?;
        let sha256 = certificates.first().map(|leaf| sha256(leaf)).unwrap_or_default();
        // It has ended its handshake, so it has accepted ours.
        validity.was_shown(own_expires);
        Ok(Accepted { validity, proof, tls, sha256 })
    }

    /// Shakes hands with a callee, who must prove to be one of `expected`.
    ///
    /// # Errors
    /// [`Reason::TlsFailed`] or [`Reason::ConnectTimeout`].
    pub(crate) async fn connect<I: Io>(&self, io: I, expected: &[SpiffeId]) -> Result<Connected<I>, Reason> {
        let own_expires = self.own_expires();
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
        let (proof, validity) = self.judge(certificates).ok_or(Reason::TlsFailed)?;
        let peer = Peer::new(proof.id, proof.uid.as_deref(), None);
        Ok(Connected { tls, peer, validity, own_expires })
    }

    /// What a handshake has proved; `None`: nothing.
    fn judge(&self, certificates: &[CertificateDer<'static>]) -> Option<(Proof, PeerValidity)> {
        // Before it is believed: what changes meanwhile is looked at again.
        let trust = *self.identity.trust_changes().borrow();
        let proof = self.identity.proof(certificates)?;
        let (certificates, expires) = (certificates.to_vec(), self.at(proof.expires));
        let validity = self.proven.record(&proof, Handshake { certificates, expires, trust });
        Some((proof, validity))
    }

    /// Waits until the other end of a connection would not be let in again, and tells why.
    pub(crate) async fn until_refused(&self, validity: &PeerValidity) -> Reason {
        // In a set of its own it is polled when it was woken, and not with each request on the connection.
        let mut alone = FuturesUnordered::from_iter([self.watch(validity)]);
        match alone.next().await {
            Some(reason) => reason,
            None => pending().await,
        }
    }

    async fn watch(&self, validity: &PeerValidity) -> Reason {
        let mut changes = self.identity.trust_changes();
        loop {
            let trust = *changes.borrow_and_update();
            // Trust is today's; that its certificate may have expired is judged below.
            if !validity.is_trusted(trust, |certificates| self.identity.shown(certificates).is_some()) {
                return Reason::PeerUntrusted;
            }
            let OpenStreams::GoOn { until } = validity.open_streams() else { return Reason::PeerExpired };
            tokio::select! {
                () = sleep_until(Instant::from_std(until)) => {}
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// When the certificate ends that is shown now; without one, nothing was.
    pub(crate) fn own_expires(&self) -> Instant {
        self.identity.svid().map_or_else(Instant::now, |svid| self.at(svid.not_after))
    }

    /// Wall time as an `Instant`; the past becomes now.
    fn at(&self, time: SystemTime) -> Instant {
        let left = time.duration_since(self.clock.wall()).unwrap_or_default();
        // More than any certificate lives; keeps the addition within what an instant can hold.
        Instant::now() + left.min(CERTIFICATE_LIFE_MAX)
    }
}

/// Of a certificate (DER), as hex.
fn sha256(certificate: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate).as_ref())
}
