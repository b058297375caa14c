//! TLS to endpoints that are not of the mesh ("TLS origination"): whom a proxy believes there, and what it shows of
//! itself. Mutual TLS of the mesh is none of this. What is meant by whom is said by `TrafficPolicy` of `traffic`.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How connections to the plain endpoints of a service are secured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum BackendTls {
    /// Not at all, whatever a wider policy says.
    Disable,
    /// By TLS.
    Originate(Box<TlsOrigination>),
    /// What is meant cannot be done, for this reason: no connection is made.
    Unusable(Arc<str>),
}

/// TLS that a proxy begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsOrigination {
    /// What is asked for by SNI; `None`: the name of the service.
    pub server_name: Option<Arc<str>>,
    /// One of these must stand in the certificate; empty: the server name.
    pub subject_alt_names: Vec<SubjectAltName>,
    /// Who must have signed it.
    pub authorities: Authorities,
    /// What is shown, where the server asks for it.
    pub client_certificate: Option<CertificateFiles>,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SubjectAltName {
    /// A DNS name, which a wildcard in the certificate may stand for, or an IP address.
    Hostname(Arc<str>),
    /// A URI, as of a SPIFFE ID: the same to the letter.
    Uri(Arc<str>),
}

impl SubjectAltName {
    /// As Istio's `subjectAltNames` have it, which say no type: what has a scheme is a URI.
    pub fn of(text: &str) -> Self {
        match text.contains("://") {
            true => Self::Uri(text.into()),
            false => Self::Hostname(text.into()),
        }
    }
}

/// Whom certificates are believed that they signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Authorities {
    /// Those that the proxy's host trusts.
    System,
    /// These, in PEM.
    Pem(Arc<str>),
    /// Those in this file of the proxy's host.
    File(Arc<str>),
    /// Anybody: neither signer nor name is checked (`insecureSkipVerify`).
    Unchecked,
}

/// A certificate with its key, as files of the proxy's host. The proxy alone reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateFiles {
    /// The chain, leaf first, in PEM.
    pub certificate: Arc<str>,
    /// The key, in PEM.
    pub private_key: Arc<str>,
}
