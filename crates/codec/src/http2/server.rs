//! Serving one HTTP/2 connection: every stream is a future inside the connection's own.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode};

use super::connection::{Arrival, Multiplexer, SharedMultiplexer};
use super::flood::Rate;
use super::frame::ErrorCode;
use super::handle::{EndOnDrop, StreamHandle};
use super::head::is_tunnel;
use super::pump::{Pump, send_now};
use super::recv::{RecvBody, Unread};
use super::stall::Bounds;
use super::stream::ConnectionLoss;
use super::transport::{Ending, Transport};
use super::tunnel::StreamIo;
use crate::budget::NoRoom;
use crate::options::{STALL_BYTES_MIN, STALLED_BYTES};
use crate::watchdog::{Activity, Watchdog};
use crate::{
    Body, Budget, Charge, Flood, HELD_BYTES_MAX, Interims, Io, Reply, ServeError, ServerOptions, Tunnel,
    TunnelRun,
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
    let mut course = Course::new(io, options);
    let connection = Rc::clone(&course.connection);
    let _driving = EndOnDrop(Rc::clone(&connection));
    let budget = options.budget.clone().unwrap_or_else(|| Budget::silent(HELD_BYTES_MAX));
    let limits = StreamLimits { stall_timeout: options.stall_timeout, budget: &budget };
    let mut streams = FuturesUnordered::new();
    // In a set of its own, so that it is polled when it was woken and not for every request.
    let mut drain = FuturesUnordered::from_iter([drain]);
    let ended = std::future::poll_fn(|cx| {
        course.begin_turn();
        loop {
            loop {
                match course.poll_arrival(cx, &budget) {
                    Poll::Ready(Ok((arrival, head))) => {
                        let stream = StreamHandle::of_arrived(&connection, arrival.key);
                        streams.push(handle(arrival.request, stream, &service, limits, head));
                    }
                    Poll::Ready(Err(ending)) => return Poll::Ready(ending),
                    Poll::Pending => break,
                }
            }
            while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {}
            if let Poll::Ready(Some(())) = drain.poll_next_unpin(cx) {
                course.leave();
            }
            match course.poll_end(cx, streams.is_empty()) {
                Turn::Ends(ending) => return Poll::Ready(ending),
                Turn::GoesOn => {}
                Turn::Waits => return Poll::Pending,
            }
        }
    })
    .await;
    let ended = course.part(ended);
    drop(streams);
    if !matches!(ended, Err(ServeError::Io(_))) {
        course.close().await;
    }
    ended
}

/// What comes behind a turn of a connection.
enum Turn {
    /// There is more to do.
    GoesOn,
    /// Nothing until somebody wakes it.
    Waits,
    Ends(Ending),
}

/// One connection on its way.
struct Course<I> {
    connection: SharedMultiplexer,
    transport: Transport<I>,
    watchdog: Watchdog,
    refusals: Rate,
    served: u64,
    is_leaving: bool,
}

impl<I: Io> Course<I> {
    fn new(io: I, options: &ServerOptions) -> Self {
        Course {
            connection: Rc::new(RefCell::new(Multiplexer::server(options))),
            transport: Transport::new(io),
            watchdog: Watchdog::new(options),
            refusals: Rate::new(options.floods.refusals),
            served: 0,
            is_leaving: false,
        }
    }

    fn begin_turn(&mut self) {
        self.connection.borrow_mut().begin_turn();
        self.transport.begin_turn();
    }

