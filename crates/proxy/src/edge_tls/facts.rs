//! What a handshake with a caller from outside has shown, or why there was none.

use super::client_certificate::ClientCertificate;
use super::listener::{ListenerId, TlsListener};
use model::Reason;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

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
    /// By what that was last found to be enough.
    pub(crate) found_good: FoundGood,
}

/// By what a connection was last found good, so that it is not judged anew before that changes.
#[derive(Default)]
pub(crate) struct FoundGood(RefCell<Option<(Arc<TlsListener>, u64)>>);

impl FoundGood {
    /// Whether it was by this listener, when authorities in files had changed so often.
    pub(super) fn is_by(&self, listener: &Arc<TlsListener>, authorities: u64) -> bool {
        let found = self.0.borrow();
        found.as_ref().is_some_and(|(by, at)| *at == authorities && Arc::ptr_eq(by, listener))
    }

    pub(super) fn set(&self, listener: &Arc<TlsListener>, authorities: u64) {
        *self.0.borrow_mut() = Some((Arc::clone(listener), authorities));
    }
}

impl fmt::Debug for FoundGood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.borrow().is_some() { "FoundGood" } else { "FoundGood(never)" })
    }
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
