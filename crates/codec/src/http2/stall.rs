//! Bytes of a stream that wait for its reader: for how long, and at whose cost. Used by `pump` and `tunnel`.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::handle::StreamHandle;
use crate::Budget;
use crate::budget::{Pause, Wait};
use crate::options::{CONNECTION_STALL_GRACE, STALL_BYTES_MIN, STALL_GRACE, STALLED_BYTES};

/// How long a reader is waited for, and at whose cost.
pub(super) struct Bounds {
    pub(super) stall_timeout: Duration,
    /// Charged while it waits; `None`: nobody's.
    pub(super) budget: Option<Rc<Budget>>,
}

/// How long bytes have been waiting for a window, or for the socket.
pub(super) struct Stall {
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
pub(super) enum Lost {
    /// It read nothing for the stall timeout.
    Idle,
    /// Others need the room.
    Shed,
}

impl Bounds {
    fn grace(&self) -> Duration {
        STALL_GRACE.min(self.stall_timeout)
    }
}

impl Stall {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let timer = Box::pin(tokio::time::sleep(bounds.grace()));
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
    pub(super) fn end(&mut self) {
        (self.since, self.wait, self.pause) = (None, None, None);
    }

    /// `len` bytes found room: enough of them end it, and so do the last ones.
    pub(super) fn note(&mut self, len: usize, is_all: bool) {
        self.moved += len;
        if is_all || self.moved >= STALL_BYTES_MIN {
            self.end();
        }
    }

    /// Ready when the peer's window has been shut, or has trickled, for too long, or when others need the room. Too long
    /// is only what `is_timed`; `held` are the bytes that wait.
    pub(super) fn poll_lost(
        &mut self,
        cx: &mut Context<'_>,
        stream: &StreamHandle,
        bounds: &Bounds,
        is_timed: bool,
        mut held: impl FnMut() -> usize,
    ) -> Poll<Lost> {
        let timeout = bounds.stall_timeout;
        let mut since = self.begin(bounds.grace(), stream);
        loop {
            if self.wait.as_ref().is_some_and(|wait| wait.poll_shed(cx).is_ready()) {
                return Poll::Ready(Lost::Shed);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= since + timeout {
                // Not the window but the socket: the connection has its own deadline for that. So it is with what
                // has nothing in hand.
                if !stream.connection().outlet().is_blocked() && is_timed {
                    return Poll::Ready(Lost::Idle);
                }
                since = now;
                self.since = Some(now);
            }
            if let (Some(budget), None) = (&bounds.budget, &self.wait)
                && now >= since + STALL_GRACE
            {
                self.charge(budget, STALLED_BYTES + held(), stream, now);
            }
            let is_settled = self.wait.is_some() || bounds.budget.is_none();
            let again =
                if is_settled { since + timeout } else { (since + STALL_GRACE).max(now + STALL_GRACE / 2) };
            self.timer.as_mut().reset(again.min(since + timeout));
        }
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
