//! A listener that speaks TLS: the configuration that its handshakes run by, made once for all connections.

use super::certificate::ServerCertificate;
use super::certificates::{GoodSlot, ListenerCertificates};
use super::client_verifier::ClientVerifier;
use model::listener::GatewayListener;
use model::listener_tls::{ListenerTls, TlsMode, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// What is spoken inside, best first.
const ALPN_HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Of which listener of which gateway something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerId {
    /// Of the gateway.
    pub(crate) namespace: Arc<str>,
    /// Of the gateway.
    pub(crate) gateway: Arc<str>,
    /// Of the listener.
    pub(crate) name: Arc<str>,
}

/// A listener as its connections need it.
pub(crate) struct TlsListener {
    /// Which one.
    pub(crate) id: ListenerId,
    /// As configured: equal to another, it is the same.
    pub(crate) tls: Arc<ListenerTls>,
    /// What is done with a connection.
    pub(crate) end: TlsEnd,
}

/// Where TLS ends.
pub(crate) enum TlsEnd {
    /// Here.
    Here {
        /// What handshakes run by.
        config: Arc<ServerConfig>,
        /// What callers must show.
        client: Option<Arc<ClientVerifier>>,
        /// What is shown to them.
        shown: Vec<Arc<GoodSlot<ServerCertificate>>>,
    },
    /// At the backend.
    There,
}

impl TlsListener {
    /// Makes a listener, with the certificates that it names out of `certificates`.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(crate) fn compile(
        id: ListenerId,
        listener: &GatewayListener,
        tls: &Arc<ListenerTls>,
        certificates: &ListenerCertificates,
    ) -> Result<Self, String> {
        let end = match tls.mode {
            TlsMode::Passthrough => TlsEnd::There,
            TlsMode::Terminate => here(listener, tls, certificates)?,
        };
        Ok(Self { id, tls: Arc::clone(tls), end })
    }
}

fn here(
    listener: &GatewayListener,
    tls: &ListenerTls,
    certificates: &ListenerCertificates,
) -> Result<TlsEnd, String> {
    let shown: Vec<_> = tls.certificates.iter().map(|named| certificates.pair(named)).collect();
    let client = tls.client.as_ref().map(|asked| ClientVerifier::new(asked, certificates)).transpose()?;
    let client = client.map(Arc::new);
    let builder = ServerConfig::builder_with_provider(Arc::new(provider(tls)))
        .with_protocol_versions(&versions(tls))
        .map_err(|error| format!("the TLS versions and cipher suites leave nothing to speak: {error}"))?;
    let resolver = Arc::new(ShownCertificate(shown.clone()));
    let mut config = match &client {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(resolver);
    if client.is_some() {
        // Who resumes shows nothing anew, and may have been let in by authorities that are gone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    if listener.protocol.is_http() {
        config.alpn_protocols = ALPN_HTTP.iter().map(|protocol| protocol.to_vec()).collect();
    }
    Ok(TlsEnd::Here { config: Arc::new(config), client, shown })
}

fn versions(tls: &ListenerTls) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::V1_3, &TLS13), (TlsVersion::V1_2, &TLS12)];
    let wanted = tls.versions.min..=tls.versions.max;
    all.into_iter().filter(|(version, _)| wanted.contains(version)).map(|(_, spoken)| spoken).collect()
}

/// What is offered: all that the mesh's provider has, or what the listener names of it.
fn provider(tls: &ListenerTls) -> CryptoProvider {
    let mut provider = (*identity::provider()).clone();
    if !tls.cipher_suites.is_empty() {
        let order = |suite: CipherSuite| tls.cipher_suites.iter().position(|name| **name == *iana(suite));
        provider.cipher_suites.retain(|suite| order(suite.suite()).is_some());
        provider.cipher_suites.sort_by_key(|suite| order(suite.suite()));
    }
    provider
}

/// The name that IANA gives a cipher suite.
pub(crate) fn iana(suite: CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

/// Shows the first certificate that has the name which is wanted and that the caller can check, else the first.
#[derive(Debug)]
struct ShownCertificate(Vec<Arc<GoodSlot<ServerCertificate>>>);

impl ResolvesServerCert for ShownCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all: Vec<_> = self.0.iter().filter_map(|slot| slot.current()).collect();
        let can_check = |certificate: &ServerCertificate| {
            certificate.certified.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let checkable: Vec<_> = all.iter().filter(|certificate| can_check(certificate)).collect();
        let wanted = hello.server_name().map(str::to_ascii_lowercase);
        let named = wanted.and_then(|name| checkable.iter().find(|certificate| certificate.covers(&name)));
        named.or(checkable.first()).map(|certificate| Arc::clone(&certificate.certified))
    }
}
