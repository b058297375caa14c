//! The handle that the rest of a program holds: current SVID, current trust, TLS configurations from both.

use crate::svid::Svid;
use crate::verify::{Trust, Verifier, Wanted};
use arc_swap::{ArcSwap, ArcSwapOption};
use model::trust::{Proof, TrustBundle};
use model::{SpiffeId, TrustDomain};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a server asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// No certificate, no connection.
    Required,
    /// A certificate that is shown must be good; none is accepted too (joining).
    Requested,
    /// Not asked.
    None,
}

/// Whom a client accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// One of these identities; an empty list accepts nobody.
    OneOf(Vec<SpiffeId>),
    /// The control plane of one cluster.
    Control {
        /// Whose roots may name clusters.
        trust_domain: TrustDomain,
        /// The cluster whose signing certificate must vouch for it.
        cluster: Arc<str>,
    },
    /// Before joining: a control plane (`ns/leno-system/sa/control`) whose chain contains the root with
    /// this SHA-256 (of the DER) and is signed by it.
    PinnedRoot([u8; 32]),
}

/// Who we are and whom we trust; copies share one state, and every handshake reads the current one.
#[derive(Clone)]
pub struct Identity {
    trust: Arc<ArcSwap<Trust>>,
    svid: Arc<ArcSwapOption<Svid>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("svid", &self.svid()).finish_non_exhaustive()
    }
}

impl Identity {
    /// No certificate yet. A root that cannot be read is left out with a warning.
    pub fn new(trust: Vec<TrustBundle>) -> Self {
        Self { trust: Arc::new(ArcSwap::from_pointee(Trust::new(trust))), svid: Arc::default() }
    }

    /// Shown in handshakes from now on; open connections are not touched.
    pub fn install(&self, svid: Svid) {
        self.svid.store(Some(Arc::new(svid)));
    }

    /// Replaces all trust bundles; open connections are not touched.
    pub fn set_trust(&self, trust: Vec<TrustBundle>) {
        self.trust.store(Arc::new(Trust::new(trust)));
    }

    /// The current certificate; `None` before the first was installed.
    pub fn svid(&self) -> Option<Arc<Svid>> {
        self.svid.load_full()
    }

    /// Our identity, when we have one.
    pub fn id(&self) -> Option<SpiffeId> {
        self.svid.load().as_ref().map(|svid| svid.id.clone())
    }

    /// The current trust bundles.
    pub fn bundles(&self) -> Vec<TrustBundle> {
        self.trust.load().bundles().to_vec()
    }

    /// For servers. Build once and keep: rotation needs no new one.
    pub fn server_config(&self, clients: Clients, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3 suites");
        let builder = match clients {
            Clients::None => builder.with_no_client_auth(),
            asked => {
                let verifier = self.verifier(Wanted::Anyone, asked == Clients::Required);
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver(self.svid.clone())));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        // Resumption would skip the verifier (design, D4).
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Arc::new(config)
    }

    /// For clients. Build once per expectation and keep: rotation needs no new one.
    pub fn client_config(&self, expect: Expect, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3 suites")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(Wanted::These(expect), true)))
            .with_client_cert_resolver(Arc::new(Resolver(self.svid.clone())));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        Arc::new(config)
    }

    /// What the certificates of a peer prove at this moment, after a handshake with a configuration of ours;
    /// `None` when they prove nothing. Builds the path anew: the TLS library does not tell which one it took.
    pub fn proof(&self, certificates: &[CertificateDer<'_>]) -> Option<Proof> {
        self.proof_at(certificates, SystemTime::now()).ok()
    }

    /// What certificates prove at another moment, or why nothing.
    pub(crate) fn proof_at(
        &self,
        certificates: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Proof, rustls::Error> {
        let (leaf, others) = certificates.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        self.verifier(Wanted::Anyone, true).judge(leaf, others, now)
    }

    fn verifier(&self, wanted: Wanted, mandatory: bool) -> Verifier {
        let algorithms = provider().signature_verification_algorithms;
        Verifier { trust: self.trust.clone(), wanted, algorithms, mandatory }
    }
}

/// What TLS libraries want as the server's name. It is neither sent nor checked.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
}

/// Passed explicitly, so that no process-wide default is needed.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// Answers with the certificate of the moment.
struct Resolver(Arc<ArcSwapOption<Svid>>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    fn certified(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|svid| svid.certified())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }

    fn has_certs(&self) -> bool {
        self.0.load().is_some()
    }
}
