//! Opening streams on one HTTP/2 connection.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::Notify;

use super::connection::{Multiplexer, RequestTarget, SharedMultiplexer};
use super::frame::ErrorCode;
use super::handle::{EndOnDrop, StreamHandle};
use super::keepalive::Keepalive;
use super::pump::{Pump, send_now};
use super::recv::{RecvBody, Unread};
use super::stall::Bounds;
use super::stream::{ConnectionLoss, Purpose, StreamError};
use super::transport::{Ending, Transport};
use super::tunnel::StreamIo;
use crate::{Body, BoxError, ClientOptions, InterimSink, Io, SendError, SendErrorKind, Tunnel, Upgrade};

/// How long the last words to a peer may take.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Opens streams on one HTTP/2 connection; cheap to clone. The connection ends when all clones and all streams
/// are gone.
#[derive(Clone)]
pub struct Http2Sender {
    shared: Rc<Senders>,
}

/// Bodies to send, on their way to the connection's task.
type Pumps = Rc<RefCell<Vec<Pump>>>;

/// What all clones of a sender share.
struct Senders {
    connection: SharedMultiplexer,
    pumps: Pumps,
    freed: Rc<Notify>,
    scheme: Scheme,
    stall_timeout: Duration,
    open_timeout: Duration,
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.connection.borrow_mut().abandon();
    }
}

/// Starts HTTP/2 on `io`. The future drives the connection and its bodies; the caller must poll (spawn) it.
///
/// # Errors
/// `NotSent` if the connection cannot be set up.
pub async fn connect<I: Io>(
    io: I,
    options: &ClientOptions,
) -> Result<(Http2Sender, impl Future<Output = ()> + use<I>), SendError> {
    let connection = Rc::new(RefCell::new(Multiplexer::client(options)));
    let pumps = Pumps::default();
    let freed = connection.borrow().freed();
    let sender = Http2Sender {
        shared: Rc::new(Senders {
            connection: Rc::clone(&connection),
            pumps: Rc::clone(&pumps),
            freed,
            scheme: options.scheme.clone(),
            stall_timeout: options.stall_timeout,
            open_timeout: options.open_timeout,
        }),
    };
    let keepalive = options.keepalive.map(Keepalive::new);
    Ok((sender, drive(Transport::new(io), connection, pumps, keepalive)))
}

