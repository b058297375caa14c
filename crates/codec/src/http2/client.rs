//! Opening streams on one HTTP/2 connection.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method, Request, Response, Version};

use super::blocks::{Blocks, PeerRole};
use super::findings::{Findings, Interest};
use super::keepalive::Keepalive;
use super::metered::Metered;
use super::open::{OpenStreams, StreamGuard};
use super::outbox::Piece;
use super::pump::{Bounds, Cancel, CancelOnDrop, Pump};
use super::recv::RecvBody;
use super::tunnel::StreamIo;
use crate::headers::has_odd_name;
use crate::{Body, BoxError, ClientOptions, Io, SendError, SendErrorKind, Tunnel};

/// Opens streams on one HTTP/2 connection; cheap to clone. The connection ends when all clones and all streams
/// are gone.
#[derive(Clone)]
pub struct Http2Sender {
    streams: SendRequest<Piece>,
    shared: Rc<Shared>,
}

/// What the senders and the connection share.
struct Shared {
    findings: Rc<Findings>,
    open: Rc<OpenStreams>,
    /// Streams that the peer allows at once, as the library knows it.
    max_streams: Cell<usize>,
    follows_fields: bool,
    ended: Cell<bool>,
    /// Bodies to send, on their way to the connection's task.
    pumps: RefCell<Vec<Pump>>,
    connection: RefCell<Option<Waker>>,
    scheme: Scheme,
    stall_timeout: Duration,
    open_timeout: Duration,
}

/// A request on its way.
struct StartedStream {
    streams: SendRequest<Piece>,
    response: ResponseFuture,
    interest: Interest,
    open: Option<StreamGuard>,
    cancel: Option<CancelOnDrop>,
}

/// Starts HTTP/2 on `io`. The future drives the connection and its bodies; the caller must poll (spawn) it.
///
/// # Errors
/// `NotSent` if the connection cannot be set up.
pub async fn connect<I: Io>(
    io: I,
    options: &ClientOptions,
) -> Result<(Http2Sender, impl Future<Output = ()> + use<I>), SendError> {
    let findings = Findings::new(options.max_send_buffer_bytes);
    let blocks = options.follows_fields.then(|| Blocks::new(PeerRole::Server, options.max_header_bytes));
    let io = Metered::new(io, options.floods, false, blocks, Rc::clone(&findings));
    let (streams, mut connection) = builder(options)
        .handshake::<_, Piece>(io)
        .await
        .map_err(|cause| SendError::new(SendErrorKind::NotSent, cause))?;
    let shared = Rc::new(Shared {
        findings,
        open: Rc::default(),
        max_streams: Cell::new(options.initial_max_streams),
        follows_fields: options.follows_fields,
        ended: Cell::new(false),
        pumps: RefCell::default(),
        connection: RefCell::default(),
        scheme: options.scheme.clone(),
        stall_timeout: options.stall_timeout,
        open_timeout: options.open_timeout,
    });
    // Nobody else takes it.
    let pings = options.keepalive.and_then(|keepalive| Some((keepalive, connection.ping_pong()?)));
    let keepalive = pings.map(|(options, pings)| Keepalive::new(options, pings));
    Ok((Http2Sender { streams, shared: Rc::clone(&shared) }, drive(connection, shared, keepalive)))
}

fn builder(options: &ClientOptions) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(options.initial_max_streams)
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window)
        .max_frame_size(options.max_frame_bytes.clamp(16 * 1024, (1 << 24) - 1))
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(options.resets.remembered)
        .max_local_error_reset_streams(Some(options.resets.errors))
        .max_send_buffer_size(options.max_send_buffer_bytes);
    if let Some(bytes) = options.resets.data_frame_budget {
        builder.data_frame_budget(bytes);
    }
    builder
}

async fn drive<I: Io>(
    connection: Connection<Metered<I>, Piece>,
    shared: Rc<Shared>,
    mut keepalive: Option<Keepalive>,
) {
    let mut connection = connection;
    let mut pumps = FuturesUnordered::new();
    std::future::poll_fn(|cx| {
        shared.listen(cx);
        pumps.extend(shared.pumps.borrow_mut().drain(..));
        while let Poll::Ready(Some(())) = pumps.poll_next_unpin(cx) {}
        if let Some(flood) = shared.findings.flood.get() {
            tracing::debug!(?flood, "upstream connection cut");
            return Poll::Ready(());
        }
        if let Poll::Ready(ended) = std::pin::Pin::new(&mut connection).poll(cx) {
            if let Err(cause) = ended {
                // Whoever waits for a response was told.
                tracing::trace!(%cause, "upstream connection ended");
            }
            return Poll::Ready(());
        }
        // SETTINGS may be in force long after their first byte came: when all of them are there, and written to.
        let max_streams = connection.max_concurrent_send_streams();
        let has_changed = shared.max_streams.replace(max_streams) != max_streams;
        if shared.findings.has_news.take() || has_changed {
            shared.open.freed.notify_waiters();
        }
        // After the connection, which has read what there is: we may be the one who was asleep.
        let Some(keepalive) = &mut keepalive else { return Poll::Pending };
        ready!(keepalive.poll(cx, shared.open.count(), shared.findings.heard.get()));
        shared.findings.is_silent.set(true);
        Poll::Ready(())
    })
    .await;
    shared.ended.set(true);
    shared.open.freed.notify_waiters();
    shared.pumps.borrow_mut().clear();
}

