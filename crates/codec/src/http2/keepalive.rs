//! Finding out whether a peer that says nothing is still there: PING while streams are open, and only then.
//!
//! TCP cannot tell: a frozen process has a kernel that goes on acknowledging. One timer for each connection, moved
//! only when it fires, and no look at the clock for what arrives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep};

/// When a silent peer is asked, and how long it may take to answer.
#[derive(Clone, Copy, Debug)]
pub struct KeepaliveOptions {
    /// Silence, with streams open, after which a PING is sent: so long at least, twice as long at most.
    pub silence: Duration,
    /// From the PING to anything that the peer says. Longer: the connection is given up.
    pub timeout: Duration,
}

/// The keepalive of one connection.
pub(super) struct Keepalive {
    options: KeepaliveOptions,
    pings: PingPong,
    timer: Pin<Box<Sleep>>,
    state: State,
    /// What had been heard when the timer was set.
    heard: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No stream is open: nobody cares.
    Resting,
    /// The peer may be silent until the timer fires.
    Listening,
    /// A PING was sent.
    Asking,
}

impl Keepalive {
    pub(super) fn new(options: KeepaliveOptions, pings: PingPong) -> Self {
        let timer = Box::pin(tokio::time::sleep(options.silence));
        Keepalive { options, pings, timer, state: State::Resting, heard: 0 }
    }

    /// Ready when the peer is silent. `open`: streams; `heard` changes with whatever the peer says.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, open: usize, heard: u64) -> Poll<()> {
        if self.state == State::Resting {
            if open == 0 {
                return Poll::Pending;
            }
            self.listen(heard);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if open == 0 {
                self.state = State::Resting;
                return Poll::Pending;
            }
            if heard != self.heard {
                self.listen(heard);
            } else if self.state == State::Asking {
                return Poll::Ready(());
            } else {
                self.ask(cx);
            }
        }
    }

    fn listen(&mut self, heard: u64) {
        (self.state, self.heard) = (State::Listening, heard);
        self.timer.as_mut().reset(Instant::now() + self.options.silence);
    }

    fn ask(&mut self, cx: &mut Context<'_>) {
        // The answer to an earlier one makes room for the next.
        let _ = self.pings.poll_pong(cx);
        // Fails only when one is still on its way, which asks as well, or when the connection has ended.
        let _ = self.pings.send_ping(Ping::opaque());
        self.state = State::Asking;
        self.timer.as_mut().reset(Instant::now() + self.options.timeout);
    }
}
