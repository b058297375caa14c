//! What a connection has handed to the library and the socket has not taken yet: all streams together have a
//! limit, because each of them alone may have its whole window.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};

use crate::options::STALL_BYTES_MIN;

/// The connection's window for what we send, until the peer enlarges it (RFC 9113 section 6.9.2).
const FIRST_WINDOW_BYTES: i64 = 65_535;

/// The queue of one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    limit: usize,
    queued: Cell<usize>,
    /// Bytes of bodies that have left.
    gone: Cell<u64>,
    /// What the peer lets us send on all streams together; our part of the sum.
    window: Cell<i64>,
    waiters: RefCell<Vec<Waker>>,
}

impl Outbox {
    /// A queue that takes nothing more once it holds `limit` bytes; the last piece may exceed it.
    pub(super) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Outbox {
            limit,
            queued: Cell::new(0),
            gone: Cell::new(0),
            window: Cell::new(FIRST_WINDOW_BYTES),
            waiters: RefCell::default(),
        })
    }

    /// Puts `bytes` in; they count until the library lets go of them.
    pub(super) fn piece(self: &Rc<Self>, bytes: Bytes) -> Piece {
        let len = bytes.len();
        self.queued.set(self.queued.get() + len);
        self.window.set(self.window.get() - len as i64);
        Piece { bytes, from: Some((Rc::clone(self), len)) }
    }

    /// The peer enlarged the connection's window.
    pub(super) fn widen(&self, by: u32) {
        self.window.set(self.window.get() + i64::from(by));
    }

    /// Whether the connection has a window left: who waits for one then waits for its stream's.
    pub(super) fn has_window(&self) -> bool {
        self.window.get() > 0
    }

    /// Whether it takes nothing more.
    pub(super) fn is_full(&self) -> bool {
        self.queued.get() >= self.limit
    }

    /// Ready when it takes something.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Changes with each [`STALL_BYTES_MIN`] of bodies that have left.
    pub(super) fn turn(&self) -> u64 {
        self.gone.get() / STALL_BYTES_MIN as u64
    }

    /// The library let go of a piece of `len` bytes, with `unsent` of them: their stream was reset, and the window
    /// is there for others.
    fn left(&self, len: usize, unsent: usize) {
        self.gone.set(self.gone.get() + (len - unsent) as u64);
        self.window.set(self.window.get() + unsent as i64);
        self.queued.set(self.queued.get() - len);
        // All of them: one that was woken may be gone, and they ask again.
        if self.queued.get() <= self.limit / 2 {
            let waiters = std::mem::take(&mut *self.waiters.borrow_mut());
            waiters.into_iter().for_each(Waker::wake);
        }
    }
}

/// Bytes in the library's queue.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    bytes: Bytes,
    from: Option<(Rc<Outbox>, usize)>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some((outbox, len)) = self.from.take() {
            outbox.left(len, self.bytes.len());
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, len: usize) {
        self.bytes.advance(len);
    }
}

#[cfg(test)]
mod tests;
