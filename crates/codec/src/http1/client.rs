//! Sending requests over one HTTP/1.1 connection: who sends writes the request and reads its response in its own task,
//! who reads the body of a response reads it from the connection. Nothing goes through a channel.

mod line; // what sender, reader and watcher share
mod upload; // the request out
mod watch; // for what nobody else is there

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use http::{Method, Request, Response, StatusCode};

use super::parse::{Framing, HeadFault, HeadLimits, ResponseHead, parse_response};
use super::spare;
use super::write::{Persistence, put_request};
use crate::options::{HEADERS_MAX, READ_BYTES_MAX};
use crate::{Body, InterimSink, Io, SendError, SendErrorKind, Tunnel, Upgrade, Violation};
use line::{ClientLine, ClientStage, Upload};
use upload::{UploadFault, poll_upload};

/// What is taken of a response's head.
const LIMITS: HeadLimits = HeadLimits { bytes: READ_BYTES_MAX, fields: HEADERS_MAX };

/// Sends requests over one HTTP/1.1 connection, one at a time.
///
/// Dropping it closes the connection once the exchange at hand has ended.
pub struct Http1Sender {
    line: Rc<ClientLine>,
}

/// Starts HTTP/1.1 on `io`. The future watches the connection and must be polled (spawned) by the caller.
///
/// # Errors
/// None so far.
#[allow(clippy::unused_async, reason = "as for HTTP/2, which has to say something first")]
pub async fn connect<I: Io>(io: I) -> Result<(Http1Sender, impl Future<Output = ()>), SendError> {
    let line = ClientLine::new(Box::new(io));
    let watching = watch::watch(Rc::clone(&line));
    Ok((Http1Sender { line }, watching))
}

impl Http1Sender {
    /// Sends one request at once; the future waits for the head of its response. The target is written in origin
    /// form, `host` is filled in from the target if it is missing, and [`Upgrade`] is asked for where the request has
    /// it. A response that changes the protocol (101, or 2xx to CONNECT) has a tunnel for its body.
    ///
    /// Dropping the future closes the connection, for HTTP/1 cannot take a request back.
    ///
    /// # Errors
    /// `NotSent` (with the request) if the connection was busy or had ended, `Protocol` if the response makes no
    /// sense (its framing has two readings, for one), `HeadTooLarge` if its head is, `BodyFailed` if the body of the
    /// request does, `Silent` if the kernel gave the peer up, else `Closed`.
    pub fn send(
        &mut self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, SendError>> {
        self.send_with_interims(request, &())
    }

    /// The same, and tells `interims` of interim responses.
    ///
    /// # Errors
    /// As [`Http1Sender::send`].
    pub fn send_with_interims<'a>(
        &'a mut self,
        request: Request<Body>,
        interims: &'a dyn InterimSink,
    ) -> impl Future<Output = Result<Response<Body>, SendError>> + use<'a> {
        let line = &*self.line;
        // What has come meanwhile is seen here, before anything is written.
        line.0.borrow_mut().poll_watch(&mut Context::from_waker(Waker::noop()));
        if !self.is_ready() {
            let refused = SendState::Refused(SendError::not_sent(request, "connection is busy or closed"));
            let asked = Outstanding::default();
            return Sending { line: &self.line, upload: None, asked, interims, state: refused };
        }
        let (parts, body) = request.into_parts();
        let asked = Outstanding {
            is_head: parts.method == Method::HEAD,
            is_connect: parts.method == Method::CONNECT,
            may_change: parts.method == Method::CONNECT || parts.extensions.get::<Upgrade>().is_some(),
        };
        let mut state = line.0.borrow_mut();
        let (encoder, persistence) = put_request(&parts, &body, &mut state.wire.output);
        state.begin(persistence == Persistence::Kept);
        spare::give_back_map(parts.headers);
        let upload = Some(Upload { body, encoder });
        Sending { line: &self.line, upload, asked, interims, state: SendState::Asking }
    }

    /// Whether the last exchange ended cleanly in both directions, so that the next request may be sent.
    pub fn is_ready(&self) -> bool {
        self.line.0.borrow().stage == ClientStage::Idle
    }

    /// Whether the connection ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.line.0.borrow().stage, ClientStage::Closed | ClientStage::Tunnel)
    }

    /// Polls for [`Http1Sender::ready`].
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if self.is_closed() {
            return Poll::Ready(Err(SendError::new(SendErrorKind::NotSent, "connection closed")));
        }
        if self.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.line.0.borrow_mut().set_waiting(cx.waker());
        Poll::Pending
    }

    /// Waits until the connection may carry another request: the response was read to its end, the request was
    /// written to its end, and no byte was left over. Fails if that will never be.
    ///
    /// # Errors
    /// `NotSent` if the connection ended.
    pub async fn ready(&mut self) -> Result<(), SendError> {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await
    }
}

impl Drop for Http1Sender {
    fn drop(&mut self) {
        self.line.0.borrow_mut().abandon();
    }
}

