//! Why a handshake failed, in the words of `model::Reason`.

use model::Reason;
use rustls::{CertificateError, OtherError};
use std::error::Error;
use std::io;
use std::sync::Arc;

/// Our verifier's refusal; travels inside `rustls::Error`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// For metrics and the access log.
    pub reason: Reason,
    /// What exactly was wrong.
    pub text: String,
}

impl Refused {
    pub(crate) fn tls(reason: Reason, text: String) -> rustls::Error {
        let refused = Arc::new(Self { reason, text });
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(refused)))
    }
}

/// The reason behind a failed handshake; takes the `io::Error` of an asynchronous handshake as well as a
/// `rustls::Error`. What is not about the peer's certificate is [`Reason::PeerHandshake`].
pub fn refusal(error: &(dyn Error + 'static)) -> Reason {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return of_tls(tls);
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => refusal(inner),
        None => Reason::PeerHandshake,
    }
}

fn of_tls(error: &rustls::Error) -> Reason {
    match error {
        rustls::Error::NoCertificatesPresented => Reason::NoPeerCertificate,
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            inner.downcast_ref::<Refused>().map_or(Reason::PeerUntrusted, |refused| refused.reason)
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Reason::PeerExpired,
        rustls::Error::InvalidCertificate(_) => Reason::PeerUntrusted,
        _ => Reason::PeerHandshake,
    }
}
