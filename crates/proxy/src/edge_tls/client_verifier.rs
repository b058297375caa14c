//! Which certificates of callers a listener lets in.
//!
//! Authorities out of files may change at any time, so each bundle is asked by itself, as it is now. What a listener
//! asks for beside them (names, hashes) is looked at when an authority vouches for the certificate.

use super::certificates::{CaRoots, GoodSlot, ListenerCertificates};
use super::client_certificate::ClientValidity;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use identity::certificate_names;
use model::hex::hex;
use model::listener_tls::{CaBundle, ClientMode, ClientValidation};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::Arc;

/// What a listener asks of callers.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    asked: ClientValidation,
    bundles: Vec<Bundle>,
    /// Of the bundles that do not change. Where others are too, none is hinted at.
    subjects: Vec<DistinguishedName>,
}

#[derive(Debug)]
enum Bundle {
    Fixed(CaRoots),
    Watched(Arc<GoodSlot<CaRoots>>),
}

impl ClientVerifier {
    /// What `asked` says, with the files that it names out of `certificates`.
    ///
    /// # Errors
    /// What is wrong with a bundle that was written in the configuration.
    pub(crate) fn new(asked: &ClientValidation, certificates: &ListenerCertificates) -> Result<Self, String> {
        let bundle = |bundle: &CaBundle| match bundle {
            CaBundle::Inline(pem) => CaRoots::read(pem.as_bytes()).map(Bundle::Fixed),
            CaBundle::File(path) => Ok(Bundle::Watched(certificates.bundle(path))),
        };
        let bundles = asked.authorities.iter().map(bundle).collect::<Result<Vec<_>, _>>();
        let bundles = bundles.map_err(|why| format!("authorities of client certificates: {why}"))?;
        let mut subjects = Vec::new();
        for bundle in &bundles {
            match bundle {
                Bundle::Fixed(roots) => subjects.extend(roots.subjects.iter().cloned()),
                Bundle::Watched(_) => {
                    subjects.clear();
                    break;
                }
            }
        }
        Ok(Self { asked: asked.clone(), bundles, subjects })
    }

    /// What the certificates of a caller who was let in are worth now.
    pub(crate) fn validity(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> ClientValidity {
        let judged = chain.split_first().map(|(leaf, rest)| self.judge(leaf, rest, now));
        if matches!(judged, Some(Ok(()))) { ClientValidity::Valid } else { ClientValidity::Unproven }
    }

    /// Whether everybody must show a valid one.
    pub(crate) fn is_mandatory(&self) -> bool {
        self.asked.mode == ClientMode::Required
    }

    /// Whether one that is not valid is let in too.
    pub(crate) fn takes_anybody(&self) -> bool {
        self.asked.mode == ClientMode::InsecureFallback
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut refused = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for bundle in &self.bundles {
            let verified = match bundle {
                Bundle::Fixed(roots) => roots.verifier.verify_client_cert(leaf, rest, now),
                Bundle::Watched(slot) => match slot.current() {
                    Some(roots) => roots.verifier.verify_client_cert(leaf, rest, now),
                    None => continue,
                },
            };
            match verified {
                Ok(_) => return self.is_asked_for(leaf),
                // Another bundle may know it; what is wrong apart from that is worth telling.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(why) => refused = why,
            }
        }
        Err(refused)
    }

    /// Names and hashes, where the listener asks for some: each kind by itself is enough, as in Envoy a hash or a key is.
    fn is_asked_for(&self, leaf: &CertificateDer<'_>) -> Result<(), Error> {
        let ClientValidation { subject_alt_names, certificate_hashes, public_key_hashes, .. } = &self.asked;
        let not_it = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let Some(names) = certificate_names(leaf) else {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        };
        if !subject_alt_names.is_empty() {
            let has = |wanted: &str| {
                names.dns.iter().any(|dns| dns.eq_ignore_ascii_case(wanted))
                    || names.uris.iter().any(|uri| uri == wanted)
                    || names.addresses.iter().any(|address| address.to_string() == wanted)
            };
            if !subject_alt_names.iter().any(|wanted| has(wanted)) {
                return Err(not_it);
            }
        }
        if certificate_hashes.is_empty() && public_key_hashes.is_empty() {
            return Ok(());
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf);
        let (own, key) = (hex(digest.as_ref()), STANDARD.encode(names.public_key_sha256));
        let is_own = |wanted: &Arc<str>| wanted.replace(':', "").eq_ignore_ascii_case(&own);
        match certificate_hashes.iter().any(is_own) || public_key_hashes.iter().any(|wanted| **wanted == *key)
        {
            true => Ok(()),
            false => Err(not_it),
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.judge(leaf, rest, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            // It proves nothing, and is not taken for a proof: see `validity`.
            Err(_) if self.takes_anybody() => Ok(ClientCertVerified::assertion()),
            Err(why) => Err(why),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = identity::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = identity::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        identity::provider().signature_verification_algorithms.supported_schemes()
    }
}