/// What the meaning of a response depends on.
#[derive(Clone, Copy, Debug, Default)]
struct Outstanding {
    /// Whatever the head of the response says, it has no body.
    is_head: bool,
    /// What follows success is no body.
    is_connect: bool,
    /// The connection may become another protocol's.
    may_change: bool,
}

/// Writes a request, and waits for the head of its response.
struct Sending<'a> {
    line: &'a Rc<ClientLine>,
    /// What is not written yet.
    upload: Option<Upload>,
    asked: Outstanding,
    interims: &'a dyn InterimSink,
    state: SendState,
}

enum SendState {
    /// Nothing was written.
    Refused(SendError),
    Asking,
    Done,
}

impl Future for Sending<'_> {
    type Output = Result<Response<Body>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sending = &mut *self;
        match std::mem::replace(&mut sending.state, SendState::Done) {
            SendState::Refused(error) => return Poll::Ready(Err(error)),
            SendState::Asking => {}
            SendState::Done => return Poll::Pending,
        }
        let polled = sending.poll_exchange(cx);
        match &polled {
            Poll::Pending => sending.state = SendState::Asking,
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(_)) => sending.line.close(),
        }
        polled
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let SendState::Asking = self.state {
            self.line.close();
        }
    }
}

impl Sending<'_> {
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, SendError>> {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(written) = poll_upload(self.line, upload, cx)
        {
            self.upload = None;
            match written {
                Ok(()) => self.line.0.borrow_mut().end_upload(),
                Err(UploadFault::Io(error)) => self.line.0.borrow_mut().fall_deaf(&error),
                Err(fault) => return Poll::Ready(Err(SendError::new(SendErrorKind::BodyFailed, fault))),
            }
        }
        let head = ready!(self.poll_head(cx))?;
        Poll::Ready(self.respond(head))
    }

    /// The head of the response, behind all interim ones.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, SendError>> {
        let mut state = self.line.0.borrow_mut();
        loop {
            match parse_response(&mut state.wire.input, LIMITS) {
                Ok(Some(head)) if is_interim(head.status) => {
                    let mut interim = Response::new(());
                    *interim.status_mut() = head.status;
                    *interim.headers_mut() = head.headers;
                    drop(state);
                    self.interims.interim(interim);
                    state = self.line.0.borrow_mut();
                }
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {
                    let read = ready!(state.wire.poll_fill(cx)).map_err(closed)?;
                    if read == 0 {
                        return Poll::Ready(Err(closed(state.end_cause())));
                    }
                }
                Err(unfit) => return Poll::Ready(Err(unfit_error(unfit))),
            }
        }
    }

    fn respond(&mut self, head: ResponseHead) -> Result<Response<Body>, SendError> {
        let Outstanding { is_head, is_connect, may_change } = self.asked;
        let status = head.status;
        let changes = status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && status.is_success());
        if changes && !may_change {
            return Err(protocol("change of protocol that nobody asked for"));
        }
        if changes {
            return self.change(head);
        }
        let upload = self.upload.take();
        if upload.is_some() {
            let mut state = self.line.0.borrow_mut();
            state.upload = upload;
            state.wake_watcher();
        }
        let is_bodiless = is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let framing = if is_bodiless { Framing::Empty } else { head.framing };
        Ok(self.line.response(head, framing))
    }

    /// What comes behind this response is no message any more, and the connection is whose it is.
    #[cold]
    fn change(&mut self, head: ResponseHead) -> Result<Response<Body>, SendError> {
        if self.upload.is_some() {
            return Err(protocol("change of protocol in the middle of a request"));
        }
        let mut state = self.line.0.borrow_mut();
        state.stage = ClientStage::Tunnel;
        state.wake_watcher();
        let (early, io) = state.wire.take().ok_or_else(|| protocol("connection closed"))?;
        drop(state);
        let response = self.line.response(head, Framing::Empty);
        Ok(response.map(|_| Body::tunnel(Tunnel::io(early, io))))
    }
}

/// Whether another head follows for the same request.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn protocol(complaint: &'static str) -> SendError {
    SendError::new(SendErrorKind::Protocol, complaint)
}

fn unfit_error(unfit: HeadFault) -> SendError {
    let complaint = match unfit {
        HeadFault::TooLarge | HeadFault::TargetTooLong => {
            return SendError::new(SendErrorKind::HeadTooLarge, "head of a response too large");
        }
        HeadFault::Broken(Violation::BothLengths) => "response with content-length and transfer-encoding",
        HeadFault::Broken(Violation::ContentLength) => "response with a repeated or odd content-length",
        HeadFault::Broken(Violation::TransferEncoding) => {
            "response with a transfer-encoding other than chunked"
        }
        HeadFault::Broken(Violation::OldVersion) => "HTTP/1.0 response with transfer-encoding",
        HeadFault::Broken(_) => "response that is none, or that others may read in another way",
    };
    protocol(complaint)
}

/// The connection ended; or the kernel gave the peer up.
fn closed(cause: io::Error) -> SendError {
    let is_silent = cause.kind() == io::ErrorKind::TimedOut;
    SendError::new(if is_silent { SendErrorKind::Silent } else { SendErrorKind::Closed }, cause)
}
