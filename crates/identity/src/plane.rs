//! What the command line believes of the server behind a plane's API: a certificate for the name that it was called by,
//! or that of a plane of the mesh, which names nobody but itself by a SPIFFE ID. Both from authorities that it was given.

use crate::leaf;
use crate::provider::provider;
use crate::verify::{CONTROL_ACCOUNT, Late, MANAGER_ACCOUNT, SYSTEM_NAMESPACE, Trust, Verifier, Wanted};
use arc_swap::ArcSwap;
use model::trust::TrustBundle;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// For a client of a plane's API that believes in `roots`, and shows a certificate if it has one.
///
/// # Errors
/// The roots are no certificate authorities, or the certificate and its key do not belong together.
pub fn plane_client_config(
    roots: Vec<CertificateDer<'static>>,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Arc<ClientConfig>, Error> {
    let mut store = RootCertStore::empty();
    for root in &roots {
        store.add(root.clone())?;
    }
    let by_name = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let verifier = PlaneVerifier { by_name, roots };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct PlaneVerifier {
    by_name: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
}

impl PlaneVerifier {
    /// Whether it is the certificate of a plane of the mesh whose root is among ours; `None`: of no plane.
    fn judge_plane(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<Result<(), Error>> {
        let id = leaf::read(leaf).ok()?.id;
        let is_plane = *id.namespace == *SYSTEM_NAMESPACE
            && [CONTROL_ACCOUNT, MANAGER_ACCOUNT].contains(&&*id.service_account);
        is_plane.then_some(())?;
        let roots = self.roots.iter().map(|root| root.to_vec()).collect();
        let bundle = TrustBundle { trust_domain: id.trust_domain, roots };
        let verifier = Verifier {
            trust: Arc::new(ArcSwap::from_pointee(Trust::new(vec![bundle]))),
            wanted: Wanted::Anyone,
            algorithms: provider().signature_verification_algorithms,
            mandatory: true,
            late: Late::Refused,
            watch: Arc::default(),
        };
        Some(verifier.verify_chain(leaf, others, now).map(drop))
    }
}

impl ServerCertVerifier for PlaneVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.judge_plane(leaf, others, now) {
            Some(judged) => judged.map(|()| ServerCertVerified::assertion()),
            None => self.by_name.verify_server_cert(leaf, others, name, ocsp, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_name.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_name.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_name.supported_verify_schemes()
    }
}
