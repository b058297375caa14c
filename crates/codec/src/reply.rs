//! What a service answers to a request: a response, a reset, or a tunnel.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, Response};

use crate::{Body, Tunnel};

/// Runs a tunnel to its end; the server drives the future.
pub type TunnelRun = Box<dyn FnOnce(Tunnel) -> LocalBoxFuture<'static, ()>>;

/// What a service answers.
pub enum Reply {
    /// An ordinary response.
    Response(Response<Body>),
    /// Success of CONNECT (200), or of an HTTP/1 upgrade (101): from now on bytes.
    Tunnel {
        /// Fields of the successful answer (for an upgrade with `connection` and `upgrade`).
        headers: HeaderMap,
        /// Gets the bytes.
        run: TunnelRun,
    },
    /// No response: `RST_STREAM` in HTTP/2, the end of the connection in HTTP/1.
    Reset(ResetCode),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Response(response) => f.debug_tuple("Response").field(&response.status()).finish(),
            Reply::Tunnel { .. } => f.write_str("Tunnel"),
            Reply::Reset(code) => f.debug_tuple("Reset").field(code).finish(),
        }
    }
}

/// Why a stream ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCode {
    /// Nothing of the request was processed; any method may be tried elsewhere.
    RefusedStream,
    /// Nobody wants the rest.
    Cancel,
    /// Something failed here (or any other code from a peer).
    InternalError,
}
