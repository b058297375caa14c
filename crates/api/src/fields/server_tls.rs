//! Istio's `ServerTLSSettings`: how a server of a `Gateway` ends TLS, or does not.

use crate::decode::Ignored;
use serde::Deserialize;

/// `tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerTlsSpec {
    /// Whether plain HTTP is answered with a redirect to HTTPS.
    pub https_redirect: Option<bool>,
    /// Absent: `SIMPLE`, if there is anything but a redirect.
    pub mode: Option<ServerTlsMode>,
    /// File of the certificate chain.
    pub server_certificate: Option<String>,
    /// File of its key.
    pub private_key: Option<String>,
    /// File of the roots of client certificates.
    pub ca_certificates: Option<String>,
    /// Ignored, with a warning.
    pub ca_crl: Option<Ignored>,
    /// The same in several key types.
    pub tls_certificates: Vec<TlsCertificateSpec>,
    /// Secret of certificate and key, and of the roots as well if its name ends so.
    pub credential_name: Option<String>,
    /// The same in several key types.
    pub credential_names: Vec<String>,
    /// Secret or ConfigMap of the roots of client certificates.
    pub ca_cert_credential_name: Option<String>,
    /// Ignored, with a warning.
    pub subject_alt_names: Option<Ignored>,
    /// Ignored, with a warning.
    pub verify_certificate_spki: Option<Ignored>,
    /// Ignored, with a warning.
    pub verify_certificate_hash: Option<Ignored>,
    /// Absent: 1.2.
    pub min_protocol_version: Option<TlsVersionSpec>,
    /// Absent: 1.3.
    pub max_protocol_version: Option<TlsVersionSpec>,
    /// Ignored, with a warning.
    pub cipher_suites: Option<Ignored>,
    /// Ignored, with a warning.
    pub insecure_skip_verify: Option<Ignored>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `tlsCertificates[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct TlsCertificateSpec {
    pub server_certificate: Option<String>,
    pub private_key: Option<String>,
    pub ca_certificates: Option<String>,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServerTlsMode {
    /// Forwarded as it is, by server name.
    Passthrough,
    /// Ended here.
    Simple,
    /// Ended here, with a certificate of the client.
    Mutual,
    /// Forwarded as it is, to the service that the server name spells out.
    AutoPassthrough,
    /// Ended here, with the mesh's own certificates.
    IstioMutual,
    /// Ended here; a client may show a certificate.
    OptionalMutual,
}

/// `minProtocolVersion`, `maxProtocolVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TlsVersionSpec {
    /// What is best.
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// TLS 1.0.
    #[serde(rename = "TLSV1_0")]
    V1_0,
    /// TLS 1.1.
    #[serde(rename = "TLSV1_1")]
    V1_1,
    /// TLS 1.2.
    #[serde(rename = "TLSV1_2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSV1_3")]
    V1_3,
}
