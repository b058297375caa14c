//! TLS of the API: which certificate it shows, whose client certificates it takes, and what they say of the caller.
//!
//! TLS 1.3 alone, without resumption: each connection proves anew who makes it.

use crate::access::ApiRole;
use crate::caller::{ApiCaller, Introduction};
use crate::files::{ApiFileError, Secrecy, read};
use crate::options::ApiOptions;
use crate::reread::Reread;
use crate::tokens::USER_BYTES_MAX;
use identity::rustls::pki_types::pem::PemObject;
use identity::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use identity::rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use identity::rustls::sign::{CertifiedKey, SingleCertAndKey};
use identity::rustls::version::TLS13;
use identity::rustls::{RootCertStore, ServerConfig};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The certificate that is shown when no file was named: the plane's own, once it has one.
pub(crate) type OwnCertificate = Arc<OnceLock<Arc<dyn ResolvesServerCert>>>;

/// Reads what the options name, again when it has changed.
pub(crate) fn config(
    options: &ApiOptions,
    own: OwnCertificate,
) -> Result<Reread<ServerConfig>, ApiFileError> {
    let options = options.clone();
    let named = [&options.api_tls_cert_file, &options.api_tls_key_file, &options.api_client_ca_file];
    let files = named.into_iter().flatten().cloned().collect();
    Reread::new(files, move || build(&options, &own))
}

fn build(options: &ApiOptions, own: &OwnCertificate) -> Result<ServerConfig, ApiFileError> {
    let builder = ServerConfig::builder_with_provider(identity::provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites");
    let builder = match &options.api_client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| content(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), identity::provider());
            // Whoever has a token needs no certificate.
            let verifier = match options.api_token_file {
                Some(_) => verifier.allow_unauthenticated(),
                None => verifier,
            };
            builder.with_client_cert_verifier(
                verifier.build().map_err(|error| content(path, error.to_string()))?,
            )
        }
    };
    let mut config = match (&options.api_tls_cert_file, &options.api_tls_key_file) {
        (Some(chain), Some(key)) => builder.with_cert_resolver(Arc::new(from_files(chain, key)?)),
        _ => builder.with_cert_resolver(Arc::new(Own(Arc::clone(own)))),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

fn from_files(chain: &Path, key: &Path) -> Result<SingleCertAndKey, ApiFileError> {
    let bytes = read(key, Secrecy::Secret)?;
    let read = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| content(key, "no private key in PEM (PKCS#8, PKCS#1 or SEC1)".into()))?;
    let certified = CertifiedKey::from_der(certificates(chain)?, read, &identity::provider());
    let certified =
        certified.map_err(|error| content(chain, format!("with the key in {}: {error}", key.display())))?;
    Ok(SingleCertAndKey::from(certified))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ApiFileError> {
    let bytes = read(path, Secrecy::Public)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(content(path, "no certificates in PEM".into())),
    }
}

fn content(path: &Path, told: String) -> ApiFileError {
    ApiFileError::Content { path: path.into(), at: String::new(), told }
}

/// The plane's own certificate; none before it has one, so that handshakes fail.
struct Own(OwnCertificate);

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get()?.resolve(hello)
    }
}

/// Who shows a certificate that the handshake has found good, and how long it is: its common name is the user, its
/// organization the role; of several the highest.
pub(crate) fn introduce(certificate: &CertificateDer<'_>) -> (Introduction, SystemTime) {
    let Ok((_, read)) = X509Certificate::from_der(certificate) else {
        return (stranger("a client certificate", "send one that can be read"), UNIX_EPOCH);
    };
    let ends = u64::try_from(read.validity().not_after.timestamp()).unwrap_or_default();
    let ends = UNIX_EPOCH + Duration::from_secs(ends);
    let mut names = read.subject().iter_common_name().map(|name| name.as_str().unwrap_or_default());
    let user = match (names.next(), names.next()) {
        (Some(name), None) if !name.is_empty() && name.len() <= USER_BYTES_MAX => name,
        _ => {
            return (
                stranger("a client certificate without one common name", "its CN must be the user"),
                ends,
            );
        }
    };
    let organizations = read.subject().iter_organization();
    let role = organizations.filter_map(|name| name.as_str().ok()?.parse::<ApiRole>().ok()).max();
    let introduction = match role {
        Some(role) => Introduction::Caller(ApiCaller { user: user.into(), role }),
        None => stranger(user, "the O of the client certificate must be view, edit or admin"),
    };
    (introduction, ends)
}

fn stranger(user: &str, advice: &str) -> Introduction {
    Introduction::Stranger { user: user.into(), advice: advice.into() }
}
