//! Deadlines of a connection with one timer and no timer work per request: the timer stays where it was and is
//! moved when it fires too early.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::ServerOptions;
use crate::options::STALL_BYTES_MIN;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// The first byte of the next request.
    Idle,
    /// The rest of something that must come soon.
    Head,
    /// Our side, or bodies, which have deadlines elsewhere.
    Busy,
    /// An answer for a client that may have gone.
    HalfClosed,
    /// Room in the peer's socket.
    Stuck,
}

/// What a connection's socket does with what we write.
#[derive(Debug, Default)]
pub(crate) struct Outlet {
    is_blocked: Cell<bool>,
    written: Cell<u64>,
}

impl Outlet {
    /// Remembers the result of a write.
    pub(crate) fn note(&self, written: &Poll<io::Result<usize>>) {
        self.is_blocked.set(written.is_pending());
        if let Poll::Ready(Ok(len)) = written {
            self.written.set(self.written.get() + *len as u64);
        }
    }

    /// Remembers the result of a flush: TLS takes bytes that the socket does not.
    pub(crate) fn note_flush(&self, flushed: &Poll<io::Result<()>>) {
        self.is_blocked.set(flushed.is_pending());
    }

    /// Whether the last write or flush has to wait.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.get()
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Changes with each [`STALL_BYTES_MIN`] written.
    pub(crate) fn turn(&self) -> u64 {
        self.written.get() / STALL_BYTES_MIN as u64
    }
}

/// Watches the stages of one connection.
pub(crate) struct Watchdog {
    timer: Pin<Box<Sleep>>,
    activity: Activity,
    /// Changes whenever the activity was left and entered again in between.
    turn: u64,
    deadline: Option<Instant>,
    idle: Duration,
    head: Duration,
    half_closed: Duration,
    stuck: Duration,
}

impl Watchdog {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        let deadline = Instant::now() + options.idle_timeout;
        Watchdog {
            timer: Box::pin(tokio::time::sleep_until(deadline)),
            activity: Activity::Idle,
            turn: 0,
            deadline: Some(deadline),
            idle: options.idle_timeout,
            head: options.header_timeout,
            half_closed: options.half_close_timeout,
            stuck: options.write_timeout,
        }
    }

    /// From now on idling is allowed for `idle` only.
    pub(crate) fn shorten_idle(&mut self, idle: Duration) {
        self.idle = idle;
        if self.activity == Activity::Idle {
            let deadline = Instant::now() + idle;
            self.deadline = Some(deadline);
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Notes the activity; ready with it when it has lasted too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, activity: Activity, turn: u64) -> Poll<Activity> {
        if activity != self.activity || turn != self.turn {
            self.enter(activity, turn);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            match self.deadline {
                Some(deadline) if deadline <= now => {
                    self.deadline = None;
                    self.timer.as_mut().reset(now + self.idle);
                    return Poll::Ready(activity);
                }
                Some(deadline) => self.timer.as_mut().reset(deadline),
                None => self.timer.as_mut().reset(now + self.idle),
            }
        }
        Poll::Pending
    }

    fn enter(&mut self, activity: Activity, turn: u64) {
        (self.activity, self.turn) = (activity, turn);
        self.deadline = match activity {
            Activity::Busy => None,
            Activity::Idle => Some(Instant::now() + self.idle),
            Activity::Head => Some(Instant::now() + self.head),
            Activity::HalfClosed => Some(Instant::now() + self.half_closed),
            Activity::Stuck => Some(Instant::now() + self.stuck),
        };
        // A later deadline is found when the timer fires; an earlier one must move it now.
        if let Some(deadline) = self.deadline
            && deadline < self.timer.deadline()
        {
            self.timer.as_mut().reset(deadline);
        }
    }
}
