//! How calls and streams fail, without tonic's types.

/// The gRPC codes that we use; the numbers are gRPC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The caller gave up.
    Cancelled = 1,
    /// No better code.
    Unknown = 2,
    /// The request makes no sense.
    InvalidArgument = 3,
    /// Too late.
    DeadlineExceeded = 4,
    /// No such thing.
    NotFound = 5,
    /// Known, but not allowed.
    PermissionDenied = 7,
    /// A limit was reached.
    ResourceExhausted = 8,
    /// Not now, and not by repeating.
    FailedPrecondition = 9,
    /// No such call here.
    Unimplemented = 12,
    /// A defect.
    Internal = 13,
    /// Not reachable or going away: try again.
    Unavailable = 14,
    /// No or no good certificate or token.
    Unauthenticated = 16,
}

/// A failed call or stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// What kind of failure.
    pub code: Code,
    /// For people; lower case, no full stop.
    pub message: String,
}

impl Status {
    /// Puts both together.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Status> for tonic::Status {
    fn from(status: Status) -> Self {
        tonic::Status::new(tonic::Code::from_i32(status.code as i32), status.message)
    }
}

impl From<tonic::Status> for Status {
    fn from(status: tonic::Status) -> Self {
        let code = match status.code() {
            tonic::Code::Cancelled => Code::Cancelled,
            tonic::Code::InvalidArgument => Code::InvalidArgument,
            tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
            tonic::Code::NotFound => Code::NotFound,
            tonic::Code::PermissionDenied => Code::PermissionDenied,
            tonic::Code::ResourceExhausted => Code::ResourceExhausted,
            tonic::Code::FailedPrecondition => Code::FailedPrecondition,
            tonic::Code::Unimplemented => Code::Unimplemented,
            tonic::Code::Internal => Code::Internal,
            tonic::Code::Unavailable => Code::Unavailable,
            tonic::Code::Unauthenticated => Code::Unauthenticated,
            _ => Code::Unknown,
        };
        let mut message = status.message().to_owned();
        if is_clock_alert(&status) {
            message.push_str(CLOCK_HINT);
        }
        Self { code, message }
    }
}

/// Added where the other end said that our certificate has expired or is not valid yet (both are one alert in
/// RFC 8446 section 6.2).
pub(crate) const CLOCK_HINT: &str = ": to the other end our certificate has expired or is not valid yet; look at its renewal, and check the clocks of both hosts (NTP)";

/// Whether the other end refused our certificate for its validity; looks through all causes.
pub(crate) fn is_clock_alert(error: &(dyn std::error::Error + 'static)) -> bool {
    use tokio_rustls::rustls::{AlertDescription, Error};
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error hides what it wraps from `source`.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref::<Error>());
        if let Some(Error::AlertReceived(AlertDescription::CertificateExpired)) = tls {
            return true;
        }
        next = error.source();
    }
    false
}
