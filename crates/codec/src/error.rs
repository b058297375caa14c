//! Why serving a connection or sending a request failed, told truthfully enough to decide on a retry.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::{HeaderMap, Request};

use crate::Body;

/// A cause whose type is of no interest.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a failed attempt may have left behind at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendErrorKind {
    /// Nothing was written. `SendError::request` holds the request.
    NotSent,
    /// The peer's limit of streams was in use for too long: nothing was written.
    Full,
    /// The peer says that it processed nothing (`REFUSED_STREAM`, or a GOAWAY below this stream).
    Refused,
    /// The peer reset the stream; it may have processed the request.
    Reset,
    /// The connection ended; the peer may have processed the request.
    Closed,
    /// The body of the request broke off, and so we closed the connection; the peer may have processed the request.
    BodyFailed,
    /// The peer is there no more: it answered no PING, or the kernel gave it up; it may have processed the request.
    Silent,
    /// The peer broke the protocol; it may have processed the request.
    Protocol,
    /// The response's head is larger than we take (100 fields in HTTP/1, 64 KiB); the peer
    /// has processed the request.
    HeadTooLarge,
    /// A tunnel was answered with this status instead of 2xx (or 101).
    Status(u16),
}

/// A request that got no response.
pub struct SendError {
    /// What may have happened at the peer.
    pub kind: SendErrorKind,
    /// The untouched request, if nothing of it was written (`NotSent`).
    pub request: Option<Box<Request<Body>>>,
    /// Fields of the answer that came instead of a tunnel (`Status`).
    pub headers: Option<Box<HeaderMap>>,
    /// What the library said.
    pub cause: Option<BoxError>,
}

impl SendError {
    /// An error of `kind` with its cause.
    pub fn new(kind: SendErrorKind, cause: impl Into<BoxError>) -> Self {
        SendError { kind, request: None, headers: None, cause: Some(cause.into()) }
    }

    /// What the transport said when it broke, if it did (`Closed`): TLS tells here why the peer refused us.
    pub fn transport(&self) -> Option<&io::Error> {
        let cause = self.cause.as_ref()?;
        let shared = cause.downcast_ref::<Arc<io::Error>>().map(|broken| &**broken);
        shared.or_else(|| cause.downcast_ref())
    }

    pub(crate) fn not_sent(request: Request<Body>, cause: impl Into<BoxError>) -> Self {
        SendError {
            kind: SendErrorKind::NotSent,
            request: Some(Box::new(request)),
            headers: None,
            cause: Some(cause.into()),
        }
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("kind", &self.kind).field("cause", &self.cause).finish()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            SendErrorKind::NotSent => f.write_str("request not sent"),
            SendErrorKind::Full => f.write_str("no stream free at the peer"),
            SendErrorKind::Refused => f.write_str("request refused before it was processed"),
            SendErrorKind::Reset => f.write_str("stream reset by peer"),
            SendErrorKind::Closed => f.write_str("connection closed before the response"),
            SendErrorKind::BodyFailed => f.write_str("body of the request broke off"),
            SendErrorKind::Silent => f.write_str("peer fell silent before the response"),
            SendErrorKind::Protocol => f.write_str("peer broke the protocol"),
            SendErrorKind::HeadTooLarge => f.write_str("head of the response too large"),
            SendErrorKind::Status(status) => write!(f, "tunnel answered with status {status}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref() as &(dyn std::error::Error + 'static))
    }
}

/// Which rule of HTTP/1 framing a client broke; answered with 400 and the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// LF without CR, or CR without LF.
    LineEnd,
    /// Not `METHOD SP target SP HTTP/1.x`.
    RequestLine,
    /// No colon, blank before the colon, a folded line, or an underscore spelling of a framing header.
    HeaderLine,
    /// `Content-Length` repeated or not plain digits.
    ContentLength,
    /// `Transfer-Encoding` repeated or not exactly `chunked`.
    TransferEncoding,
    /// `Content-Length` and `Transfer-Encoding` in one message.
    BothLengths,
    /// `Transfer-Encoding` in HTTP/1.0.
    OldVersion,
    /// `Host` absent, repeated, or not a host.
    Host,
    /// A chunk's size line, extension, data or trailer.
    Chunk,
    /// The parser's own complaint: method, target, version or header characters.
    Syntax,
}

/// Which frames flooded an HTTP/2 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// `RST_STREAM` from the peer (rapid reset).
    Resets,
    /// Frames for which we had to reset their stream (made you reset).
    StreamErrors,
    /// `PING`.
    Pings,
    /// `SETTINGS`.
    Settings,
    /// `DATA`, `HEADERS` or `CONTINUATION` without content, or `DATA` with hardly any that nobody reads.
    EmptyFrames,
    /// `CONTINUATION` frames of one header block.
    Continuation,
    /// Bytes of one decoded header block.
    HeaderBytes,
    /// `WINDOW_UPDATE` out of proportion to what we send.
    WindowUpdates,
    /// `PRIORITY`.
    Priorities,
    /// Frames of unknown types, `PUSH_PROMISE` or `GOAWAY`.
    Others,
    /// Requests for whose heads there was no room.
    Refusals,
}

impl ServeError {
    /// The client ended its sending side and got no answer within `half_close_timeout`.
    pub(crate) fn left() -> Self {
        ServeError::Aborted("half-closed".into())
    }

    /// The client's socket took nothing for `write_timeout`.
    pub(crate) fn stuck() -> Self {
        ServeError::Io(Box::new(std::io::Error::from(std::io::ErrorKind::TimedOut)))
    }
}

/// Why a server connection ended other than by plan.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The head of a request, or the preface, took longer than `header_timeout`.
    #[error("request head not complete in time")]
    HeaderTimeout,
    /// Answered with 400.
    #[error("malformed request: {0:?}")]
    Malformed(Violation),
    /// Answered with 431 (414 for the target).
    #[error("request head too large")]
    HeadTooLarge,
    /// Cut with GOAWAY `ENHANCE_YOUR_CALM`.
    #[error("flood of frames: {0:?}")]
    Flood(Flood),
    /// The client went away in the middle of a message.
    #[error("client closed the connection in the middle of a message")]
    Aborted(#[source] BoxError),
    /// The peer broke HTTP/2; cut with GOAWAY.
    #[error("the peer broke the protocol")]
    Protocol(#[source] BoxError),
    /// The service ended the connection without an answer, or broke off its body.
    #[error("broken off by the service")]
    Service(#[source] BoxError),
    /// The transport failed.
    #[error("connection failed")]
    Io(#[source] BoxError),
}