    /// Ready with a request for which there is room, and what it is charged.
    fn poll_arrival(
        &mut self,
        cx: &mut Context<'_>,
        budget: &Rc<Budget>,
    ) -> Poll<Result<(Arrival, Option<Charge>), Ending>> {
        loop {
            let arrived = self.transport.poll_receive(cx, &mut self.connection.borrow_mut());
            let arrival = match std::task::ready!(arrived) {
                Ok(arrival) => arrival,
                Err(ending) => return Poll::Ready(Err(ending)),
            };
            self.served += 1;
            let window = self.connection.borrow().peer_stream_window();
            match admitting(budget, window, arrival.request.headers()) {
                Ok(head) => return Poll::Ready(Ok((arrival, head))),
                Err(NoRoom) if self.refusals.is_exceeded() => {
                    return Poll::Ready(Err(Ending::flood(Flood::Refusals)));
                }
                // Nothing was done with it: the client may send it again.
                Err(NoRoom) => {
                    let stream = StreamHandle::of_arrived(&self.connection, arrival.key);
                    stream.connection().reset(arrival.key, ErrorCode::REFUSED_STREAM);
                }
            }
        }
    }

    /// Says that there will be an end.
    fn leave(&mut self) {
        self.connection.borrow_mut().announce_end();
        self.watchdog.shorten_idle(CLOSE_WAIT);
        self.is_leaving = true;
    }

    /// Ends a turn: writes what waits, and sees whether the connection goes on.
    fn poll_end(&mut self, cx: &mut Context<'_>, is_idle: bool) -> Turn {
        let mut connection = self.connection.borrow_mut();
        let was_paused = connection.outbox().is_overflowing();
        match self.transport.poll_flush(cx, &mut connection) {
            Poll::Ready(Ok(())) if connection.is_finished() => return Turn::Ends(Ending::Finished),
            Poll::Ready(Ok(())) if was_paused => return Turn::GoesOn,
            Poll::Ready(Err(cause)) => return Turn::Ends(Ending::Broken(cause)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if connection.grant() || self.transport.is_behind() {
            cx.waker().wake_by_ref();
        }
        let (activity, turn) = if connection.is_within_head() {
            (Activity::Head, self.served)
        } else if connection.outlet().is_blocked() {
            (Activity::Stuck, connection.outlet().turn())
        } else if is_idle {
            (Activity::Idle, self.served)
        } else {
            (Activity::Busy, self.served)
        };
        connection.listen_as_driver(cx);
        drop(connection);
        match self.watchdog.poll(cx, activity, turn) {
            Poll::Pending => Turn::Waits,
            Poll::Ready(Activity::Stuck) => Turn::Ends(Ending::Late(ServeError::stuck())),
            Poll::Ready(Activity::Head) => Turn::Ends(Ending::Late(ServeError::HeaderTimeout)),
            // A peer that does not answer the farewell is left.
            Poll::Ready(_) if self.is_leaving => Turn::Ends(Ending::Finished),
            Poll::Ready(_) => {
                self.leave();
                Turn::GoesOn
            }
        }
    }

    /// Tells the streams and the peer that this is the end.
    fn part(&mut self, ending: Ending) -> Result<(), ServeError> {
        let code = ending.code();
        let ended = self.judge(ending);
        let loss = match &ended {
            Err(ServeError::Flood(flood)) => ConnectionLoss::Flooded(*flood),
            _ => ConnectionLoss::Closed,
        };
        let mut connection = self.connection.borrow_mut();
        connection.say_end(code);
        connection.end(loss);
        ended
    }

    /// Writes the last words, if the peer listens.
    async fn close(mut self) {
        let closed =
            std::future::poll_fn(|cx| self.transport.poll_close(cx, &mut self.connection.borrow_mut()));
        let _ = tokio::time::timeout(CLOSE_WAIT, pin!(closed)).await;
    }

    /// What it means that it ended so.
    fn judge(&self, ending: Ending) -> Result<(), ServeError> {
        let mut connection = self.connection.borrow_mut();
        let complaint = connection.peer_complaint();
        match ending {
            Ending::Late(error) => Err(error),
            Ending::Fatal(fatal) => Err(fatal.into()),
            Ending::Closed | Ending::Finished | Ending::Silent => match complaint {
                Some(code) => Err(ServeError::Aborted(ConnectionLoss::GoneAway(code).into())),
                None => Ok(()),
            },
            // Said goodbye to, the peer may hang up as it likes.
            Ending::Broken(_) if self.is_leaving && connection.held_streams() == 0 => Ok(()),
            // Many a client drops its connection without a word.
            Ending::Broken(cause)
                if cause.kind() == std::io::ErrorKind::UnexpectedEof && connection.outbox().is_empty() =>
            {
                Ok(())
            }
            Ending::Broken(cause) => Err(ServeError::Io(cause.into())),
        }
    }
}

/// Charges what a request costs from its beginning: its head, and all of it where the client has no window for the
/// response, which would only wait.
fn admitting(budget: &Rc<Budget>, stream_window: u32, head: &HeaderMap) -> Result<Option<Charge>, NoRoom> {
    let charge = budget.charge_head(head)?;
    if stream_window as usize >= STALL_BYTES_MIN {
        return Ok(charge);
    }
    let mut charge = charge.unwrap_or_else(|| budget.open());
    if charge.grow(STALLED_BYTES) { Ok(Some(charge)) } else { Err(NoRoom) }
}

/// What bounds a stream.
#[derive(Clone, Copy)]
struct StreamLimits<'a> {
    stall_timeout: Duration,
    budget: &'a Rc<Budget>,
}

impl StreamLimits<'_> {
    fn bounds(&self) -> Bounds {
        Bounds { stall_timeout: self.stall_timeout, budget: Some(Rc::clone(self.budget)) }
    }
}

