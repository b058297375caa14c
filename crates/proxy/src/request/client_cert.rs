//! `x-forwarded-client-cert` as a field of a head: taken out, and made of what a caller has shown. What it says, and who
//! gets one, is decided by `decide::client_cert`.

use crate::edge_tls::client_certificate::{ClientCertificate, ClientValidity};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use decide::client_cert::{CertificateFacts, element};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use model::SpiffeId;
use model::client_traffic::ClientCertDetail;
use rustls::pki_types::CertificateDer;

/// What is said of a caller's certificate.
pub(crate) const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// What Istio tells of callers of the mesh.
const OF_PEERS: [ClientCertDetail; 3] =
    [ClientCertDetail::Subject, ClientCertDetail::Uri, ClientCertDetail::Dns];
/// Letters of a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

/// Takes out what came; several lines are one list.
pub(crate) fn take_client_cert(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(X_FORWARDED_CLIENT_CERT).iter();
    let first = lines.next()?.clone();
    let mut all = first.as_bytes().to_vec();
    let mut is_list = false;
    for line in lines {
        is_list = true;
        all.push(b',');
        all.extend_from_slice(line.as_bytes());
    }
    headers.remove(X_FORWARDED_CLIENT_CERT);
    if is_list { HeaderValue::from_maybe_shared(Bytes::from(all)).ok() } else { Some(first) }
}

/// What an application is told of a caller of the mesh, whose certificate has no subject and no names but its identity.
pub(crate) fn client_cert_of_peer(
    own: Option<&SpiffeId>,
    peer: &SpiffeId,
    sha256: &str,
) -> Option<HeaderValue> {
    let (by, uris) = (own.map(SpiffeId::to_string), [peer.to_string()]);
    let facts = CertificateFacts { by: by.as_deref(), sha256, uris: &uris, ..CertificateFacts::default() };
    value(element(&OF_PEERS, &facts))
}

/// What an application is told of a caller from outside; nothing where nobody vouches for its certificate.
pub(super) fn client_cert_of_caller(
    details: &[ClientCertDetail],
    certificate: &ClientCertificate,
) -> Option<HeaderValue> {
    if certificate.validity != ClientValidity::Valid {
        return None;
    }
    let wants = |detail| details.contains(&detail);
    let all = |is_wanted: bool, count: usize| {
        let shown = certificate.chain.iter().take(if is_wanted { count } else { 0 });
        shown.map(pem).collect::<String>()
    };
    let facts = CertificateFacts {
        by: None,
        sha256: &certificate.sha256,
        pem: &all(wants(ClientCertDetail::Cert), 1),
        chain_pem: &all(wants(ClientCertDetail::Chain), usize::MAX),
        subject: &certificate.names.subject,
        uris: &certificate.names.uris,
        dns: &certificate.names.dns,
    };
    value(element(details, &facts))
}

fn value(text: String) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}