impl Shared {
    fn listen(&self, cx: &Context<'_>) {
        let mut waker = self.connection.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// A stream was opened, and somebody waits for its response.
    fn opened(&self, response: &ResponseFuture) -> Interest {
        let stream = response.stream_id().as_u32();
        self.findings.note_opened();
        if self.follows_fields {
            Interest::following(&self.findings, stream)
        } else {
            Interest::new(&self.findings, stream)
        }
    }

    fn pump(&self, stream: SendStream<Piece>, body: Body, cancel: Rc<Cancel>) {
        let findings = Rc::clone(&self.findings);
        let bounds = Bounds { stall_timeout: self.stall_timeout, budget: None };
        let pump = Pump::new(stream, body, bounds, findings, Some(cancel));
        self.pumps.borrow_mut().push(pump);
        if let Some(connection) = &*self.connection.borrow() {
            connection.wake_by_ref();
        }
    }

    /// What the peer made of a stream that failed.
    fn classify_error(&self, stream: u32, cause: h2::Error) -> SendError {
        let unprocessed = self.findings.last_stream.get().is_some_and(|last| stream > last);
        let kind = if unprocessed || (cause.is_remote() && cause.reason() == Some(Reason::REFUSED_STREAM)) {
            SendErrorKind::Refused
        } else if self.findings.flood.get().is_some() {
            SendErrorKind::Protocol
        } else if cause.is_reset() && cause.is_remote() {
            SendErrorKind::Reset
        } else if cause.is_library() && self.findings.large_block.get() == Some(stream) {
            SendErrorKind::HeadTooLarge
        } else if cause.is_library() {
            SendErrorKind::Protocol
        } else if self.findings.has_fallen_silent() {
            SendErrorKind::Silent
        } else {
            SendErrorKind::Closed
        };
        match self.findings.broken.borrow().as_ref() {
            Some(broken) if kind == SendErrorKind::Closed => SendError::new(kind, Arc::clone(broken)),
            _ => SendError::new(kind, cause),
        }
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
        self.room().await?;
        let StartedStream { mut streams, response, interest, open, cancel } = match self.ready().await {
            Ok(streams) => self.start(streams, request)?,
            Err(cause) => return Err(SendError::not_sent(request, cause)),
        };
        self.opened(&mut streams).await?;
        let (head, recv) = self.response(response, &interest).await?.into_parts();
        let length = crate::body::content_length(&head.headers);
        let mut body = RecvBody::new(recv, length, open, interest).cancelling(cancel);
        let stands = std::future::poll_fn(|cx| Poll::Ready(body.poll_first(cx))).await;
        stands.map_err(|cause| SendError::new(SendErrorKind::Protocol, cause))?;
        Ok(Response::from_parts(head, Body::h2(body)))
    }

    /// Opens a stream for `request`. Apart from [`Http2Sender::send`], whose future would hold every piece of it.
    fn start(
        &self,
        mut streams: SendRequest<Piece>,
        request: Request<Body>,
    ) -> Result<StartedStream, SendError> {
        let target = match target(&request, &self.shared.scheme) {
            Ok(target) => target,
            Err(cause) => return Err(SendError::not_sent(request, cause)),
        };
        let (mut parts, mut body) = request.into_parts();
        parts.uri = target;
        parts.version = Version::HTTP_2;
        crate::headers::strip_hop_by_hop(&mut parts.headers);
        parts.headers.remove(HOST);

        let open = StreamGuard::new(&self.shared.open);
        let (response, mut stream) = streams
            .send_request(Request::from_parts(parts, ()), body.is_end_stream())
            .map_err(|cause| SendError::new(SendErrorKind::NotSent, cause))?;
        let interest = self.shared.opened(&response);
        let (mut open, mut cancel) = (Some(open), None);
        if !body.is_end_stream() {
            if let Some(bytes) = body.take_full() {
                // Fails only if the stream is gone, which the response tells. It has no window before the
                // connection is polled; whoever waits for the response has a deadline.
                let _ = stream.send_data(self.shared.findings.outbox.piece(bytes), true);
            } else {
                // The stream is open until both of its sides have ended.
                let asked = Rc::new(Cancel::new(open.take()));
                cancel = Some(CancelOnDrop::new(&asked));
                self.shared.pump(stream, body, asked);
            }
        }
        Ok(StartedStream { streams, response, interest, open, cancel })
    }

    /// Opens a tunnel to `authority` with CONNECT and waits until the peer accepts it.
    ///
    /// # Errors
    /// `Status` (with the answer's fields) if the peer answered something else than 2xx, else as [`Http2Sender::send`].
    pub async fn tunnel(&self, authority: &str, headers: HeaderMap) -> Result<Tunnel, SendError> {
        let not_sent = |cause: BoxError| SendError::new(SendErrorKind::NotSent, cause);
        self.room().await?;
        let mut streams = self.ready().await.map_err(not_sent)?;
        let authority = Authority::try_from(authority).map_err(|cause| not_sent(cause.into()))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from(authority);
        *request.headers_mut() = headers;

        let open = StreamGuard::new(&self.shared.open);
        let (response, send) =
            streams.send_request(request, false).map_err(|cause| not_sent(cause.into()))?;
        let interest = self.shared.opened(&response);
        self.opened(&mut streams).await?;
        let response = self.response(response, &interest).await?;
        if !response.status().is_success() {
            let (parts, _) = response.into_parts();
            return Err(SendError {
                kind: SendErrorKind::Status(parts.status.as_u16()),
                request: None,
                headers: Some(Box::new(parts.headers)),
                cause: None,
            });
        }
        let (recv, findings) = (response.into_body(), &self.shared.findings);
        Ok(Tunnel::stream(StreamIo::new(send, recv, findings, Some(open), interest)))
    }

    /// Waits until the peer would let another stream be opened, or none will be any more. The library would take the
    /// request at once, keep it, and might send it after we have given it up.
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

    async fn ready(&self) -> Result<SendRequest<Piece>, BoxError> {
        if self.is_closed() {
            return Err("connection is closed or closing".into());
        }
        let mut streams = self.streams.clone();
        std::future::poll_fn(|cx| streams.poll_ready(cx)).await?;
        Ok(streams)
    }

    /// Waits until the stream that was asked for last is really opened: the library keeps those that are beyond the
    /// peer's limit, as it counts: one that we gave up is open until that was written. What it keeps it may still
    /// send.
    async fn opened(&self, streams: &mut SendRequest<Piece>) -> Result<(), SendError> {
        // Failures reach the response.
        if std::future::poll_fn(|cx| Poll::Ready(streams.poll_ready(cx).is_ready())).await {
            return Ok(());
        }
        let opening = std::future::poll_fn(|cx| streams.poll_ready(cx));
        match tokio::time::timeout(self.shared.open_timeout, opening).await {
            Ok(_) => Ok(()),
            Err(late) => Err(SendError::new(SendErrorKind::Closed, late)),
        }
    }

    async fn response(
        &self,
        response: ResponseFuture,
        interest: &Interest,
    ) -> Result<Response<RecvStream>, SendError> {
        let stream = response.stream_id().as_u32();
        match response.await {
            Ok(response) if interest.has_bad_head() || has_odd_name(response.headers()) => {
                Err(SendError::new(SendErrorKind::Protocol, "response with fields that have no reading"))
            }
            Ok(response) => Ok(response),
            Err(cause) => Err(self.shared.classify_error(stream, cause)),
        }
    }

    /// Streams open now: until their response body is read or dropped, and their request is sent or given up.
    pub fn active_streams(&self) -> usize {
        self.shared.open.count()
    }

    /// Whether the peer would let another stream be opened now.
    pub fn has_room(&self) -> bool {
        self.active_streams() < self.max_streams()
    }

    /// Waits until that may have changed for the better.
    pub async fn freed(&self) {
        self.shared.open.freed.notified().await;
    }

    /// Waits for the peer's first SETTINGS, which say how many streams it allows.
    pub async fn settled(&self) {
        while !self.shared.findings.has_settings.get() && !self.is_closed() {
            self.freed().await;
        }
    }

    /// Streams that the peer allows at once.
    pub fn max_streams(&self) -> usize {
        self.shared.max_streams.get()
    }

    /// Whether no new stream can be opened: the connection ended or the peer sent GOAWAY.
    pub fn is_closed(&self) -> bool {
        self.shared.ended.get() || self.shared.findings.last_stream.get().is_some()
    }
}

/// Scheme, authority and path, as HTTP/2 wants them.
fn target(request: &Request<Body>, scheme: &Scheme) -> Result<Uri, BoxError> {
    let authority = match (request.headers().get(HOST), request.uri().authority()) {
        (Some(host), _) => Authority::try_from(host.as_bytes())?,
        (None, Some(authority)) => authority.clone(),
        (None, None) => return Err("request without host".into()),
    };
    if request.method() == Method::CONNECT {
        return Ok(Uri::from(authority));
    }
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority);
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Ok(Uri::from_parts(parts)?)
}