/// One stream from its request to the last byte of its answer. So long its head is charged: who sends it on keeps it
/// in a buffer.
async fn handle<S, F>(
    request: Request<()>,
    stream: StreamHandle,
    service: &S,
    limits: StreamLimits<'_>,
    _head: Option<Charge>,
) where
    S: Fn(Request<Body>, Interims) -> F,
    F: Future<Output = Reply>,
{
    let is_head = request.method() == Method::HEAD;
    let is_tunnel = is_tunnel(&request);
    let body = if is_tunnel {
        Body::empty()
    } else {
        Body::h2(RecvBody::new(stream.again(), Unread::GoesOn)).charged_to(Some(Rc::clone(limits.budget)))
    };
    let reply = {
        let mut answer = pin!(service(request.map(|()| body), Interims::http2(stream.interims())));
        let wanted = |cx: &mut Context<'_>| match stream.poll_broken(cx) {
            // The client gave up: so does the service.
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => answer.as_mut().poll(cx).map(Some),
        };
        std::future::poll_fn(wanted).await
    };
    match reply {
        None => {}
        Some(Reply::Response(response)) => send(response, is_head, stream, limits).await,
        Some(Reply::Tunnel { headers, run }) if is_tunnel => run_tunnel(headers, run, stream, limits).await,
        Some(Reply::Tunnel { .. }) => stream.connection().reset(stream.key(), ErrorCode::INTERNAL_ERROR),
        Some(Reply::Reset(code)) => stream.connection().reset(stream.key(), code.into()),
    }
}

async fn send(response: Response<Body>, is_head: bool, stream: StreamHandle, limits: StreamLimits<'_>) {
    let (mut parts, mut body) = response.into_parts();
    crate::headers::strip_hop_by_hop(&mut parts.headers);
    let is_bodiless = is_head || body.is_end_stream();
    stream.connection().respond(stream.key(), parts.status, &parts.headers, is_bodiless);
    drop(parts);
    if !is_bodiless && !send_now(&stream, &mut body) {
        Pump::new(stream, body, limits.bounds()).await;
    }
}

async fn run_tunnel(mut headers: HeaderMap, run: TunnelRun, stream: StreamHandle, limits: StreamLimits<'_>) {
    crate::headers::strip_hop_by_hop(&mut headers);
    stream.connection().respond(stream.key(), StatusCode::OK, &headers, false);
    run(Tunnel::stream(StreamIo::bounded(stream, limits.bounds()))).await;
}
