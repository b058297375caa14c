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
        Self { code, message: status.message().to_owned() }
    }
}
