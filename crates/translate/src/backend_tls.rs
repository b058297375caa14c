//! What documents say of TLS to endpoints outside the mesh, as the model has it.

use api::fields::client_tls::{TlsOriginationMode, TlsOriginationSpec};
use model::backend_tls::{Authorities, BackendTls, CertificateFiles, SubjectAltName, TlsOrigination};

/// Istio's form. `None`: nothing is said of endpoints outside the mesh.
pub(crate) fn of_client_tls(tls: &TlsOriginationSpec) -> Option<BackendTls> {
    let client_certificate = match tls.mode.unwrap_or(TlsOriginationMode::Disable) {
        TlsOriginationMode::IstioMutual => return None,
        TlsOriginationMode::Disable => return Some(BackendTls::Disable),
        TlsOriginationMode::Simple => None,
        TlsOriginationMode::Mutual => match (&tls.client_certificate, &tls.private_key) {
            (Some(certificate), Some(key)) => Some(CertificateFiles {
                certificate: certificate.as_str().into(),
                private_key: key.as_str().into(),
            }),
            _ => return Some(BackendTls::Unusable("no certificate is named that is shown".into())),
        },
    };
    let authorities = match (&tls.ca_certificates, tls.ca_bundle()) {
        _ if tls.insecure_skip_verify == Some(true) => Authorities::Unchecked,
        (_, Some(bundle)) => Authorities::Pem(bundle.into()),
        (Some(path), None) => Authorities::File(path.as_str().into()),
        (None, None) => Authorities::System,
    };
    Some(BackendTls::Originate(Box::new(TlsOrigination {
        server_name: tls.sni.as_deref().map(Into::into),
        subject_alt_names: tls.subject_alt_names.iter().map(|name| SubjectAltName::of(name)).collect(),
        authorities,
        client_certificate,
    })))
}
