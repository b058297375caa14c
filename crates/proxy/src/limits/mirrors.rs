//! How many copies of requests a worker may have at once, and what they may hold (`flow::mirror`).

use daemon::Tasks;
use std::cell::Cell;
use std::rc::Rc;

/// Copies that a worker may have at once; of further requests none are made.
const COPIES_MAX: usize = 1024;
/// Longest body that is copied, in bytes; of a request with a longer one no copy is made.
const BODY_BYTES_MAX: usize = 1 << 20;
/// What all bodies that a worker keeps for copies may hold together, in bytes; of further requests no copies are made.
const HELD_BYTES_MAX: usize = 16 << 20;

/// The copies of a worker.
#[derive(Default)]
pub(crate) struct Mirrors {
    /// Room for them.
    pub(crate) room: Rc<MirrorRoom>,
    /// What sends them.
    pub(crate) tasks: Tasks,
}

/// What a worker has of copies at the moment.
#[derive(Default)]
pub(crate) struct MirrorRoom {
    copies: Cell<usize>,
    held_bytes: Cell<usize>,
}

/// A place for a copy, and what is held of its body.
pub(crate) struct MirrorPlace {
    room: Rc<MirrorRoom>,
    held_bytes: usize,
}

impl MirrorRoom {
    /// A place for one more; `None`: there is none.
    pub(crate) fn take(self: &Rc<Self>) -> Option<MirrorPlace> {
        let copies = self.copies.get();
        (copies < COPIES_MAX).then(|| {
            self.copies.set(copies + 1);
            MirrorPlace { room: Rc::clone(self), held_bytes: 0 }
        })
    }
}

impl MirrorPlace {
    /// Whether there is room for so many more bytes.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let held_bytes = self.room.held_bytes.get() + bytes;
        if self.held_bytes + bytes > BODY_BYTES_MAX || held_bytes > HELD_BYTES_MAX {
            return false;
        }
        self.held_bytes += bytes;
        self.room.held_bytes.set(held_bytes);
        true
    }
}

impl Drop for MirrorPlace {
    fn drop(&mut self) {
        self.room.copies.set(self.room.copies.get().saturating_sub(1));
        self.room.held_bytes.set(self.room.held_bytes.get().saturating_sub(self.held_bytes));
    }
}
