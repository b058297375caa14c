//! Serving one HTTP/1.1 connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::gate::ScanPosition;
use super::gated::{Gated, Line};
use crate::options::HEADERS_MAX;
use crate::watchdog::{Activity, Watchdog};
use crate::{Body, BodyError, Io, Reply, ServeError, ServerOptions, Tunnel, Violation};

/// Smallest buffer that hyper takes.
const BUFFER_BYTES_MIN: usize = 8 * 1024;
/// How long, and for how many bytes, the end of a connection waits for a client that was refused or failed to
/// read our last words.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
const CLOSE_BYTES_MAX: u64 = 256 * 1024;
/// How long the rest of a request is read and dropped that was answered before it had come; many clients read
/// nothing until they have written all. nginx's default of `lingering_time`, with its meaning.
const LINGER_MAX: Duration = Duration::from_secs(30);
/// How long such a client may send nothing. nginx's default of `lingering_timeout`.
const LINGER_SILENCE_MAX: Duration = Duration::from_secs(5);

/// Serves HTTP/1.1 on `io` until the client leaves, the idle timeout, or `drain` completes.
///
/// In a drain the request at hand (or the next one, if it comes within `drain_linger`) is answered with
/// `connection: close`. When the client's connection fails, what is done for it is dropped at once; when the client
/// ends its sending side, it still gets its answers if they come within `half_close_timeout`.
///
/// # Errors
/// See [`ServeError`]; the connection is closed in every case.
pub async fn serve<I, S, F>(
    io: I,
    options: &ServerOptions,
    drain: impl Future<Output = ()>,
    service: S,
) -> Result<(), ServeError>
where
    I: Io,
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Reply>,
{
    let line = Line::new();
    let gated = TokioIo::new(Gated::new(io, Rc::clone(&line)));
    let answer = |request: Request<Incoming>| answer(request, &service, Rc::clone(&line));
    let mut connection = builder(options).serve_connection(gated, service_fn(answer));

    // In a set of its own, so that it is polled when it was woken and not for every request.
    let mut drain = FuturesUnordered::from_iter([drain]);
    let mut watchdog = Watchdog::new(options);
    let ended = std::future::poll_fn(|cx| {
        loop {
            line.is_reading.set(false);
            // Before the rest: bytes that have arrived make a request, even when the drain has begun.
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(ended.map_err(map_error));
            }
            if !line.closing.get() && drain.poll_next_unpin(cx).is_ready() {
                line.closing.set(true);
                watchdog.shorten_idle(options.drain_linger);
            }
            let (activity, turn) = activity(&line);
            match watchdog.poll(cx, activity, turn) {
                Poll::Ready(Activity::Head) => return Poll::Ready(Err(ServeError::HeaderTimeout)),
                Poll::Ready(Activity::HalfClosed) => return Poll::Ready(Err(ServeError::left())),
                Poll::Ready(Activity::Stuck) => return Poll::Ready(Err(ServeError::stuck())),
                Poll::Ready(_) => Pin::new(&mut connection).graceful_shutdown(),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;

    let parts = connection.into_parts();
    let (held, io) = parts.io.into_inner().into_parts();
    let run = line.tunnel.borrow_mut().take();
    if let (Some(run), Ok(())) = (run, &ended) {
        run(Tunnel::io(join(parts.read_buf, held), Box::new(io))).await;
        return Ok(());
    }
    finish(io, ended, line.position.get()).await
}

fn builder(options: &ServerOptions) -> Builder {
    let mut builder = Builder::new();
    builder
        .half_close(true)
        .max_header_size(options.max_header_bytes)
        .max_buf_size(options.max_header_bytes.max(BUFFER_BYTES_MIN));
    if options.max_headers != HEADERS_MAX {
        builder.max_headers(options.max_headers);
    }
    builder
}

/// What the connection waits for, and what changes when it gets on with it.
fn activity(line: &Line) -> (Activity, u64) {
    let activity = match line.position.get() {
        // Also when the exchange is over for hyper: its last bytes may not be out.
        _ if line.outlet.is_blocked() => return (Activity::Stuck, line.outlet.turn()),
        _ if line.busy.get() && line.half_closed.get() => {
            return (Activity::HalfClosed, line.outlet.written());
        }
        _ if line.busy.get() => Activity::Busy,
        ScanPosition::Rest => Activity::Idle,
        _ => Activity::Head,
    };
    (activity, line.served.get())
}

/// Closes so that the client can read what was sent last: a close with unread bytes would be a reset.
async fn finish<I: Io>(
    mut io: I,
    ended: Result<(), ServeError>,
    position: ScanPosition,
) -> Result<(), ServeError> {
    let ended = match (ended, position) {
        (_, ScanPosition::Broken(violation)) => Err(ServeError::Malformed(violation)),
        (ended, _) => ended,
    };
    if matches!(ended, Err(ServeError::HeaderTimeout | ServeError::Io(_))) {
        return ended;
    }
    let linger = match (&ended, position) {
        (Ok(()), ScanPosition::Rest) => Linger { total: CLOSE_WAIT, silence: CLOSE_WAIT, bytes: 0 },
        // Answered in full, and said that this is the end.
        (Ok(()), ScanPosition::Body) => {
            Linger { total: LINGER_MAX, silence: LINGER_SILENCE_MAX, bytes: u64::MAX }
        }
        _ => Linger { total: CLOSE_WAIT, silence: CLOSE_WAIT, bytes: CLOSE_BYTES_MAX },
    };
    let _ = tokio::time::timeout(linger.total, pin!(linger.close(&mut io))).await;
    ended
}

/// What is still taken from a client after our last word to it.
struct Linger {
    total: Duration,
    silence: Duration,
    bytes: u64,
}

impl Linger {
    async fn close<I: Io>(&self, io: &mut I) {
        // Fails if hyper did it already.
        let _ = io.shutdown().await;
        let mut buffer = [0; 4096];
        let mut left = self.bytes;
        while left > 0 {
            let Ok(Ok(len @ 1..)) = tokio::time::timeout(self.silence, io.read(&mut buffer)).await else {
                return;
            };
            left = left.saturating_sub(len as u64);
        }
    }
}

fn join(first: Bytes, second: Bytes) -> Bytes {
    if second.is_empty() {
        return first;
    }
    if first.is_empty() {
        return second;
    }
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(&first);
    both.extend_from_slice(&second);
    both.freeze()
}

fn map_error(cause: hyper::Error) -> ServeError {
    if cause.is_parse_too_large() {
        ServeError::HeadTooLarge
    } else if cause.is_parse() {
        ServeError::Malformed(Violation::Syntax)
    } else if cause.is_incomplete_message() || cause.is_body_write_aborted() {
        ServeError::Aborted(cause.into())
    } else if cause.is_user() {
        ServeError::Service(cause.into())
    } else {
        ServeError::Io(cause.into())
    }
}

/// The service wants the connection to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("reset by the service")]
struct ResetByService;

async fn answer<S, F>(
    request: Request<Incoming>,
    service: &S,
    line: Rc<Line>,
) -> Result<Response<Answer>, ResetByService>
where
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Reply>,
{
    line.busy.set(true);
    line.served.set(line.served.get() + 1);
    let mut exchange = Exchange(Some(Rc::clone(&line)));
    let request = request.map(Body::hyper);
    let connect = request.method() == Method::CONNECT;
    let asked = (request.version(), request.method() == Method::HEAD);
    let reply = match admit(request) {
        Ok(request) => service(request).await,
        Err(status) => {
            line.closing.set(true);
            Reply::Response(status_only(status))
        }
    };
    let mut response = match reply {
        Reply::Response(response) => response,
        Reply::Reset(_) => return Err(ResetByService),
        Reply::Tunnel { headers, run } => {
            *line.tunnel.borrow_mut() = Some(run);
            exchange.0 = None;
            let status = if connect { StatusCode::OK } else { StatusCode::SWITCHING_PROTOCOLS };
            let mut response = status_only(status);
            *response.headers_mut() = headers;
            return Ok(response.map(|body| Answer { body, failed: None, _exchange: exchange }));
        }
    };
    line.release();
    // Nobody may read the rest of the request, and the client must know where its next one may go.
    let is_last = line.closing.get() || !line.has_whole_request() || only_its_end_ends(&response, asked);
    // What the upstream speaks is between it and us (RFC 9110 section 6.2). To an answer in HTTP/1.1 for a client
    // of HTTP/1.0 hyper would add `keep-alive`.
    *response.version_mut() = if is_last { asked.0 } else { Version::HTTP_11 };
    if is_last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answer { body, failed: None, _exchange: exchange }))
}

/// Whether the client finds the end of the response by the end of the connection alone, because its version
/// knows no chunks: then the connection cannot be kept (RFC 9112 section 9.3).
fn only_its_end_ends(response: &Response<Body>, (version, to_head): (Version, bool)) -> bool {
    version == Version::HTTP_10
        && !to_head
        && !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        && !response.headers().contains_key(CONTENT_LENGTH)
        && http_body::Body::size_hint(response.body()).exact().is_none()
}

fn status_only(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Makes the request canonical: one authority, in `host`; the target in origin form except for CONNECT.
fn admit(mut request: Request<Body>) -> Result<Request<Body>, StatusCode> {
    if let Some(authority) = request.uri().authority() {
        // Without a scheme it is the form of CONNECT.
        let own_form = match request.uri().scheme_str() {
            None => request.method() == Method::CONNECT,
            // What we serve; a resource of another scheme is elsewhere.
            Some("http" | "https") => request.method() != Method::CONNECT,
            Some(_) => false,
        };
        if !own_form || !super::is_host(authority.as_str().as_bytes()) {
            return Err(StatusCode::BAD_REQUEST);
        }
        // The target wins over the field, everywhere.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| StatusCode::BAD_REQUEST)?;
        request.headers_mut().insert(HOST, host);
        if request.method() != Method::CONNECT {
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        }
    } else if request.method() == Method::CONNECT {
        return Err(StatusCode::BAD_REQUEST);
    }
    let path = request.uri().path();
    if request.method() != Method::CONNECT
        && !path.starts_with('/')
        && !(path == "*" && request.method() == Method::OPTIONS)
    {
        return Err(StatusCode::BAD_REQUEST);
    }
    // Leading zeros are read as what they are, and not passed on.
    if let Some(length) = request.headers().get(CONTENT_LENGTH)
        && length.len() > 1
        && length.as_bytes()[0] == b'0'
    {
        let length = crate::body::content_length(request.headers()).ok_or(StatusCode::BAD_REQUEST)?;
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

/// Says, when dropped, that an exchange is over.
struct Exchange(Option<Rc<Line>>);

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.busy.set(false);
        }
    }
}

/// A response's body, until hyper has taken its last byte.
struct Answer {
    body: Body,
    /// What broke it off, to be told at the next turn.
    failed: Option<BodyError>,
    _exchange: Exchange,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(failed) = self.failed.take() {
            return Poll::Ready(Some(Err(failed)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(Err(failed)) = frame else { return Poll::Ready(frame) };
        // A turn later: hyper drops what it has not flushed yet, which may be all of the response.
        self.failed = Some(failed);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}
