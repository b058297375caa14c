//! TLS to servers that are not of the mesh: a name or a URI in a certificate that some authority has signed. It knows no
//! service and dials nowhere. TLS 1.2 is spoken where the server has no later one.

use crate::provider::provider;
use model::backend_tls::{Authorities, CertificateFiles, SubjectAltName, TlsOrigination};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::{fs, io};

/// Longest file of certificates or keys that is read, in bytes.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Permissions that a key file must not give: to anybody but its owner and its group.
const OTHERS: u32 = 0o007;

/// Why what is meant cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum BackendTlsError {
    /// A file.
    #[error("read {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What is in a file, or in the configuration.
    #[error("{place}: {told}")]
    Content {
        /// Where.
        place: String,
        /// What is wrong.
        told: String,
    },
}

/// For connections to one service: without ALPN, which its user adds. Reads files, so call it rarely.
///
/// # Errors
/// There is nobody to believe, or nothing to show: such a connection must not be made.
pub fn backend_client_config(tls: &TlsOrigination) -> Result<ClientConfig, BackendTlsError> {
    let verifier = BackendVerifier {
        authorities: roots(&tls.authorities)?,
        names: tls.subject_alt_names.clone(),
        algorithms: provider().signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| content("TLS", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.client_certificate {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let (chain, key) = client_certificate(files)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| content(&files.certificate, error))?
        }
    };
    // A resumed session would not be verified again.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// `None`: anybody is believed.
fn roots(authorities: &Authorities) -> Result<Option<RootCertStore>, BackendTlsError> {
    let (place, certificates) = match authorities {
        Authorities::Unchecked => return Ok(None),
        Authorities::System => ("the host's certificate authorities", system_roots()?),
        Authorities::Pem(text) => ("the CA bundle", certificates("the CA bundle", text.as_bytes())?),
        Authorities::File(path) => (&**path, certificates(path, &read(path, 0)?)?),
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

fn client_certificate(
    files: &CertificateFiles,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BackendTlsError> {
    let chain = certificates(&files.certificate, &read(&files.certificate, 0)?)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.private_key, OTHERS)?)
        .map_err(|_| content(&files.private_key, "no private key in PEM (PKCS#8, PKCS#1 or SEC1)"))?;
    Ok((chain, key))
}

fn certificates(place: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BackendTlsError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(content(place, "no certificate in PEM")),
        Err(error) => Err(content(place, error)),
    }
}

/// A regular file that is not too long and gives nobody the `forbidden` permissions.
fn read(path: &str, forbidden: u32) -> Result<Vec<u8>, BackendTlsError> {
    let failed = |cause| BackendTlsError::Read { path: path.to_owned(), cause };
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() || about.len() > PEM_BYTES_MAX {
        return Err(content(path, format!("no regular file of at most {PEM_BYTES_MAX} bytes")));
    }
    if about.mode() & forbidden != 0 {
        return Err(content(path, "others than its owner and its group may read it: chmod o-rwx"));
    }
    fs::read(path).map_err(failed)
}

fn content(place: &str, told: impl ToString) -> BackendTlsError {
    BackendTlsError::Content { place: place.to_owned(), told: told.to_string() }
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
