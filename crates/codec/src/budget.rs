//! What one HTTP/2 connection makes us hold, charged before it is held.
//!
//! Charged are heads beyond the ordinary, bodies kept for a further attempt, and responses and tunnels that their
//! caller does not read. When there is no room, the response that has waited longest is given up; what still does not fit is
//! refused. What a stream costs by being open is not charged: the number of streams bounds that.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::options::PAUSED_BYTES_MAX;

/// Bytes of a head that are a part of what any open stream costs. What is beyond them is charged.
const HEAD_BYTES_FREE: usize = 8 * 1024;
/// What a field costs beside its bytes: its place in the map that was decoded, and in that which is sent on.
const FIELD_BYTES: usize = 208;

/// What a connection may make us hold.
pub struct Budget {
    limit: usize,
    held: Cell<usize>,
    /// Of `held`, what belongs to `waiting`.
    waiting_bytes: Cell<usize>,
    /// Responses that wait for their reader, the longest first.
    waiting: RefCell<VecDeque<Rc<Waiting>>>,
    /// What responses cost that wait for the connection as a whole, and are not charged yet.
    paused: Rc<Cell<usize>>,
    tell: RefCell<Option<Box<dyn FnOnce()>>>,
}

struct Waiting {
    bytes: usize,
    is_shed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Budget {
    /// A budget of `limit` bytes. `tell` is called when it runs out for the first time.
    pub fn new(limit: usize, tell: impl FnOnce() + 'static) -> Rc<Self> {
        Self::make(limit, Some(Box::new(tell)))
    }

    /// A budget of `limit` bytes that tells nobody.
    pub(crate) fn silent(limit: usize) -> Rc<Self> {
        Self::make(limit, None)
    }

    fn make(limit: usize, tell: Option<Box<dyn FnOnce()>>) -> Rc<Self> {
        Rc::new(Budget {
            limit,
            held: Cell::new(0),
            waiting_bytes: Cell::new(0),
            waiting: RefCell::default(),
            paused: Rc::default(),
            tell: RefCell::new(tell),
        })
    }

    /// Bytes charged now.
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// A charge of nothing yet.
    pub fn open(self: &Rc<Self>) -> Charge {
        Charge { budget: Rc::clone(self), bytes: 0 }
    }

    /// Charges a head with its fields; `None` where they are no more than any stream's.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn charge_head(self: &Rc<Self>, headers: &HeaderMap) -> Result<Option<Charge>, NoRoom> {
        let bytes = head_bytes(headers).saturating_sub(HEAD_BYTES_FREE);
        if bytes == 0 {
            return Ok(None);
        }
        let mut charge = self.open();
        if charge.grow(bytes) { Ok(Some(charge)) } else { Err(NoRoom) }
    }

    /// Charges a response that waits for its reader, at the cost of those that have waited longer. The last one is
    /// left, however large it is.
    pub(crate) fn wait(self: &Rc<Self>, bytes: usize) -> Wait {
        let waiting = Rc::new(Waiting { bytes, is_shed: Cell::new(false), waker: RefCell::default() });
        self.held.set(self.held.get() + bytes);
        self.waiting_bytes.set(self.waiting_bytes.get() + bytes);
        self.waiting.borrow_mut().push_back(Rc::clone(&waiting));
        while self.held.get() > self.limit && self.waiting.borrow().len() > 1 {
            self.shed();
        }
        Wait { budget: Rc::clone(self), waiting }
    }

    /// Notes a response that waits for the connection as a whole. `None`: too many do.
    pub(crate) fn pause(&self, bytes: usize) -> Option<Pause> {
        let paused = self.paused.get() + bytes;
        if paused > PAUSED_BYTES_MAX {
            return None;
        }
        self.paused.set(paused);
        Some(Pause { paused: Rc::clone(&self.paused), bytes })
    }

    /// Sees to it that `bytes` more fit.
    fn make_room(&self, bytes: usize) -> bool {
        let fixed = self.held.get() - self.waiting_bytes.get();
        if fixed + bytes > self.limit {
            self.ran_out();
            return false;
        }
        while self.held.get() + bytes > self.limit {
            self.shed();
        }
        true
    }

    /// Gives up who has waited longest.
    fn shed(&self) {
        self.ran_out();
        let Some(longest) = self.waiting.borrow_mut().pop_front() else { return };
        self.released(&longest);
        longest.is_shed.set(true);
        if let Some(waker) = longest.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn released(&self, waiting: &Waiting) {
        self.held.set(self.held.get() - waiting.bytes);
        self.waiting_bytes.set(self.waiting_bytes.get() - waiting.bytes);
    }

    fn ran_out(&self) {
        if let Some(tell) = self.tell.take() {
            tell();
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.held.get(), self.limit)
    }
}

/// Something does not fit.
#[derive(Debug)]
pub(crate) struct NoRoom;

/// What a head costs in memory until its request has ended.
pub(crate) fn head_bytes(headers: &HeaderMap) -> usize {
    let of_field =
        |(name, value): (&HeaderName, &HeaderValue)| FIELD_BYTES + name.as_str().len() + value.len();
    headers.iter().map(of_field).sum()
}

/// Bytes that are held; given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Charges `bytes` more. Returns whether they fit; else nothing is charged.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.budget.make_room(bytes);
        if fits {
            self.bytes += bytes;
            self.budget.held.set(self.budget.held.get() + bytes);
        }
        fits
    }

    /// Charges what `fields` cost, as [`Charge::grow`].
    pub fn grow_by_fields(&mut self, fields: &HeaderMap) -> bool {
        self.grow(head_bytes(fields))
    }

    /// Gives `bytes` back.
    pub fn shrink(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes, "more given back than charged");
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.held.set(self.budget.held.get() - bytes);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// A response that waits for its connection; no more so when it is dropped.
pub(crate) struct Pause {
    paused: Rc<Cell<usize>>,
    bytes: usize,
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.paused.set(self.paused.get() - self.bytes);
    }
}

/// A response that waits for its reader; given back when it is dropped.
pub(crate) struct Wait {
    budget: Rc<Budget>,
    waiting: Rc<Waiting>,
}

impl Wait {
    /// Ready when it is given up because others need its room.
    pub(crate) fn poll_shed(&self, cx: &Context<'_>) -> Poll<()> {
        if self.waiting.is_shed.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waiting.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.waiting.is_shed.get() {
            self.budget.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiting));
            self.budget.released(&self.waiting);
        }
    }
}
