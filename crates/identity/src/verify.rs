//! Whom we believe: one verifier for both sides of a handshake.
//!
//! A chain is built against the roots of the trust domain that the peer claims, and no others, so a
//! federated root cannot vouch for our own domain (bad inputs T02). Host names play no part.

use crate::config::Expect;
use crate::leaf;
use crate::refusal::Refused;
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use model::trust::TrustBundle;
use model::{Reason, SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// More certificates than this in one chain are refused before any signature is checked.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;

/// Namespace of the mesh's own programs.
pub const SYSTEM_NAMESPACE: &str = "leno-system";
/// Service account of the control plane; with a pinned root nobody else is believed.
pub const CONTROL_ACCOUNT: &str = "control";

/// Trust anchors by the domain that they vouch for.
#[derive(Default)]
pub(crate) struct Trust {
    bundles: Vec<TrustBundle>,
    anchors: HashMap<TrustDomain, Vec<TrustAnchor<'static>>>,
}

impl Trust {
    /// A root that cannot be read is left out with a warning; the others stay good.
    pub fn new(bundles: Vec<TrustBundle>) -> Self {
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

    pub fn bundles(&self) -> &[TrustBundle] {
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
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if others.len() >= CHAIN_CERTIFICATES_MAX {
            return Err(Refused::tls(
                Reason::PeerUntrusted,
                format!("chain of {} certificates", others.len() + 1),
            ));
        }
        let id = leaf::read(leaf).map_err(|flaw| Refused::tls(Reason::PeerUntrusted, flaw.to_string()))?.id;
        if let Wanted::These(Expect::PinnedRoot(pin)) = &self.wanted {
            return self.judge_pinned(&id, leaf, others, pin, now);
        }
        let trust = self.trust.load();
        let Some(anchors) = trust.anchors.get(&id.trust_domain) else {
            return Err(Refused::tls(Reason::PeerWrongDomain, format!("no trust bundle for {id}")));
        };
        self.build_path(&id, leaf, others, anchors, now)?;
        match &self.wanted {
            Wanted::These(Expect::OneOf(ids)) if !ids.contains(&id) => Err(Refused::tls(
                Reason::PeerUntrusted,
                format!("{id} answered, which is not expected there"),
            )),
            _ => Ok(()),
        }
    }

    /// Before joining nothing is known but the root's hash. Every workload chains to that root, so the
    /// control plane's name is demanded too, or any of them could collect join tokens.
    fn judge_pinned(
        &self,
        id: &SpiffeId,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        pin: &[u8; 32],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let root = others.iter().find(|der| digest::digest(&digest::SHA256, der).as_ref() == pin);
        let anchor = root.and_then(|der| webpki::anchor_from_trusted_cert(der).ok());
        let Some(anchor) = anchor else {
            return Err(Refused::tls(Reason::PeerUntrusted, "the pinned root is not in the chain".into()));
        };
        self.build_path(id, leaf, others, &[anchor], now)?;
        if *id.namespace != *SYSTEM_NAMESPACE || *id.service_account != *CONTROL_ACCOUNT {
            return Err(Refused::tls(Reason::PeerUntrusted, format!("{id} is not a control plane")));
        }
        Ok(())
    }

    fn build_path(
        &self,
        id: &SpiffeId,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let malformed = |error: webpki::Error| Refused::tls(Reason::PeerUntrusted, error.to_string());
        let end = webpki::EndEntityCert::try_from(leaf).map_err(malformed)?;
        // `leaf::read` demands both usages when there are any; one of them satisfies the path builder.
        let usage = webpki::KeyUsage::client_auth();
        end.verify_for_usage(self.algorithms.all, anchors, others, now, usage, None, None)
            .map(|_| ())
            .map_err(|error| path_error(id, error))
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

/// Keeps rustls' own words where they choose the right alert.
fn path_error(id: &SpiffeId, error: webpki::Error) -> rustls::Error {
    use rustls::Error::InvalidCertificate;
    match error {
        webpki::Error::CertExpired { .. } => InvalidCertificate(CertificateError::Expired),
        webpki::Error::CertNotValidYet { .. } => InvalidCertificate(CertificateError::NotValidYet),
        webpki::Error::UnknownIssuer => InvalidCertificate(CertificateError::UnknownIssuer),
        other => Refused::tls(Reason::PeerUntrusted, format!("{id}: {other}")),
    }
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
        self.judge(leaf, others, now).map(|()| ServerCertVerified::assertion())
    }

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
        self.judge(leaf, others, now).map(|()| ClientCertVerified::assertion())
    }

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
}
