//! Serving one HTTP/2 connection: every stream is a future inside the connection's own.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{COOKIE, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request};

use super::blocks::{Blocks, PeerRole};
use super::findings::{Findings, Interest};
use super::meter::Rate;
use super::metered::Metered;
use super::outbox::Piece;
use super::pump::{Bounds, Pump, send_now};
use super::recv::RecvBody;
use super::tunnel::StreamIo;
use crate::budget::NoRoom;
use crate::headers::has_odd_name;
use crate::options::{STALL_BYTES_MIN, STALLED_BYTES};
use crate::watchdog::{Activity, Watchdog};
use crate::{
    Body, Budget, Charge, Flood, HELD_BYTES_MAX, Io, Reply, ServeError, ServerOptions, Tunnel, TunnelRun,
};

/// How long the last words to a peer that is cut may take.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Serves HTTP/2 on `io` (from the preface on) until the client leaves, the idle timeout, or `drain` completes.
///
/// A drain sends GOAWAY, serves the streams that are open or on their way, and ends. Tunnels count as streams.
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
    let findings = Findings::new(options.max_send_buffer_bytes);
    let blocks = options.follows_fields.then(|| Blocks::new(PeerRole::Client, options.max_header_bytes));
    let io = Metered::new(io, options.floods, true, blocks, Rc::clone(&findings));
    let handshake = builder(options).handshake::<_, Piece>(io);
    let mut connection = match tokio::time::timeout(options.header_timeout, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(cause)) => return Err(map_error(cause, &findings)),
        Err(_) => return Err(ServeError::HeaderTimeout),
    };

    let budget = options.budget.clone().unwrap_or_else(|| Budget::silent(HELD_BYTES_MAX));
    let mut streams = FuturesUnordered::new();
    // In a set of its own, so that it is polled when it was woken and not for every request.
    let mut drain = FuturesUnordered::from_iter([drain]);
    let mut watchdog = Watchdog::new(options);
    let (mut served, mut leaving) = (0, false);
    let mut refusals = Rate::new(options.floods.refusals);
    let limits = StreamLimits {
        max_headers: options.max_headers,
        stall_timeout: options.stall_timeout,
        findings: &findings,
        budget: &budget,
    };
    let ended = std::future::poll_fn(|cx| {
        loop {
            while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {}
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, mut respond)))) => {
                    served += 1;
                    if findings.take_refused(respond.stream_id().as_u32()) || has_odd_name(request.headers())
                    {
                        respond.send_reset(Reason::PROTOCOL_ERROR);
                        continue;
                    }
                    match admitting(&budget, &findings, request.headers()) {
                        Ok(head) => streams.push(handle(request, respond, &service, limits, head)),
                        Err(NoRoom) if refusals.is_exceeded() => {
                            return Poll::Ready(Err(ServeError::Flood(Flood::Refusals)));
                        }
                        // Nothing was done with it: the client may send it again.
                        Err(NoRoom) => respond.send_reset(Reason::REFUSED_STREAM),
                    }
                    continue;
                }
                // Said goodbye to, the peer may hang up as it likes.
                Poll::Ready(Some(Err(cause))) if leaving && streams.is_empty() && cause.is_io() => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Some(Err(cause))) => return Poll::Ready(Err(map_error(cause, &findings))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if findings.take_more() => continue,
                Poll::Pending => {}
            }
            if let Some(flood) = findings.flood.get() {
                return Poll::Ready(Err(ServeError::Flood(flood)));
            }
            if let Poll::Ready(Some(())) = drain.poll_next_unpin(cx) {
                connection.graceful_shutdown();
                watchdog.shorten_idle(CLOSE_WAIT);
                leaving = true;
                continue;
            }
            let (activity, turn) = match (findings.block_open.get(), streams.is_empty()) {
                (true, _) => (Activity::Head, served),
                _ if findings.outlet.is_blocked() => (Activity::Stuck, findings.outlet.turn()),
                (false, true) => (Activity::Idle, served),
                (false, false) => (Activity::Busy, served),
            };
            match watchdog.poll(cx, activity, turn) {
                Poll::Ready(Activity::Stuck) => return Poll::Ready(Err(ServeError::stuck())),
                Poll::Ready(Activity::Head) => return Poll::Ready(Err(ServeError::HeaderTimeout)),
                // A peer that does not answer the farewell is left.
                Poll::Ready(_) if leaving => return Poll::Ready(Ok(())),
                Poll::Ready(_) => {
                    connection.graceful_shutdown();
                    watchdog.shorten_idle(CLOSE_WAIT);
                    leaving = true;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    drop(streams);
    if let Err(ServeError::Flood(_) | ServeError::HeaderTimeout) = ended {
        part(&mut connection).await;
    }
    ended
}

/// Charges what a request costs from its beginning: its head, and all of it where the client has no window for the
/// response, which would only wait.
fn admitting(budget: &Rc<Budget>, findings: &Findings, head: &HeaderMap) -> Result<Option<Charge>, NoRoom> {
    let charge = budget.charge_head(head)?;
    if findings.stream_window.get() as usize >= STALL_BYTES_MIN {
        return Ok(charge);
    }
    let mut charge = charge.unwrap_or_else(|| budget.open());
    if charge.grow(STALLED_BYTES) { Ok(Some(charge)) } else { Err(NoRoom) }
}

fn builder(options: &ServerOptions) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window)
        .max_frame_size(options.max_frame_bytes.clamp(16 * 1024, (1 << 24) - 1))
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(options.max_concurrent_streams)
        .max_pending_accept_reset_streams(options.resets.pending_accept)
        .max_concurrent_reset_streams(options.resets.remembered)
        .max_local_error_reset_streams(Some(options.resets.errors))
        .max_send_buffer_size(options.max_send_buffer_bytes);
    if let Some(bytes) = options.resets.data_frame_budget {
        builder.data_frame_budget(bytes);
    }
    builder
}

