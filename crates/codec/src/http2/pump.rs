//! The sending half of a stream: takes a body and writes it as fast as the peer's window allows.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http_body::{Body as _, Frame};
use tokio::time::{Instant, Sleep};

use super::findings::Findings;
use super::open::StreamGuard;
use super::outbox::{Outbox, Piece};
use crate::budget::{Pause, Wait};
use crate::options::{CONNECTION_STALL_GRACE, STALL_BYTES_MIN, STALL_GRACE, STALLED_BYTES};
use crate::{Body, BodyEnd, BodyError, Budget};

/// Bytes of a piece that is sent without a look at what comes behind it.
const SMALL_PIECE_BYTES: usize = 1024;

/// Writes one body. Ends when it is written, or when nobody wants it any more.
pub(super) struct Pump {
    stream: SendStream<Piece>,
    body: Body,
    /// Taken from the body. The library gets only what the window has room for: it would keep the rest for ever.
    piece: Bytes,
    /// Of the whole piece.
    piece_len: usize,
    /// What came behind the piece, when that was looked at: `None` in it is the end.
    ahead: Option<Option<Result<Frame<Bytes>, BodyError>>>,
    bounds: Bounds,
    /// From the first time on that bytes wait for the peer's window, or for the socket.
    stall: Option<Stall>,
    findings: Rc<Findings>,
    cancel: Option<Rc<Cancel>>,
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

/// What a pump and who waits for the response share: tells the pump that its request was given up.
#[derive(Debug)]
pub(super) struct Cancel {
    asked: Cell<bool>,
    pump: RefCell<Option<Waker>>,
    /// Held until both are done.
    _open: Option<StreamGuard>,
}

impl Cancel {
    pub(super) fn new(open: Option<StreamGuard>) -> Self {
        Cancel { asked: Cell::new(false), pump: RefCell::default(), _open: open }
    }
}

/// Gives a request up when dropped before `disarm`.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(Option<Rc<Cancel>>);

impl CancelOnDrop {
    pub(super) fn new(cancel: &Rc<Cancel>) -> Self {
        CancelOnDrop(Some(Rc::clone(cancel)))
    }

    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel.asked.set(true);
            if let Some(pump) = cancel.pump.borrow_mut().take() {
                pump.wake();
            }
        }
    }
}

/// Sends a body that is in hand at once, if the window has room for all of it. Returns whether it did.
pub(super) fn send_now(stream: &mut SendStream<Piece>, body: &mut Body, outbox: &Rc<Outbox>) -> bool {
    let Some(len) = body.full_len() else { return false };
    stream.reserve_capacity(len);
    if stream.capacity() < len {
        return false;
    }
    if let Some(bytes) = body.take_full() {
        // Fails only if the stream is gone.
        let _ = stream.send_data(outbox.piece(bytes), true);
    }
    true
}

impl Pump {
    pub(super) fn new(
        stream: SendStream<Piece>,
        body: Body,
        bounds: Bounds,
        findings: Rc<Findings>,
        cancel: Option<Rc<Cancel>>,
    ) -> Self {
        Pump {
            stream,
            body,
            piece: Bytes::new(),
            piece_len: 0,
            ahead: None,
            bounds,
            stall: None,
            findings,
            cancel,
        }
    }

