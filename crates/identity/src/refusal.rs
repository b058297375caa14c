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

/// Whether a connection broke because the peer refused our certificate, so that nothing which we had sent was
/// looked at. In TLS 1.3 a client's handshake ends before the server judges the certificate (RFC 8446 section
/// 4.4.2 and figure 1), so this comes as the failure of a read.
pub fn is_refused(error: &io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::AlertReceived(alert)) = tls else { return false };
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::HandshakeFailure
    )
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