/// Tells a peer that is cut why, if it listens.
async fn part<I: Io>(connection: &mut Connection<Metered<I>, Piece>) {
    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    let closed = std::future::poll_fn(|cx| connection.poll_closed(cx));
    let _ = tokio::time::timeout(CLOSE_WAIT, pin!(closed)).await;
}

fn map_error(cause: h2::Error, findings: &Findings) -> ServeError {
    if let Some(flood) = findings.flood() {
        ServeError::Flood(flood)
    } else if cause.is_io() {
        ServeError::Io(cause.into())
    } else if cause.is_remote() {
        ServeError::Aborted(cause.into())
    } else {
        ServeError::Protocol(cause.into())
    }
}

/// What bounds a stream.
#[derive(Clone, Copy)]
struct StreamLimits<'a> {
    max_headers: usize,
    stall_timeout: Duration,
    findings: &'a Rc<Findings>,
    budget: &'a Rc<Budget>,
}

/// One stream from its request to the last byte of its answer. So long its head is charged: who sends it on keeps it
/// in a buffer.
async fn handle<S, F>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Piece>,
    service: &S,
    limits: StreamLimits<'_>,
    _head: Option<Charge>,
) where
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Reply>,
{
    let (mut parts, recv) = request.into_parts();
    let interest = Interest::new(limits.findings, recv.stream_id().as_u32());
    if let Err(status) = admit(&mut parts, limits.max_headers) {
        // Fails only if the stream is gone, here and below.
        let _ = respond.send_response(status_only(status), true);
        return;
    }
    let head = parts.method == Method::HEAD;
    let (body, tunnel) = if parts.method == Method::CONNECT {
        (Body::empty(), Some((recv, interest)))
    } else {
        let length = crate::body::content_length(&parts.headers);
        (
            Body::h2(RecvBody::new(recv, length, None, interest)).charged_to(Some(Rc::clone(limits.budget))),
            None,
        )
    };
    let reply = {
        let mut answer = pin!(service(Request::from_parts(parts, body)));
        let wanted = |cx: &mut Context<'_>| match respond.poll_reset(cx) {
            // The client gave up: so does the service.
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => answer.as_mut().poll(cx).map(Some),
        };
        std::future::poll_fn(wanted).await
    };
    match (reply, tunnel) {
        (None, _) => {}
        (Some(Reply::Response(response)), _) => send(response, head, respond, limits).await,
        (Some(Reply::Tunnel { headers, run }), Some((recv, interest))) => {
            run_tunnel(headers, run, respond, recv, interest, limits.findings).await;
        }
        (Some(Reply::Tunnel { .. }), None) => respond.send_reset(Reason::INTERNAL_ERROR),
        (Some(Reply::Reset(code)), _) => respond.send_reset(code.to_h2()),
    }
}

