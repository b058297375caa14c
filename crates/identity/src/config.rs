//! The handle that the rest of a program holds: current SVID, current trust, TLS configurations from both.

use crate::expect::Expect;
use crate::freshness::CertificateValidity;
use crate::provider::provider;
use crate::refusal::refusal;
use crate::svid::Svid;
use crate::verify::{Late, Trust, Verifier, Wanted};
use crate::watch::{OutsideValidity, ValidityWatch};
use arc_swap::{ArcSwap, ArcSwapOption};
use model::trust::{Proof, Shown, TrustBundle};
use model::{Reason, SpiffeId};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What a server asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// No certificate, no connection.
    Required,
    /// A certificate that is shown must be good; none is accepted too (joining).
    Requested,
    /// As `Requested`, and one that has expired is let in as if none were shown: [`Identity::shown`] tells which.
    /// For a control plane, which renews those (decision 0005).
    Renewing,
    /// Not asked.
    None,
}

/// Our identity and the authorities that we trust; copies share one state, and every handshake reads the current one.
#[derive(Clone)]
pub struct Identity {
    trust: Arc<ArcSwap<Trust>>,
    /// How often that was replaced.
    trust_changes: Arc<watch::Sender<u64>>,
    svid: Arc<ArcSwapOption<Svid>>,
    watch: Arc<ValidityWatch>,
    wall: Wall,
}

/// The wall clock that certificates are judged by.
#[derive(Clone)]
struct Wall(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wall")
    }
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix((self.0)()))
    }
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("svid", &self.svid()).finish_non_exhaustive()
    }
}

impl Identity {
    /// No certificate yet. A root that cannot be read is left out with a warning.
    pub fn new(trust: Vec<TrustBundle>) -> Self {
        Self {
            trust: Arc::new(ArcSwap::from_pointee(Trust::new(trust))),
            trust_changes: Arc::default(),
            svid: Arc::default(),
            watch: Arc::default(),
            wall: Wall(Arc::new(SystemTime::now)),
        }
    }

    /// The same, judging certificates by another clock than the system's.
    pub fn with_wall(self, wall: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { wall: Wall(Arc::new(wall)), ..self }
    }

    /// How many handshakes failed so far because a certificate of the other side was outside its validity.
    pub fn outside_validity(&self) -> OutsideValidity {
        self.watch.counts()
    }

    /// Shown in handshakes from now on; open connections are not touched.
    pub fn install(&self, svid: Svid) {
        self.svid.store(Some(Arc::new(svid)));
    }

    /// Replaces all trust bundles. Whoever holds connections open hears of it by [`Identity::trust_changes`].
    pub fn set_trust(&self, trust: Vec<TrustBundle>) {
        // They come with every renewal, and are the same nearly always.
        if is_same(&trust, self.trust.load().bundles()) {
            return;
        }
        self.trust.store(Arc::new(Trust::new(trust)));
        self.trust_changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Counts how often the trust bundles were replaced. What was proved before a change may not hold after it.
    pub fn trust_changes(&self) -> watch::Receiver<u64> {
        self.trust_changes.subscribe()
    }

    /// The current certificate; `None` before the first was installed.
    pub fn svid(&self) -> Option<Arc<Svid>> {
        self.svid.load_full()
    }

    /// Whether our certificate has expired; not when there is none.
    pub fn has_expired(&self) -> bool {
        self.svid.load().as_ref().is_some_and(|svid| svid.not_after < (self.wall.0)())
    }

    /// Our certificate under a name, for reports.
    pub fn held(&self, name: &'static str) -> Option<CertificateValidity> {
        self.svid().map(|svid| CertificateValidity {
            name,
            not_before: svid.not_before,
            not_after: svid.not_after,
        })
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
        let builder = ServerConfig::builder_with_details(provider(), Arc::new(self.wall.clone()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3 suites");
        let builder = match clients {
            Clients::None => builder.with_no_client_auth(),
            asked => {
                let late = if asked == Clients::Renewing { Late::LetIn } else { Late::Refused };
                let mandatory = asked == Clients::Required;
                let verifier = Verifier { mandatory, late, ..self.verifier(Wanted::Anyone) };
                builder.with_client_cert_verifier(Arc::new(verifier))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver(self.svid.clone())));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        // Resumption would skip the verifier.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Arc::new(config)
    }

    /// Our current certificate, for servers that ask of their clients what they like.
    pub fn server_certificate(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Resolver(self.svid.clone()))
    }

    /// For clients. Build once per expectation and keep: rotation needs no new one.
    pub fn client_config(&self, expect: Expect, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_details(provider(), Arc::new(self.wall.clone()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3 suites")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(Wanted::These(expect))))
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
        self.proof_at(certificates, (self.wall.0)()).ok()
    }

    /// What the certificates of a client are good for at this moment, after a handshake with a configuration for
    /// [`Clients::Renewing`]; `None` when they prove nothing.
    pub fn shown(&self, certificates: &[CertificateDer<'_>]) -> Option<Shown> {
        self.shown_at(certificates, (self.wall.0)())
    }

    pub(crate) fn shown_at(&self, certificates: &[CertificateDer<'_>], now: SystemTime) -> Option<Shown> {
        match self.proof_at(certificates, now) {
            Ok(proof) => Some(Shown::Valid(proof)),
            Err(error) if refusal(&error) == Reason::PeerExpired => {
                let (leaf, others) = certificates.split_first()?;
                let proof = self.verifier(Wanted::Anyone).judge_expired(leaf, others, unix(now)).ok()?;
                Some(Shown::Expired(proof))
            }
            Err(_) => None,
        }
    }

    /// What certificates prove at another moment, or why nothing.
    ///
    /// # Errors
    /// When they prove nothing.
    pub fn proof_at(
        &self,
        certificates: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Proof, rustls::Error> {
        let (leaf, others) = certificates.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        self.verifier(Wanted::Anyone).verify_chain(leaf, others, unix(now))
    }

    fn verifier(&self, wanted: Wanted) -> Verifier {
        Verifier {
            trust: self.trust.clone(),
            wanted,
            algorithms: provider().signature_verification_algorithms,
            mandatory: true,
            late: Late::Refused,
            watch: self.watch.clone(),
        }
    }
}

/// For calls out of the mesh, to a server with a name and with these roots: TLS 1.3, no certificate of ours.
pub fn client_config_for(roots: RootCertStore) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Whether both have the same bundles, in whatever order.
fn is_same(one: &[TrustBundle], other: &[TrustBundle]) -> bool {
    one.len() == other.len() && one.iter().all(|bundle| other.contains(bundle))
}

/// What TLS libraries want as the server's name. It is neither sent nor checked.
pub fn server_name() -> ServerName<'static> {
    ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into())
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
