//! Verifies peers' certificates: one verifier for both sides of a handshake.
//!
//! A chain is built against the roots of the trust domain that the peer claims, and no others, so a
//! federated root cannot vouch for our own domain. Host names play no part. The path also
//! says which cluster signed, which is all that binds a name to a cluster (decision 0003).

use crate::expect::Expect;
use crate::leaf;
use crate::refusal::{Refused, outside_validity, refusal};
use crate::watch::ValidityWatch;
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use model::trust::{Proof, TrustBundle, Voucher};
use model::{Reason, SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// More certificates than this in one chain are refused before any signature is checked.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;

/// Namespace of the mesh's own programs.
pub const SYSTEM_NAMESPACE: &str = "leno-system";
/// Service account of the control planes; with a pinned root nobody else is believed.
pub const CONTROL_ACCOUNT: &str = "control";
/// Service account of the management plane; only the root itself can vouch for it.
pub const MANAGER_ACCOUNT: &str = "manager";
/// Service account of the process that holds the root; only the root itself can vouch for it.
pub const ROOT_ACCOUNT: &str = "root";

/// Trust anchors by the domain that they vouch for.
#[derive(Default)]
pub(crate) struct Trust {
    bundles: Vec<TrustBundle>,
    anchors: HashMap<TrustDomain, Vec<TrustAnchor<'static>>>,
}

impl Trust {
    /// A root that cannot be read is left out with a warning; the others stay good.
    pub(crate) fn new(bundles: Vec<TrustBundle>) -> Self {
        let mut anchors: HashMap<TrustDomain, Vec<TrustAnchor<'static>>> = HashMap::new();
        for bundle in &bundles {
            let domain = anchors.entry(bundle.trust_domain.clone()).or_default();
            for root in &bundle.roots {
                match webpki::anchor_from_trusted_cert(&CertificateDer::from(root.as_slice())) {
                    Ok(anchor) => domain.push(anchor.to_owned()),
                    Err(error) => tracing::warn!(trust_domain = %bundle.trust_domain, %error, "root ignored"),
                }
            }
        }
        Self { bundles, anchors }
    }

    pub(crate) fn bundles(&self) -> &[TrustBundle] {
        &self.bundles
    }
}

/// Whom a handshake may show.
pub(crate) enum Wanted {
    /// Anyone whose domain we trust.
    Anyone,
    /// As the caller of a connection expects.
    These(Expect),
}

/// Checks peers; reads the current trust at each handshake.
pub(crate) struct Verifier {
    pub trust: Arc<ArcSwap<Trust>>,
    pub wanted: Wanted,
    pub algorithms: WebPkiSupportedAlgorithms,
    /// Servers: refuse clients without a certificate.
    pub mandatory: bool,
    /// Whether a client may show one that has expired, which then proves nothing but `model::trust::Shown` says.
    pub late: Late,
    /// Hears of what is outside its validity.
    pub watch: Arc<ValidityWatch>,
}

/// What becomes of a client whose certificate has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// No connection.
    Refused,
    /// A connection, as without a certificate.
    LetIn,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    /// What the certificates prove, if they may be shown here.
    pub(crate) fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Proof, rustls::Error> {
        if others.len() >= CHAIN_CERTIFICATES_MAX {
            return Err(untrusted(format!("chain of {} certificates", others.len() + 1)));
        }
        let read = leaf::read(leaf).map_err(|flaw| untrusted(flaw.to_string()))?;
        let (id, uid) = (read.id, read.uid);
        let voucher = match &self.wanted {
            Wanted::These(Expect::PinnedRoot(pin) | Expect::PinnedHolder(pin)) => {
                let anchor = find_pinned(others, pin)?;
                self.build_path(&id, leaf, others, &[anchor], now)?
            }
            _ => {
                let trust = self.trust.load();
                let Some(anchors) = trust.anchors.get(&id.trust_domain) else {
                    let text = format!("no trust bundle for {id}");
                    return Err(Refused::tls(Reason::PeerWrongDomain, text));
                };
                self.build_path(&id, leaf, others, anchors, now)?
            }
        };
        let proof = Proof { id, voucher, uid, begins: read.not_before, expires: read.not_after };
        self.check_wanted(&proof)?;
        Ok(proof)
    }

    /// What the certificates proved at the end of the leaf's life, which is over: whoever signed it need not be
    /// valid any more today. That it is not over yet is an error too.
    pub(crate) fn judge_expired(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Proof, rustls::Error> {
        let end = leaf::read(leaf).map_err(|flaw| untrusted(flaw.to_string()))?.not_after;
        let end = UnixTime::since_unix_epoch(end.duration_since(UNIX_EPOCH).unwrap_or_default());
        if end >= now {
            return Err(untrusted("the leaf has not expired".into()));
        }
        self.verify_chain(leaf, others, end)
    }

    /// Judges a handshake, and tells when a clock or a missed renewal is behind its failure.
    fn judge_handshake(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Err(error) = self.verify_chain(leaf, others, now) else { return Ok(()) };
        let is_late = self.late == Late::LetIn && refusal(&error) == Reason::PeerExpired;
        if is_late && self.judge_expired(leaf, others, now).is_ok() {
            return Ok(());
        }
        if let Some(outside) = outside_validity(&error) {
            self.watch.note(outside, leaf::read(leaf).ok().map(|leaf| leaf.id).as_ref());
        }
        Err(error)
    }

    fn check_wanted(&self, proof: &Proof) -> Result<(), rustls::Error> {
        let id = &proof.id;
        // Every cluster could sign itself these names, and with them speak to all the others.
        let is_above = is_system(id, MANAGER_ACCOUNT) || is_system(id, ROOT_ACCOUNT);
        if is_above && proof.voucher != Voucher::Root {
            return Err(untrusted(format!("{id} is not vouched for by the root itself")));
        }
        match &self.wanted {
            Wanted::These(Expect::OneOf(ids)) if !ids.contains(id) => {
                Err(untrusted(format!("{id} answered, which is not expected there")))
            }
            Wanted::These(Expect::Control { trust_domain, cluster }) => {
                let is_named = is_system(id, CONTROL_ACCOUNT) && id.trust_domain == *trust_domain;
                match is_named && proof.cluster().is_some_and(|of| of == cluster) {
                    true => Ok(()),
                    false => Err(untrusted(format!(
                        "{id}, vouched for by {:?}, is not the control plane of {cluster} in {trust_domain}",
                        proof.voucher
                    ))),
                }
            }
            // Before joining nothing is known but the root's hash. Every workload chains to that root, so
            // the control plane's name is demanded too, or any of them could collect join tokens.
            Wanted::These(Expect::PinnedRoot(_)) if !is_system(id, CONTROL_ACCOUNT) => {
                Err(untrusted(format!("{id} is not a control plane")))
            }
            Wanted::These(Expect::PinnedHolder(_)) if !is_system(id, ROOT_ACCOUNT) => {
                Err(untrusted(format!("{id} is not who holds the root")))
            }
            _ => Ok(()),
        }
    }

    fn build_path(
        &self,
        id: &SpiffeId,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
        now: UnixTime,
    ) -> Result<Voucher, rustls::Error> {
        let end = webpki::EndEntityCert::try_from(leaf).map_err(|error| untrusted(error.to_string()))?;
        // `leaf::read` demands both usages when there are any; one of them satisfies the path builder.
        let usage = webpki::KeyUsage::client_auth();
        let path = end
            .verify_for_usage(self.algorithms.all, anchors, others, now, usage, None, None)
            .map_err(|error| path_error(id, error))?;
        // The first of the path, not of what was shown: only that one signed the leaf.
        Ok(match path.intermediate_certificates().next() {
            None => Voucher::Root,
            Some(signer) => leaf::cluster(&signer.der()).map_or(Voucher::Nameless, Voucher::Cluster),
        })
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
}

fn untrusted(text: String) -> rustls::Error {
    Refused::tls(Reason::PeerUntrusted, text)
}

fn is_system(id: &SpiffeId, account: &str) -> bool {
    *id.namespace == *SYSTEM_NAMESPACE && *id.service_account == *account
}

fn find_pinned<'a>(
    shown: &'a [CertificateDer<'_>],
    pin: &[u8; 32],
) -> Result<TrustAnchor<'a>, rustls::Error> {
    let root = shown.iter().find(|der| digest::digest(&digest::SHA256, der).as_ref() == pin);
    let anchor = root.and_then(|der| webpki::anchor_from_trusted_cert(der).ok());
    anchor.ok_or_else(|| untrusted("the pinned root is not in the chain".into()))
}

/// Keeps rustls' own words where they choose the right alert.
fn path_error(id: &SpiffeId, error: webpki::Error) -> rustls::Error {
    use rustls::Error::InvalidCertificate;
    match error {
        webpki::Error::CertExpired { time, not_after } => {
            InvalidCertificate(CertificateError::ExpiredContext { time, not_after })
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            InvalidCertificate(CertificateError::NotValidYetContext { time, not_before })
        }
        webpki::Error::UnknownIssuer => InvalidCertificate(CertificateError::UnknownIssuer),
        other => Refused::tls(Reason::PeerUntrusted, format!("{id}: {other}")),
    }
}

/// Both sides of a handshake check its signatures alike: TLS 1.3 only, as the library does.
macro_rules! check_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Err(rustls::Error::General("TLS 1.2 is off".into()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.signature(message, certificate, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge_handshake(leaf, others, now).map(|()| ServerCertVerified::assertion())
    }

    check_signatures!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge_handshake(leaf, others, now).map(|()| ClientCertVerified::assertion())
    }

    check_signatures!();
}