async fn send(
    response: Response<Body>,
    head: bool,
    mut respond: SendResponse<Piece>,
    limits: StreamLimits<'_>,
) {
    let (mut parts, mut body) = response.into_parts();
    parts.version = Version::HTTP_2;
    crate::headers::strip_hop_by_hop(&mut parts.headers);
    let bodiless = head || body.is_end_stream();
    let Ok(mut stream) = respond.send_response(Response::from_parts(parts, ()), bodiless) else { return };
    if bodiless {
        return;
    }
    if !send_now(&mut stream, &mut body, &limits.findings.outbox) {
        let bounds = Bounds { stall_timeout: limits.stall_timeout, budget: Some(Rc::clone(limits.budget)) };
        Pump::new(stream, body, bounds, Rc::clone(limits.findings), None).await;
    }
}

async fn run_tunnel(
    mut headers: HeaderMap,
    run: TunnelRun,
    mut respond: SendResponse<Piece>,
    recv: RecvStream,
    interest: Interest,
    findings: &Rc<Findings>,
) {
    crate::headers::strip_hop_by_hop(&mut headers);
    let mut response = status_only(StatusCode::OK);
    *response.headers_mut() = headers;
    if let Ok(send) = respond.send_response(response, false) {
        run(Tunnel::stream(StreamIo::new(send, recv, findings, None, interest))).await;
    }
}

fn status_only(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

/// Makes the request canonical: one authority, in `host`; the target in origin form except for CONNECT; one
/// `cookie` field.
fn admit(parts: &mut request::Parts, max_headers: usize) -> Result<(), StatusCode> {
    // Crumbs of cookies count: a table of the peer makes thousands of fields out of as many bytes.
    if parts.headers.len() > max_headers {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let bad = StatusCode::BAD_REQUEST;
    // What the library lets pass (RFC 9113 sections 8.1.1, 8.2.1 and 8.3.1).
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(bad);
    }
    if parts.headers.values().any(is_padded) || !crate::body::has_one_length(&parts.headers) {
        return Err(bad);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let authority = match (parts.uri.authority(), host, more) {
        (_, _, Some(_)) | (None, None, None) => return Err(bad),
        (Some(authority), Some(host), None)
            if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(bad);
        }
        (Some(authority), _, None) => HeaderValue::from_str(authority.as_str()).map_err(|_| bad)?,
        (None, Some(host), None) => host.clone(),
    };
    if !crate::http1::is_host(authority.as_bytes()) {
        return Err(bad);
    }
    parts.headers.insert(HOST, authority);
    if parts.method != Method::CONNECT {
        let path = parts.uri.path_and_query().cloned().ok_or(bad)?;
        let any = path.as_str() == "*" && parts.method == Method::OPTIONS;
        if !path.as_str().starts_with('/') && !any {
            return Err(bad);
        }
        parts.uri = Uri::from(path);
    }
    join_cookies(&mut parts.headers);
    Ok(())
}

/// HTTP/1 would read a value with blanks around it as another one.
fn is_padded(value: &HeaderValue) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last())
}

/// HTTP/2 lets a client split its cookies into crumbs; nothing behind us expects that.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}
