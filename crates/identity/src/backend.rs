//! TLS to servers that are not of the mesh: a name or a URI in a certificate that some authority has signed. It knows no
//! service, reads no file and dials nowhere. TLS 1.2 is spoken where the server has no later one.

use crate::provider::provider;
use model::backend_tls::SubjectAltName;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// Why what is meant cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {told}")]
pub struct BackendTlsError {
    /// Where.
    place: String,
    /// What is wrong.
    told: String,
}

/// Whom a client believes.
#[derive(Clone, Copy, Debug)]
pub enum BelievedAuthorities<'a> {
    /// Those that the host trusts.
    System,
    /// These, in PEM.
    Pem(&'a [u8]),
    /// Anybody: neither signer nor name is checked.
    Anybody,
}

/// For connections to one service: without ALPN, which its user adds. One of `names` must stand in the server's
/// certificate; without any the server name. `own` is the certificate that is shown and its key, in PEM.
///
/// # Errors
/// There is nobody to believe, or nothing to show: such a connection must not be made.
pub fn backend_client_config(
    authorities: BelievedAuthorities<'_>,
    names: &[SubjectAltName],
    own: Option<(&[u8], &[u8])>,
) -> Result<ClientConfig, BackendTlsError> {
    let verifier = BackendVerifier {
        authorities: roots(authorities)?,
        names: names.to_vec(),
        algorithms: provider().signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| content("TLS", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates("the client certificate", chain)?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| content("the private key", "none in PEM (PKCS#8, PKCS#1 or SEC1)"))?;
            let built = builder.with_client_auth_cert(chain, key);
            built.map_err(|error| content("the client certificate", error))?
        }
    };
    // A resumed session would not be verified again.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// `None`: anybody is believed.
fn roots(authorities: BelievedAuthorities<'_>) -> Result<Option<RootCertStore>, BackendTlsError> {
    let (place, certificates) = match authorities {
        BelievedAuthorities::Anybody => return Ok(None),
        BelievedAuthorities::System => ("the host's certificate authorities", system_roots()?),
        BelievedAuthorities::Pem(text) => ("the CA bundle", certificates("the CA bundle", text)?),
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates);
    match added {
        0 => Err(content(place, "holds no certificate of an authority")),
        _ => Ok(Some(store)),
    }
}

/// As OpenSSL finds them, with `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn system_roots() -> Result<Vec<CertificateDer<'static>>, BackendTlsError> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.into_iter().next() {
        Some(error) if found.certs.is_empty() => Err(content("the host's certificate authorities", error)),
        _ => Ok(found.certs),
    }
}

fn certificates(place: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BackendTlsError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(content(place, "no certificate in PEM")),
        Err(error) => Err(content(place, error)),
    }
}

fn content(place: &str, told: impl ToString) -> BackendTlsError {
    BackendTlsError { place: place.to_owned(), told: told.to_string() }
}

#[derive(Debug)]
struct BackendVerifier {
    /// `None`: anybody is believed.
    authorities: Option<RootCertStore>,
    /// One must be there; empty: the server name.
    names: Vec<SubjectAltName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl BackendVerifier {
    fn has_name(&self, leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        if self.names.is_empty() {
            return verify_server_name(&parsed, name);
        }
        let is_there = |name: &SubjectAltName| match name {
            SubjectAltName::Hostname(name) => {
                ServerName::try_from(&**name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
            }
            SubjectAltName::Uri(uri) => webpki::EndEntityCert::try_from(leaf)
                .is_ok_and(|leaf| leaf.valid_uri_names().any(|found| *found == **uri)),
        };
        match self.names.iter().any(is_there) {
            true => Ok(()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }
}

impl ServerCertVerifier for BackendVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.authorities {
            let parsed = ParsedCertificate::try_from(leaf)?;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, others, now, self.algorithms.all)?;
            self.has_name(leaf, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
