//! From a connection to a listener that speaks TLS: its first message, the listener that it means, the handshake.

use super::certificates::GoodSlot;
use super::client_certificate::ClientCertificate;
use super::client_hello::{self, BegunHandshake, HelloError};
use super::facts::{EdgeTls, FoundGood, TlsRefusal};
use super::listener::{TlsEnd, TlsListener, iana};
use crate::snapshot::GatewayEntry;
use codec::{Io, Prefixed};
use decide::listener::tls_listener;
use model::Reason;
use model::listener_tls::CIPHER_SUITES;
use rustls::pki_types::UnixTime;
use rustls::{ProtocolVersion, ServerConnection};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;

/// From the first byte that is waited for to the end of the handshake. Longer: the connection is closed.
pub(crate) const EDGE_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// RFC 6066 section 3: what a caller is told whose server name nobody has.
const UNRECOGNIZED_NAME: u8 = 112;

/// A connection behind its handshake.
pub(crate) enum Secured<I> {
    /// TLS ends here.
    Here {
        /// What is said in it.
        tls: Box<TlsStream<Prefixed<I>>>,
        /// What it has shown.
        facts: Rc<EdgeTls>,
        /// Whether both agreed on HTTP/2.
        is_http2: bool,
    },
    /// TLS ends at the backend.
    There {
        /// All of it, from the first byte.
        io: Prefixed<I>,
        /// The server name alone is known.
        facts: Rc<EdgeTls>,
    },
}

/// Shakes hands with a caller who came in `at` this place of the gateway.
///
/// # Errors
/// Why it is not served, which it was told by an alert as far as TLS has one for it.
pub(crate) async fn accept<I: Io>(
    gateway: &GatewayEntry,
    at: SocketAddr,
    io: I,
) -> Result<Secured<I>, TlsRefusal> {
    let until = Instant::now() + EDGE_HANDSHAKE_TIMEOUT;
    let late = |name| TlsRefusal::new(Reason::PeerHandshake, name, "the handshake took longer than 10 s");
    let hello = timeout_at(until, client_hello::read(io)).await.map_err(|_| late(None))?;
    let hello = hello.map_err(|error| {
        let what = match &error {
            HelloError::Read(_) => "the caller went away before it began TLS",
            HelloError::Tls(_) | HelloError::TooLarge => "the caller did not begin TLS",
        };
        TlsRefusal::new(Reason::PeerHandshake, None, what).because(error)
    })?;
    let server_name = hello.server_name.clone();
    let found = tls_listener(&gateway.gateway, at, server_name.as_deref());
    let Some(listener) = found.and_then(|index| gateway.tls(index)) else {
        // Whether it arrives or not, the connection ends.
        let _ = timeout_at(until, hello.refuse(UNRECOGNIZED_NAME)).await;
        return Err(TlsRefusal::new(
            Reason::ServerNameUnknown,
            server_name,
            "no listener has this server name",
        ));
    };
    let finished = timeout_at(until, finish(listener, hello)).await;
    finished.unwrap_or_else(|_| Err(late(server_name)))
}

async fn finish<I: Io>(listener: &TlsListener, hello: BegunHandshake<I>) -> Result<Secured<I>, TlsRefusal> {
    let server_name = hello.server_name.clone();
    let mut facts = EdgeTls {
        listener: listener.id.clone(),
        server_name,
        version: None,
        cipher: None,
        client: None,
        found_good: FoundGood::default(),
    };
    let TlsEnd::Here { config, client, shown } = &listener.end else {
        return Ok(Secured::There { io: hello.into_passed(), facts: Rc::new(facts) });
    };
    let shaken = hello.into_handshake().into_stream(Arc::clone(config)).await;
    let tls = shaken.map_err(|error| failed(error, facts.server_name.clone(), shown))?;
    let connection = tls.get_ref().1;
    (facts.version, facts.cipher) = (version(connection), cipher(connection));
    if let (Some(verifier), Some(chain)) = (client, connection.peer_certificates()) {
        let validity = verifier.validity(chain, UnixTime::now());
        facts.client = ClientCertificate::read(chain, validity);
    }
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    Ok(Secured::Here { tls: Box::new(tls), facts: Rc::new(facts), is_http2 })
}

fn failed<T>(error: io::Error, server_name: Option<String>, shown: &[Arc<GoodSlot<T>>]) -> TlsRefusal {
    let reason = identity::refusal(&error);
    let refusal = match shown.iter().any(|slot| slot.current().is_some()) {
        true => TlsRefusal::new(reason, server_name, "the handshake failed"),
        false => TlsRefusal::new(
            Reason::NoServerCertificate,
            server_name,
            "the listener has no certificate that can be used",
        ),
    };
    refusal.because(error)
}

fn version(connection: &ServerConnection) -> Option<&'static str> {
    match connection.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}

fn cipher(connection: &ServerConnection) -> Option<&'static str> {
    let name = iana(connection.negotiated_cipher_suite()?.suite());
    CIPHER_SUITES.iter().find(|(iana, _)| *iana == name).map(|(_, openssl)| *openssl)
}
