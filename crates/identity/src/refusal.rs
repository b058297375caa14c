//! Why a handshake failed, in the words of `model::Reason`.

use model::Reason;
use model::time::{rfc3339, span};
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, OtherError};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// A certificate outside its validity, with both times. Displayed with what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Which end of its validity it is beyond.
    pub bound: Bound,
    /// That end.
    pub at: SystemTime,
    /// What the clock of this host said.
    pub now: SystemTime,
}

/// The ends of a certificate's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Not yet valid.
    NotBefore,
    /// Expired.
    NotAfter,
}

impl Outside {
    /// How far it is outside: for one that is not valid yet the least that the two clocks differ by.
    pub fn by(&self) -> Duration {
        let (early, late) = if self.at <= self.now { (self.at, self.now) } else { (self.now, self.at) };
        late.duration_since(early).unwrap_or_default()
    }
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, now, by) = (rfc3339(self.at), rfc3339(self.now), span(self.by()));
        match self.bound {
            Bound::NotBefore => write!(
                f,
                "the certificate is valid from {at} on, and the clock of this host says {now}, {by} earlier; check the clocks of both hosts (NTP)"
            ),
            Bound::NotAfter => write!(
                f,
                "the certificate expired at {at}, and the clock of this host says {now}, {by} later; see at the peer why it was not renewed, and check the clocks of both hosts (NTP)"
            ),
        }
    }
}

/// Whether a handshake failed because a certificate is outside its validity; takes what [`refusal`] takes.
pub fn outside_validity(error: &(dyn Error + 'static)) -> Option<Outside> {
    let Some(tls) = error.downcast_ref::<rustls::Error>() else {
        return outside_validity(error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)?);
    };
    let time = |time: &UnixTime| UNIX_EPOCH + Duration::from_secs(time.as_secs());
    let (bound, at, now) = match tls {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => {
            (Bound::NotAfter, not_after, time)
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
            (Bound::NotBefore, not_before, time)
        }
        _ => return None,
    };
    Some(Outside { bound, at: time(at), now: time(now) })
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
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Reason::PeerExpired,
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Reason::PeerNotYetValid,
        rustls::Error::InvalidCertificate(_) => Reason::PeerUntrusted,
        _ => Reason::PeerHandshake,
    }
}
