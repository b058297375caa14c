use crate::{Body, ClientOptions, Io, SendError, SendErrorKind, Tunnel};
use http::{HeaderMap, Request, Response};
use std::future::Future;

/// Opens streams on one HTTP/2 connection; cheap to clone.
#[derive(Clone)]
pub struct Sender(());

/// Starts HTTP/2 on `io`. The future drives the connection and its bodies; the caller must poll (spawn) it.
///
/// # Errors
/// `NotSent` if the connection cannot be set up.
pub async fn connect<I: Io>(
    io: I,
    options: &ClientOptions,
) -> Result<(Sender, impl Future<Output = ()> + use<I>), SendError> {
    let _ = (io, options);
    Ok((Sender(()), async {}))
}

impl Sender {
    /// Sends a request on a new stream and waits for the head of its response. `:authority` is the `host` field,
    /// or the authority of the target.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        Err(SendError::not_sent(request, "not built yet"))
    }
    /// Opens a tunnel with CONNECT.
    pub async fn tunnel(&self, authority: &str, headers: HeaderMap) -> Result<Tunnel, SendError> {
        let _ = (authority, headers);
        Err(SendError::new(SendErrorKind::NotSent, "not built yet"))
    }
    /// Streams open now: until their response body is read or dropped.
    pub fn active_streams(&self) -> usize {
        0
    }
    /// Streams that the peer allows at once.
    pub fn max_streams(&self) -> usize {
        0
    }
    /// Whether no new stream can be opened: the connection ended or the peer sent GOAWAY.
    pub fn is_closed(&self) -> bool {
        true
    }
}
