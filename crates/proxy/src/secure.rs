//! TLS on and off: who is there is known from the handshake alone. Trust and keys are `identity`'s.

use crate::failure::Failure;
use crate::worker::Worker;
use codec::Io;
use identity::Expect;
use model::{Reason, SpiffeId};
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// From the first byte of a TLS handshake to its end, on either side. Longer: the connection is closed.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The only protocol inside mesh TLS.
pub(crate) const ALPN_MESH: &[u8] = b"h2";

/// Shakes hands with a caller, who must prove an identity.
///
/// # Errors
/// Why the caller was refused, for the log and the counters.
pub(crate) async fn accept<I: Io>(
    config: Arc<ServerConfig>,
    io: I,
) -> Result<(server::TlsStream<I>, SpiffeId), Reason> {
    let shaken = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(io)).await;
    let tls = shaken.map_err(|_| Reason::PeerHandshake)?.map_err(|error| identity::refusal(&error))?;
    let certificates = tls.get_ref().1.peer_certificates();
    let peer = certificates.and_then(identity::peer).ok_or(Reason::NoPeerCertificate)?;
    Ok((tls, peer))
}

/// Shakes hands with a callee, who must prove to be one of `expected`.
///
/// # Errors
/// [`Reason::TlsFailed`] or [`Reason::ConnectTimeout`].
pub(crate) async fn connect<I: Io>(
    worker: &Worker,
    io: I,
    expected: &[SpiffeId],
) -> Result<(client::TlsStream<I>, SpiffeId), Failure> {
    let config = worker.shared.identity.client_config(Expect::OneOf(expected.to_vec()), &[ALPN_MESH]);
    let shaking = TlsConnector::from(config).connect(identity::server_name(), io);
    let tls = match timeout(HANDSHAKE_TIMEOUT, shaking).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::debug!(%error, ?expected, "mesh handshake");
            return Err(Reason::TlsFailed.into());
        }
        Err(_) => return Err(Reason::ConnectTimeout.into()),
    };
    let certificates = tls.get_ref().1.peer_certificates();
    let peer = certificates.and_then(identity::peer).ok_or(Reason::TlsFailed)?;
    Ok((tls, peer))
}
