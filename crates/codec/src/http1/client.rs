//! Sending requests over one HTTP/1.1 connection.

use std::cell::Cell;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::answers::{Answers, Asked};
use crate::options::READ_BYTES_MAX;
use crate::{Body, Io, SendError, SendErrorKind, Tunnel};

/// Sends requests over one HTTP/1.1 connection, one at a time.
///
/// Dropping it closes the connection once the exchange at hand has ended.
pub struct Http1Sender {
    requests: SendRequest<Body>,
    /// Tells the connection to hand its stream over instead of closing it.
    may_tunnel: Rc<Cell<bool>>,
    tunnel: oneshot::Receiver<Tunnel>,
    asked: Rc<Cell<Asked>>,
    /// After a response with two readings: what comes next could be a part of it.
    is_spoiled: bool,
}

/// Starts HTTP/1.1 on `io`. The future drives the connection and must be polled (spawned) by the caller.
///
/// # Errors
/// `NotSent` if the connection cannot be set up.
pub async fn connect<I: Io>(io: I) -> Result<(Http1Sender, impl Future<Output = ()>), SendError> {
    let asked = Rc::<Cell<Asked>>::default();
    let (requests, connection) = Builder::new()
        .max_buf_size(READ_BYTES_MAX)
        .handshake(TokioIo::new(Answers::new(io, Rc::clone(&asked))))
        .await
        .map_err(|cause| SendError::new(SendErrorKind::NotSent, cause))?;
    let may_tunnel = Rc::new(Cell::new(false));
    let (handover, tunnel) = oneshot::channel();
    let driver = drive(connection, Rc::clone(&may_tunnel), handover);
    Ok((Http1Sender { requests, may_tunnel, tunnel, asked, is_spoiled: false }, driver))
}

async fn drive<I: Io>(
    mut connection: Connection<TokioIo<Answers<I>>, Body>,
    may_tunnel: Rc<Cell<bool>>,
    handover: oneshot::Sender<Tunnel>,
) {
    let ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    if let Err(cause) = &ended {
        // Whoever waits for a response was told.
        tracing::trace!(%cause, "upstream connection ended");
    }
    let parts = connection.into_parts();
    let mut io = parts.io.into_inner().into_inner();
    if ended.is_ok() && may_tunnel.get() {
        // Gone if nobody wants it any more.
        let _ = handover.send(Tunnel::io(parts.read_buf, Box::new(io)));
    } else {
        let _ = io.shutdown().await;
    }
}

impl Http1Sender {
    /// Sends one request at once; the future waits for the head of its response. The target is written in origin
    /// form, `host` is filled in from the target if it is missing.
    ///
    /// Dropping the future closes the connection, for HTTP/1 cannot take a request back.
    ///
    /// # Errors
    /// `NotSent` (with the request) if the connection was busy or had ended, `Protocol` if the response makes no
    /// sense (its framing has two readings, for one), `HeadTooLarge` if its head is, else `Closed`.
    pub fn send(
        &mut self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, SendError>> {
        prepare(&mut request);
        let method = request.method();
        self.asked.set(Asked { is_head: method == Method::HEAD, is_connect: method == Method::CONNECT });
        let may_tunnel = method == Method::CONNECT || request.headers().contains_key(UPGRADE);
        self.may_tunnel.set(may_tunnel);
        // Not in the future, which would hold a copy of the request for each of its states.
        let sent = self.requests.try_send_request(request);
        let is_spoiled = &mut self.is_spoiled;
        async move {
            match sent.await {
                Ok(response) => {
                    *is_spoiled = true;
                    check_head(&response, may_tunnel)?;
                    *is_spoiled = false;
                    Ok(response.map(Body::hyper))
                }
                Err(mut refused) => Err(match refused.take_message() {
                    Some(request) => SendError::not_sent(request, refused.into_error()),
                    None => map_error(refused.into_error()),
                }),
            }
        }
    }

    /// Whether the last exchange ended cleanly in both directions, so that the next request may be sent.
    pub fn is_ready(&self) -> bool {
        self.requests.is_ready() && !self.is_closed()
    }

    /// Whether the connection ended.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed() || self.is_spoiled
    }

    /// Polls for [`Http1Sender::ready`].
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.is_spoiled {
            return Poll::Ready(Err(SendError::new(SendErrorKind::NotSent, "connection is spoiled")));
        }
        self.requests.poll_ready(cx).map_err(|cause| SendError::new(SendErrorKind::NotSent, cause))
    }

    /// Waits until the connection may carry another request: the response was read to its end, the request was
    /// written to its end, and no byte was left over. Fails if that will never be.
    ///
    /// # Errors
    /// `NotSent` if the connection ended.
    pub async fn ready(&mut self) -> Result<(), SendError> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// After a response with status 101 (or 2xx to CONNECT): the bytes behind it.
    ///
    /// # Errors
    /// `Protocol` if the connection did not change its protocol.
    pub async fn into_tunnel(self) -> Result<Tunnel, SendError> {
        drop(self.requests);
        self.tunnel.await.map_err(|cause| SendError::new(SendErrorKind::Protocol, cause))
    }
}

fn prepare(request: &mut Request<Body>) {
    *request.version_mut() = Version::HTTP_11;
    if let Some(authority) = request.uri().authority() {
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            request.headers_mut().insert(HOST, host);
        }
        if request.method() != Method::CONNECT {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        }
    }
}

/// Refuses what hyper reads in one of several ways: somebody else would read it in another.
fn check_head<B>(response: &Response<B>, may_tunnel: bool) -> Result<(), SendError> {
    let headers = response.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let has_other_coding = coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let complaint = if coding.is_some() && headers.contains_key(CONTENT_LENGTH) {
        "response with content-length and transfer-encoding"
    } else if codings.next().is_some() || has_other_coding {
        "response with a transfer-encoding other than chunked"
    } else if coding.is_some() && response.version() != Version::HTTP_11 {
        "HTTP/1.0 response with transfer-encoding"
    } else if !crate::body::has_one_length(headers) {
        "response with a repeated or odd content-length"
    } else if response.status() == StatusCode::SWITCHING_PROTOCOLS && !may_tunnel {
        "change of protocol that nobody asked for"
    } else {
        return Ok(());
    };
    Err(SendError::new(SendErrorKind::Protocol, complaint))
}

fn map_error(cause: hyper::Error) -> SendError {
    let kind = if cause.is_parse_too_large() {
        SendErrorKind::HeadTooLarge
    } else if cause.is_parse() {
        SendErrorKind::Protocol
    } else if has_timed_out(&cause) {
        SendErrorKind::Silent
    } else {
        SendErrorKind::Closed
    };
    SendError::new(kind, cause)
}

/// Whether the kernel gave the peer up.
fn has_timed_out(cause: &hyper::Error) -> bool {
    let io = cause.source().and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
}
