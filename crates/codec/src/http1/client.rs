use crate::{Body, Io, SendError, SendErrorKind, Tunnel};
use http::{Request, Response};
use std::future::Future;
use std::task::{Context, Poll};

/// Sends requests over one HTTP/1.1 connection, one at a time.
pub struct Sender(());

/// Starts HTTP/1.1 on `io`. The future drives the connection and must be polled (spawned) by the caller.
///
/// # Errors
/// `NotSent` if the connection cannot be set up.
pub async fn connect<I: Io>(io: I) -> Result<(Sender, impl Future<Output = ()>), SendError> {
    let _ = io;
    Ok((Sender(()), async {}))
}

impl Sender {
    /// Sends one request and waits for the head of its response.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        Err(SendError::not_sent(request, "not built yet"))
    }
    /// Whether the last exchange ended cleanly in both directions, so that the next request may be sent.
    pub fn is_ready(&self) -> bool {
        false
    }
    /// Whether the connection ended.
    pub fn is_closed(&self) -> bool {
        true
    }
    /// Polls for [`Sender::ready`].
    pub fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Poll::Pending
    }
    /// Waits until the connection may carry another request; fails if it never will.
    pub async fn ready(&mut self) -> Result<(), SendError> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await
    }
    /// After a response with status 101 (or 2xx to CONNECT): the bytes behind it.
    pub async fn into_tunnel(self) -> Result<Tunnel, SendError> {
        Err(SendError::new(SendErrorKind::Closed, "not built yet"))
    }
}
