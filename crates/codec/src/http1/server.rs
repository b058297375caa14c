//! Serving one HTTP/1.1 connection: one task, which reads heads, polls the service, and writes its answers. Nothing is
//! spawned and nothing goes through a channel.

mod admit; // the request as a service sees it
mod interim; // before the response
mod exchange; // one request and its response
mod line; // what the server shares with who reads a body
mod linger; // the end

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::Request;

use crate::watchdog::{Activity, Watchdog};
use crate::{Body, Interims, Io, Reply, ServeError, ServerOptions, Tunnel};
use exchange::ServerConnection;
pub(crate) use interim::InterimLine;
use line::ServerLine;
use linger::Linger;

/// Messages that are handled in one turn, so that others get theirs.
const MESSAGES_PER_TURN: usize = 16;

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
    serve_with_interims(io, options, drain, |request, _| service(request)).await
}

/// The same for a service that passes interim responses on.
///
/// # Errors
/// As [`serve`].
pub async fn serve_with_interims<I, S, F>(
    io: I,
    options: &ServerOptions,
    drain: impl Future<Output = ()>,
    service: S,
) -> Result<(), ServeError>
where
    I: Io,
    S: Fn(Request<Body>, Interims) -> F,
    F: Future<Output = Reply>,
{
    let line = ServerLine::new(Box::new(io));
    let mut server = ServerConnection::new(line, options);
    // One place for the futures of all requests.
    let mut in_flight = Box::pin(None);
    // In a set of its own, so that it is polled when it was woken and not for every request.
    let mut drain = FuturesUnordered::from_iter([drain]);
    let mut watchdog = Watchdog::new(options);
    let ended = std::future::poll_fn(|cx| {
        // Before the rest: bytes that have arrived make a request, even when the drain has begun.
        if let Poll::Ready(ended) = poll_messages(&mut server, in_flight.as_mut(), &service, cx) {
            return Poll::Ready(ended);
        }
        if !server.is_draining() && drain.poll_next_unpin(cx).is_ready() {
            server.drain();
            watchdog.shorten_idle(options.drain_linger);
        }
        let (activity, turn) = server.activity();
        watchdog.poll(cx, activity, turn).map(|activity| match activity {
            Activity::Head => Err(ServeError::HeaderTimeout),
            Activity::HalfClosed => Err(ServeError::left()),
            Activity::Stuck => Err(ServeError::stuck()),
            Activity::Idle | Activity::Busy => Ok(()),
        })
    })
    .await;
    // What is done for the client is dropped now, not after its end was awaited.
    drop(in_flight);

    if ended.is_ok()
        && let Some((run, early, io)) = server.take_tunnel()
    {
        run(Tunnel::io(early, io)).await;
        return Ok(());
    }
    let (linger, io) = (Linger::after(&ended, server.has_whole_request()), server.close());
    if let (Some(linger), Some(io)) = (linger, io) {
        linger.close(io).await;
    }
    ended
}

/// Does what can be done now. Ready when the connection has ended.
fn poll_messages<S, F>(
    server: &mut ServerConnection,
    mut in_flight: Pin<&mut Option<F>>,
    service: &S,
    cx: &mut Context<'_>,
) -> Poll<Result<(), ServeError>>
where
    S: Fn(Request<Body>, Interims) -> F,
    F: Future<Output = Reply>,
{
    server.begin_turn(cx);
    for _ in 0..MESSAGES_PER_TURN {
        if let Some(future) = in_flight.as_mut().as_pin_mut() {
            let Poll::Ready(reply) = future.poll(cx) else { return server.poll_rest(cx) };
            in_flight.set(None);
            server.answer(reply);
        }
        if server.poll_response(cx)?.is_pending() {
            return server.poll_rest(cx);
        }
        match server.poll_request(cx)? {
            Poll::Ready(request) => in_flight.set(request.map(|request| service(request, server.interims()))),
            Poll::Pending => return server.poll_rest(cx),
        }
    }
    cx.waker().wake_by_ref();
    server.poll_rest(cx)
}
