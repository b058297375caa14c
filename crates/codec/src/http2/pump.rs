//! The sending half of a stream: takes a body and writes it as fast as the peer's window allows.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use tokio::time::{Instant, Sleep};

use super::connection::TURN_BYTES;
use super::frame::ErrorCode;
use super::handle::StreamHandle;
use crate::budget::{Pause, Wait};
use crate::options::{CONNECTION_STALL_GRACE, STALL_BYTES_MIN, STALL_GRACE, STALLED_BYTES};
use crate::{Body, BodyEnd, BodyError, Budget};

/// Bytes of a piece that is sent without a look at what comes behind it.
const SMALL_PIECE_BYTES: usize = 1024;

/// Writes one body. Ends when it is written, or when nobody wants it any more.
pub(super) struct Pump {
    stream: StreamHandle,
    body: Body,
    /// Taken from the body, as far as the windows had no room for it.
    piece: Bytes,
    /// Of the whole piece.
    piece_len: usize,
    /// What came behind the piece, when that was looked at: `None` in it is the end.
    ahead: Option<Option<Result<Frame<Bytes>, BodyError>>>,
    bounds: Bounds,
    /// From the first time on that bytes wait for the peer's window, or for the socket.
    stall: Option<Stall>,
    /// Bytes that were sent since it was polled.
    sent: usize,
}

/// How long a pump waits for its reader, and at whose cost.
pub(super) struct Bounds {
    pub(super) stall_timeout: Duration,
    /// Charged while it waits; `None`: nobody's.
    pub(super) budget: Option<Rc<Budget>>,
}

/// How long bytes have been waiting for a window, or for the socket.
struct Stall {
    /// May fire too early, never too late: it is moved when it fires, and by a stall that could not wait for that.
    timer: Pin<Box<Sleep>>,
    /// `None`: nothing waits.
    since: Option<Instant>,
    /// Bytes that found room since then.
    moved: usize,
    /// The connection's progress when it was looked at last, and since when there is no other.
    turn: (u64, Instant),
    /// Charged, once the stall is more than a moment.
    wait: Option<Wait>,
    /// Noted before, while it is the connection that stands still.
    pause: Option<Pause>,
}

/// Why a reader is not waited for any longer.
#[derive(Clone, Copy)]
enum Lost {
    /// It read nothing for the stall timeout.
    Idle,
    /// Others need the room.
    Shed,
}

/// Sends a body that is in hand at once, if there is room for all of it. Returns whether it did.
pub(super) fn send_now(stream: &StreamHandle, body: &mut Body) -> bool {
    let Some(len) = body.full_len() else { return false };
    if stream.connection().room(stream.key()) < len {
        return false;
    }
    if let Some(bytes) = body.take_full() {
        stream.connection().send_data(stream.key(), bytes, true);
    }
    true
}

impl Pump {
    pub(super) fn new(stream: StreamHandle, body: Body, bounds: Bounds) -> Self {
        Pump { stream, body, piece: Bytes::new(), piece_len: 0, ahead: None, bounds, stall: None, sent: 0 }
    }