    /// Ready when nobody wants the rest: with what to tell the peer, if anything.
    fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        if let Some(cancel) = &self.cancel {
            if cancel.asked.get() {
                return Poll::Ready(Some(Reason::CANCEL));
            }
            let mut pump = cancel.pump.borrow_mut();
            if !pump.as_ref().is_some_and(|pump| pump.will_wake(cx.waker())) {
                *pump = Some(cx.waker().clone());
            }
        }
        // Reset by the peer, or the connection is gone.
        self.stream.poll_reset(cx).map(|_| None)
    }

    /// Ready when the connection takes something more, without a look at the stream's window: only the body tells
    /// whether it needs one. Until then nothing is read from its source; it would only wait here.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Reason>>> {
        if self.findings.outbox.poll_room(cx).is_pending() {
            let lost = ready!(self.poll_stall(cx));
            return Poll::Ready(Err(Some(self.give_up(lost))));
        }
        if let Some(stall) = &mut self.stall {
            stall.end();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with room for some of the piece; with an error when the stream shall be, or was, reset.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Option<Reason>>> {
        self.stream.reserve_capacity(self.piece.len());
        loop {
            let room = self.stream.capacity().min(self.piece.len());
            let is_waiting = if room > 0 {
                self.findings.outbox.poll_room(cx).is_pending()
            } else {
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(_) => return Poll::Ready(Err(None)),
                    Poll::Pending => true,
                }
            };
            if !is_waiting {
                return Poll::Ready(Ok(room));
            }
            let lost = ready!(self.poll_stall(cx));
            return Poll::Ready(Err(Some(self.give_up(lost))));
        }
    }

    fn give_up(&mut self, lost: Lost) -> Reason {
        let (end, reason) = match lost {
            Lost::Idle => (BodyEnd::Unread, Reason::CANCEL),
            Lost::Shed => (BodyEnd::Shed, Reason::ENHANCE_YOUR_CALM),
        };
        self.body.give_up(end);
        reason
    }

    /// Ready when the peer's window has been shut, or has trickled, for too long, or when others need the room.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        let (timeout, findings) = (self.bounds.stall_timeout, &self.findings);
        let grace = STALL_GRACE.min(timeout);
        let stall = self.stall.get_or_insert_with(|| Stall::new(grace));
        let mut since = stall.begin(grace, findings);
        loop {
            if stall.wait.as_ref().is_some_and(|wait| wait.poll_shed(cx).is_ready()) {
                return Poll::Ready(Lost::Shed);
            }
            ready!(stall.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= since + timeout {
                // Not the window but the socket: the connection has its own deadline for that. So it is with what
                // has nothing in hand.
                if !findings.outlet.is_blocked() && !self.piece.is_empty() {
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
                stall.charge(budget, bytes, findings, now);
            }
            let is_settled = stall.wait.is_some() || self.bounds.budget.is_none();
            let again =
                if is_settled { since + timeout } else { (since + STALL_GRACE).max(now + STALL_GRACE / 2) };
            stall.timer.as_mut().reset(again.min(since + timeout));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reason>> {
        loop {
            if let Poll::Ready(reason) = self.poll_unwanted(cx) {
                return Poll::Ready(reason);
            }
            if self.piece.is_empty() {
                // What was taken already waits as a piece, and costs what it is.
                if self.ahead.is_none()
                    && let Err(reason) = ready!(self.poll_turn(cx))
                {
                    return Poll::Ready(reason);
                }
                match ready!(self.poll_body(cx)) {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(reason) => return Poll::Ready(reason),
                }
            }
            let mut room = match ready!(self.poll_room(cx)) {
                Ok(room) => room,
                Err(reason) => return Poll::Ready(reason),
            };
            if room == self.piece.len() && self.ahead.is_none() {
                self.gather(cx);
                room = self.stream.capacity().min(self.piece.len());
            }
            let part = self.findings.outbox.piece(self.piece.split_to(room));
            let last = self.piece.is_empty() && self.is_at_end();
            if self.stream.send_data(part, last).is_err() || last {
                return Poll::Ready(None);
            }
            self.note(room);
        }
    }

    /// Takes the next piece from the body, or ends the stream as the body ended.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<Option<Reason>>> {
        let frame = match self.ahead.take() {
            Some(frame) => frame,
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
        };
        let frame = match frame {
            // Fails only if the stream is gone, here and below.
            None => {
                let _ = self.stream.send_data(Piece::default(), true);
                return Poll::Ready(ControlFlow::Break(None));
            }
            Some(Err(_)) => return Poll::Ready(ControlFlow::Break(Some(Reason::INTERNAL_ERROR))),
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(data) => {
                (self.piece_len, self.piece) = (data.len(), data);
                Poll::Ready(ControlFlow::Continue(()))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.stream.reserve_capacity(0);
                let _ = self.stream.send_trailers(trailers);
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

    /// Puts small pieces that are there together: a frame costs its receiver more than the few bytes in it, and the
    /// library cuts a connection, with all streams on it, when too many of them wait for who reads one of them. Only
    /// where there is room for all of it: a body that was asked counts the time until it is asked again as its
    /// sender's, and one that was read to its end as sent.
    fn gather(&mut self, cx: &mut Context<'_>) {
        let mut all = BytesMut::new();
        loop {
            let len = all.len().max(self.piece.len());
            self.stream.reserve_capacity(len);
            if len >= SMALL_PIECE_BYTES || self.stream.capacity() < len || self.body.is_end_stream() {
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
    fn begin(&mut self, grace: Duration, findings: &Findings) -> Instant {
        if let Some(since) = self.since {
            return since;
        }
        let now = Instant::now();
        (self.since, self.moved, self.turn) = (Some(now), 0, (findings.outbox.turn(), now));
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
    fn charge(&mut self, budget: &Rc<Budget>, bytes: usize, findings: &Findings, now: Instant) {
        if !self.is_of_stream(findings, now) {
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
    fn is_of_stream(&mut self, findings: &Findings, now: Instant) -> bool {
        let outbox = &findings.outbox;
        if outbox.has_window() && !outbox.is_full() && !findings.outlet.is_blocked() {
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
        if let Some(reason) = ready!(pump.poll_write(cx)) {
            pump.stream.send_reset(reason);
        }
        Poll::Ready(())
    }
}
