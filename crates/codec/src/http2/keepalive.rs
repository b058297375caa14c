//! Finding out whether a peer that says nothing is still there: PING while streams are open, and only then.
//!
//! TCP cannot tell: a frozen process has a kernel that goes on acknowledging. One timer for each connection, moved
//! only when it fires, and no look at the clock for what arrives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

use super::connection::Multiplexer;
use crate::KeepaliveOptions;

/// The keepalive of one connection.
pub(super) struct Keepalive {
    options: KeepaliveOptions,
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
    pub(super) fn new(options: KeepaliveOptions) -> Self {
        let timer = Box::pin(tokio::time::sleep(options.silence));
        Keepalive { options, timer, state: State::Resting, heard: 0 }
    }

    /// Ready when the peer is silent. What it asks must be written.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, connection: &mut Multiplexer) -> Poll<()> {
        let (open, heard) = (connection.held_streams(), connection.heard());
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
                self.ask(connection);
            }
        }
    }

    fn listen(&mut self, heard: u64) {
        (self.state, self.heard) = (State::Listening, heard);
        self.timer.as_mut().reset(Instant::now() + self.options.silence);
    }

    fn ask(&mut self, connection: &mut Multiplexer) {
        connection.ping();
        self.state = State::Asking;
        self.timer.as_mut().reset(Instant::now() + self.options.timeout);
    }
}