async fn drive<I: Io>(
    mut transport: Transport<I>,
    connection: SharedMultiplexer,
    waiting: Pumps,
    mut keepalive: Option<Keepalive>,
) {
    let _driving = EndOnDrop(Rc::clone(&connection));
    let mut pumps = FuturesUnordered::new();
    let ending = std::future::poll_fn(|cx| {
        connection.borrow_mut().begin_turn();
        transport.begin_turn();
        loop {
            let received = transport.poll_receive(cx, &mut connection.borrow_mut());
            match received {
                // A server asks for nothing.
                Poll::Ready(Ok(_)) => continue,
                Poll::Ready(Err(ending)) => return Poll::Ready(ending),
                Poll::Pending => {}
            }
            pumps.extend(waiting.borrow_mut().drain(..));
            while let Poll::Ready(Some(())) = pumps.poll_next_unpin(cx) {}
            match end_turn(cx, &mut transport, &mut connection.borrow_mut(), keepalive.as_mut()) {
                Poll::Ready(Some(ending)) => return Poll::Ready(ending),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    part(ending, &mut transport, &connection).await;
    waiting.borrow_mut().clear();
}

/// Ends a turn: writes what waits. Ready when the connection ends, or with `None` when there is more to do.
fn end_turn<I: Io>(
    cx: &mut Context<'_>,
    transport: &mut Transport<I>,
    connection: &mut Multiplexer,
    keepalive: Option<&mut Keepalive>,
) -> Poll<Option<Ending>> {
    // After all was read that there is: we may be the one who was asleep.
    if let Some(keepalive) = keepalive
        && !transport.is_behind()
        && keepalive.poll(cx, connection).is_ready()
    {
        return Poll::Ready(Some(Ending::Silent));
    }
    let was_paused = connection.outbox().is_overflowing();
    match transport.poll_flush(cx, connection) {
        Poll::Ready(Ok(())) if connection.is_finished() => return Poll::Ready(Some(Ending::Finished)),
        Poll::Ready(Ok(())) if was_paused => return Poll::Ready(None),
        Poll::Ready(Err(cause)) => return Poll::Ready(Some(Ending::Broken(cause))),
        Poll::Ready(Ok(())) | Poll::Pending => {}
    }
    if connection.grant() || transport.is_behind() {
        cx.waker().wake_by_ref();
    }
    connection.listen_as_driver(cx);
    Poll::Pending
}

/// Tells the streams, and the peer if it listens, that this is the end.
async fn part<I: Io>(ending: Ending, transport: &mut Transport<I>, connection: &SharedMultiplexer) {
    let (code, is_broken) = (ending.code(), matches!(ending, Ending::Broken(_) | Ending::Silent));
    let complaint = connection.borrow().peer_complaint();
    let loss = match (ending, complaint) {
        (Ending::Fatal(fatal), _) => fatal.loss(),
        (Ending::Silent, _) => ConnectionLoss::Silent,
        (Ending::Broken(cause), None) => ConnectionLoss::Broken(Arc::new(cause)),
        (_, Some(code)) => ConnectionLoss::GoneAway(code),
        (Ending::Closed | Ending::Finished | Ending::Late(_), None) => ConnectionLoss::Closed,
    };
    tracing::trace!(cause = %loss, "upstream connection ended");
    connection.borrow_mut().end(loss);
    if !is_broken {
        connection.borrow_mut().say_end(code);
        let closed = std::future::poll_fn(|cx| transport.poll_close(cx, &mut connection.borrow_mut()));
        let _ = tokio::time::timeout(CLOSE_WAIT, closed).await;
    }
}

impl Http2Sender {
    /// Sends a request on a new stream and waits for the head of its response. `:authority` is the `host` field,
    /// or the authority of the target. Dropping the future resets the stream.
    ///
    /// # Errors
    /// `NotSent` (with the request) if no stream was opened, `Full` if the peer allowed none for too long; else what
    /// the peer made of it.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        self.send_with_interims(request, &()).await
    }

    /// The same, and tells `interims` of interim responses.
    ///
    /// # Errors
    /// As [`Http2Sender::send`].
    pub async fn send_with_interims(
        &self,
        request: Request<Body>,
        interims: &dyn InterimSink,
    ) -> Result<Response<Body>, SendError> {
        self.room().await?;
        let changes = request.extensions().get::<Upgrade>().is_some();
        let mut body = self.start(request)?;
        let head = std::future::poll_fn(|cx| body.poll_head(cx, interims)).await.map_err(send_error)?;
        if changes && head.status().is_success() {
            return changed(head, body);
        }
        body.end_if_drained();
        Ok(head.map(|()| Body::h2(body)))
    }

    /// Opens a stream for `request`. Apart from [`Http2Sender::send`], whose future would hold every piece of it.
    fn start(&self, mut request: Request<Body>) -> Result<RecvBody, SendError> {
        let not_sent =
            |request, cause: &'static str| Err(SendError::not_sent(request, BoxError::from(cause)));
        if self.is_closed() {
            return not_sent(request, "connection is closed or closing");
        }
        let changes = request.extensions().get::<Upgrade>().is_some();
        if changes && !self.takes_upgrades() {
            return not_sent(request, "server does not offer extended CONNECT");
        }
        let host = request.headers_mut().remove(HOST);
        let authority = match (&host, request.uri().authority()) {
            (Some(host), _) => host.to_str().ok().filter(|host| crate::http1::is_host(host.as_bytes())),
            (None, authority) => authority.map(|authority| authority.as_str()),
        };
        let Some(authority) = authority else {
            if let Some(host) = host {
                request.headers_mut().insert(HOST, host);
            }
            return not_sent(request, "request without a good host");
        };
        let protocol =
            request.extensions().get::<Upgrade>().and_then(|upgrade| upgrade.protocols().to_str().ok());
        let purpose = match *request.method() {
            Method::CONNECT => Purpose::Tunnel,
            _ if protocol.is_some() => Purpose::Tunnel,
            Method::HEAD => Purpose::HeadRequest,
            _ => Purpose::Request,
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let target = RequestTarget {
            method: protocol.map_or(request.method(), |_| &Method::CONNECT).as_str(),
            authority,
            protocol,
            resource: (purpose != Purpose::Tunnel || protocol.is_some())
                .then_some((self.shared.scheme.as_str(), path)),
        };
        // What is said in a tunnel comes later.
        let is_last = protocol.is_none() && request.body().is_end_stream();
        let opened = self.shared.connection.borrow_mut().open(purpose, target, request.headers(), is_last);
        match opened {
            Some(key) => {
                let stream = StreamHandle::of_opened(&self.shared.connection, key);
                if !is_last && purpose != Purpose::Tunnel {
                    self.send_body(&stream, request.into_body());
                }
                Ok(RecvBody::new(stream, Unread::IsReset))
            }
            None => {
                if let Some(host) = host {
                    request.headers_mut().insert(HOST, host);
                }
                not_sent(request, "connection takes no more streams")
            }
        }
    }

    /// Sends a body at once, or has it sent by the connection's task.
    fn send_body(&self, stream: &StreamHandle, mut body: Body) {
        if !send_now(stream, &mut body) {
            let bounds = Bounds { stall_timeout: self.shared.stall_timeout, budget: None };
            self.shared.pumps.borrow_mut().push(Pump::new(stream.again(), body, bounds));
        }
    }

    /// Opens a tunnel to `authority` with CONNECT and waits until the peer accepts it.
    ///
    /// # Errors
    /// `Status` (with the answer's fields) if the peer answered something else than 2xx, else as [`Http2Sender::send`].
    pub async fn tunnel(&self, authority: &str, headers: HeaderMap) -> Result<Tunnel, SendError> {
        self.room().await?;
        let not_sent = |cause: &'static str| SendError::new(SendErrorKind::NotSent, cause);
        if !crate::http1::is_host(authority.as_bytes()) {
            return Err(not_sent("tunnel to no good authority"));
        }
        let target =
            RequestTarget { method: Method::CONNECT.as_str(), authority, protocol: None, resource: None };
        let opened = self.shared.connection.borrow_mut().open(Purpose::Tunnel, target, &headers, false);
        let key = opened.ok_or_else(|| not_sent("connection is closed or closing"))?;
        let stream = StreamHandle::of_opened(&self.shared.connection, key);
        let mut body = RecvBody::new(stream, Unread::IsReset);
        let head = std::future::poll_fn(|cx| body.poll_head(cx, &())).await.map_err(send_error)?;
        let (parts, ()) = head.into_parts();
        match body.into_stream() {
            Some(stream) if parts.status.is_success() => Ok(Tunnel::stream(StreamIo::new(stream))),
            Some(_) | None => Err(SendError {
                kind: SendErrorKind::Status(parts.status.as_u16()),
                request: None,
                headers: Some(Box::new(parts.headers)),
                cause: None,
            }),
        }
    }

    /// Waits until the peer would let another stream be opened, or none will be any more.
    async fn room(&self) -> Result<(), SendError> {
        if self.has_room() || self.is_closed() {
            return Ok(());
        }
        let room = async {
            while !self.has_room() && !self.is_closed() {
                self.freed().await;
            }
        };
        // Boxed, as it is rare: it would make every request's state larger.
        let waited = Box::pin(tokio::time::timeout(self.shared.open_timeout, room)).await;
        waited.map_err(|late| SendError::new(SendErrorKind::Full, late))
    }

    /// Streams open now: until their response body is read or dropped, and their request is sent or given up.
    pub fn active_streams(&self) -> usize {
        self.shared.connection.borrow().held_streams()
    }

    /// Whether the peer would let another stream be opened now.
    pub fn has_room(&self) -> bool {
        let connection = self.shared.connection.borrow();
        connection.held_streams() < connection.max_streams() && !connection.is_overlong()
    }

    /// Waits until that may have changed for the better.
    pub async fn freed(&self) {
        self.shared.freed.notified().await;
    }

    /// Waits for the peer's first SETTINGS, which say how many streams it allows.
    pub async fn settled(&self) {
        while !self.shared.connection.borrow().has_settings() && !self.is_closed() {
            self.freed().await;
        }
    }

    /// Whether the peer takes requests with an [`Upgrade`]; known when it has [`Http2Sender::settled`].
    pub fn takes_upgrades(&self) -> bool {
        self.shared.connection.borrow().takes_protocol()
    }

    /// Streams that the peer allows at once.
    pub fn max_streams(&self) -> usize {
        self.shared.connection.borrow().max_streams()
    }

    /// Whether no new stream can be opened: the connection ended or the peer sent GOAWAY.
    pub fn is_closed(&self) -> bool {
        self.shared.connection.borrow().is_closed()
    }
}

/// The answer to an upgrade that was accepted, as HTTP/1 says it.
#[cold]
fn changed(head: Response<()>, body: RecvBody) -> Result<Response<Body>, SendError> {
    let stream = body.into_stream();
    let stream = stream.ok_or_else(|| SendError::new(SendErrorKind::Closed, "stream is gone"))?;
    let mut response = head.map(|()| Body::tunnel(Tunnel::stream(StreamIo::new(stream))));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    Ok(response)
}

/// What the peer made of a stream that failed.
fn send_error(error: StreamError) -> SendError {
    let kind = match &error {
        StreamError::Reset(ErrorCode::REFUSED_STREAM) | StreamError::Unprocessed => SendErrorKind::Refused,
        StreamError::Reset(_) => SendErrorKind::Reset,
        StreamError::Violated(_) => SendErrorKind::Protocol,
        StreamError::HeadTooLarge => SendErrorKind::HeadTooLarge,
        StreamError::Lost(ConnectionLoss::Flooded(_) | ConnectionLoss::Violated(_)) => {
            SendErrorKind::Protocol
        }
        StreamError::Lost(loss) if loss.is_silence() => SendErrorKind::Silent,
        StreamError::GivenUp | StreamError::Lost(_) => SendErrorKind::Closed,
    };
    match error {
        StreamError::Lost(ConnectionLoss::Broken(cause)) if kind == SendErrorKind::Closed => {
            SendError::new(kind, cause)
        }
        error => SendError::new(kind, error),
    }
}