    /// Ready when the connection takes something more, without a look at the stream's window: only the body tells
    /// whether it needs one. Until then nothing is read from its source; it would only wait here.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<ErrorCode>>> {
        let space = self.stream.connection().poll_space(self.stream.key(), cx);
        if space.is_pending() {
            let lost = ready!(self.poll_stall(cx));
            return Poll::Ready(Err(Some(self.give_up(lost))));
        }
        if let Some(stall) = &mut self.stall {
            stall.end();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with room for some of the piece; with an error when the stream shall be, or was, reset.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Option<ErrorCode>>> {
        let room = self.stream.connection().poll_room(self.stream.key(), cx, self.piece.len());
        match room {
            Poll::Ready(room) => Poll::Ready(room.map_err(|()| None)),
            Poll::Pending => {
                let lost = ready!(self.poll_stall(cx));
                Poll::Ready(Err(Some(self.give_up(lost))))
            }
        }
    }

    fn give_up(&mut self, lost: Lost) -> ErrorCode {
        let (end, code) = match lost {
            Lost::Idle => (BodyEnd::Unread, ErrorCode::CANCEL),
            Lost::Shed => (BodyEnd::Shed, ErrorCode::ENHANCE_YOUR_CALM),
        };
        self.body.give_up(end);
        code
    }

    /// Ready when the peer's window has been shut, or has trickled, for too long, or when others need the room.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        let (timeout, stream) = (self.bounds.stall_timeout, &self.stream);
        let grace = STALL_GRACE.min(timeout);
        let stall = self.stall.get_or_insert_with(|| Stall::new(grace));
        let mut since = stall.begin(grace, stream);
        loop {
            if stall.wait.as_ref().is_some_and(|wait| wait.poll_shed(cx).is_ready()) {
                return Poll::Ready(Lost::Shed);
            }
            ready!(stall.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= since + timeout {
                // Not the window but the socket: the connection has its own deadline for that. So it is with what
                // has nothing in hand.
                if !stream.connection().outlet().is_blocked() && !self.piece.is_empty() {
                    return Poll::Ready(Lost::Idle);
                }
                since = now;
                stall.since = Some(now);
            }
            if let (Some(budget), None) = (&self.bounds.budget, &stall.wait)
                && now >= since + STALL_GRACE
            {
                let piece_len = if self.piece.is_empty() { 0 } else { self.piece_len };
                let bytes = STALLED_BYTES + self.body.unread() + 2 * piece_len;
                stall.charge(budget, bytes, stream, now);
            }
            let is_settled = stall.wait.is_some() || self.bounds.budget.is_none();
            let again =
                if is_settled { since + timeout } else { (since + STALL_GRACE).max(now + STALL_GRACE / 2) };
            stall.timer.as_mut().reset(again.min(since + timeout));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Option<ErrorCode>> {
        self.sent = 0;
        loop {
            // Reset by the peer or by who reads the response, or the connection is gone.
            if self.stream.poll_broken(cx).is_ready() {
                return Poll::Ready(None);
            }
            if self.piece.is_empty() {
                // What was taken already waits as a piece, and costs what it is.
                if self.ahead.is_none()
                    && let Err(code) = ready!(self.poll_turn(cx))
                {
                    return Poll::Ready(code);
                }
                match ready!(self.poll_body(cx)) {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(code) => return Poll::Ready(code),
                }
            }
            let mut room = match ready!(self.poll_room(cx)) {
                Ok(room) => room,
                Err(code) => return Poll::Ready(code),
            };
            if room == self.piece.len() && self.ahead.is_none() {
                self.gather(cx);
                room = self.stream.connection().room(self.stream.key()).min(self.piece.len());
            }
            let part = self.piece.split_to(room.min(TURN_BYTES));
            let (len, last) = (part.len(), self.piece.is_empty() && self.is_at_end());
            if len == 0 {
                continue;
            }
            self.stream.connection().send_data(self.stream.key(), part, last);
            if last {
                return Poll::Ready(None);
            }
            self.note(len);
            self.sent += len;
            if self.sent >= TURN_BYTES {
                ready!(self.poll_next_turn(cx));
            }
        }
    }

    /// Lets other streams have their turn. Always pending: it is woken when it may go on.
    fn poll_next_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_alone = self.stream.connection().poll_next_turn(self.stream.key(), cx).is_ready();
        if is_alone {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes the next piece from the body, or ends the stream as the body ended.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<Option<ErrorCode>>> {
        let frame = match self.ahead.take() {
            Some(frame) => frame,
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
        };
        let frame = match frame {
            None => {
                self.stream.connection().send_data(self.stream.key(), Bytes::new(), true);
                return Poll::Ready(ControlFlow::Break(None));
            }
            Some(Err(_)) => return Poll::Ready(ControlFlow::Break(Some(ErrorCode::INTERNAL_ERROR))),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                (self.piece_len, self.piece) = (data.len(), data);
                Poll::Ready(ControlFlow::Continue(()))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.stream.connection().send_trailers(self.stream.key(), &trailers);
                Poll::Ready(ControlFlow::Break(None))
            }
        }
    }

    /// Whether nothing comes behind the piece.
    fn is_at_end(&self) -> bool {
        match &self.ahead {
            None => self.body.is_end_stream(),
            Some(frame) => frame.is_none(),
        }
    }

    /// Puts small pieces that are there together: a frame costs its receiver more than the few bytes in it, and
    /// many a receiver cuts a connection when too many of them wait for who reads one of them. Only
    /// where there is room for all of it: a body that was asked counts the time until it is asked again as its
    /// sender's, and one that was read to its end as sent.
    fn gather(&mut self, cx: &mut Context<'_>) {
        let mut all = BytesMut::new();
        loop {
            let len = all.len().max(self.piece.len());
            let room = self.stream.connection().room(self.stream.key());
            if len >= SMALL_PIECE_BYTES || room < len || self.body.is_end_stream() {
                break;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { break };
            match &frame {
                Some(Ok(frame))
                    if let Some(data) = frame.data_ref().filter(|data| data.len() < SMALL_PIECE_BYTES) =>
                {
                    if all.is_empty() {
                        all.extend_from_slice(&self.piece);
                    }
                    all.extend_from_slice(data);
                }
                _ => {
                    self.ahead = Some(frame);
                    break;
                }
            }
        }
        if !all.is_empty() {
            (self.piece_len, self.piece) = (all.len(), all.freeze());
        }
    }

    /// `len` bytes found room: enough of them end a stall, and so does the end of the piece.
    fn note(&mut self, len: usize) {
        if let Some(stall) = &mut self.stall {
            stall.moved += len;
            if self.piece.is_empty() || stall.moved >= STALL_BYTES_MIN {
                stall.end();
            }
        }
    }
}

impl Stall {
    fn new(grace: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(grace));
        Stall { timer, since: None, moved: 0, turn: (0, Instant::now()), wait: None, pause: None }
    }

    /// Since when bytes wait: since now, if none did.
    fn begin(&mut self, grace: Duration, stream: &StreamHandle) -> Instant {
        if let Some(since) = self.since {
            return since;
        }
        let now = Instant::now();
        (self.since, self.moved, self.turn) = (Some(now), 0, (stream.connection().outbox().turn(), now));
        // It may be set for the end of an earlier stall, minutes from now.
        if self.timer.deadline() > now + grace {
            self.timer.as_mut().reset(now + grace);
        }
        now
    }

    /// Nothing waits any more.
    fn end(&mut self) {
        (self.since, self.wait, self.pause) = (None, None, None);
    }

    /// Charges a response of `bytes` that has waited for more than a moment, or notes it.
    fn charge(&mut self, budget: &Rc<Budget>, bytes: usize, stream: &StreamHandle, now: Instant) {
        if !self.is_of_stream(stream, now) {
            self.pause = self.pause.take().or_else(|| budget.pause(bytes));
            if self.pause.is_some() {
                return;
            }
        }
        self.pause = None;
        self.wait = Some(budget.wait(bytes));
    }

    /// Whether the stream waits for its own window. If it waits for the connection, it has only its turn to wait for,
    /// unless nothing of the connection moves.
    fn is_of_stream(&mut self, stream: &StreamHandle, now: Instant) -> bool {
        let mut connection = stream.connection();
        let is_blocked = connection.outlet().is_blocked();
        let outbox = connection.outbox();
        if outbox.room() > 0 && !is_blocked {
            return true;
        }
        if self.turn.0 != outbox.turn() {
            self.turn = (outbox.turn(), now);
        }
        now.duration_since(self.turn.1) >= CONNECTION_STALL_GRACE
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let pump = self.get_mut();
        if let Some(code) = ready!(pump.poll_write(cx)) {
            pump.stream.connection().reset(pump.stream.key(), code);
        }
        Poll::Ready(())
    }
}
