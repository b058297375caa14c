//! What a handshake with a caller from outside has shown, or why there was none.

use super::client_certificate::ClientCertificate;
use super::listener::ListenerId;
use model::Reason;
use std::error::Error;

/// What TLS with a caller from outside has shown.
#[derive(Debug)]
pub(crate) struct EdgeTls {
    /// Where it came in.
    pub(crate) listener: ListenerId,
    /// The name that it wanted, in lower case.
    pub(crate) server_name: Option<String>,
    /// Envoy's word, `TLSv1.3`; `None`: nothing was decrypted here.
    pub(crate) version: Option<&'static str>,
    /// OpenSSL's name, as Envoy logs it.
    pub(crate) cipher: Option<&'static str>,
    /// What the caller showed.
    pub(crate) client: Option<ClientCertificate>,
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct TlsRefusal {
    /// For metrics and log.
    pub(crate) reason: Reason,
    /// The name that the caller wanted, as far as known.
    pub(crate) server_name: Option<String>,
    what: &'static str,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl TlsRefusal {
    pub(super) fn new(reason: Reason, server_name: Option<String>, what: &'static str) -> Self {
        Self { reason, server_name, what, cause: None }
    }

    pub(super) fn because(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }
}
