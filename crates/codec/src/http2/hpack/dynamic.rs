//! The dynamic table (RFC 7541 section 2.3.2): what was sent lately, newest first, as much as its size allows.
//!
//! Both sides build it alike; what an entry is to one of them is its own business, only its size is not.

use std::collections::VecDeque;

/// Bytes of a dynamic table before anyone has said anything of it (RFC 9113 section 6.5.2).
pub const TABLE_BYTES_DEFAULT: usize = 4096;
/// What an entry counts for beside its name and value (RFC 7541 section 4.1).
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 32;

/// Entries, newest first. Costs no memory before the first one.
#[derive(Debug)]
pub(super) struct DynamicTable<E> {
    entries: VecDeque<(usize, E)>,
    bytes: usize,
    bytes_max: usize,
}

impl<E> DynamicTable<E> {
    pub(super) fn new() -> Self {
        DynamicTable { entries: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES_DEFAULT }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Changes how large it may be, and drops what no longer fits.
    pub(super) fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.evict(0);
    }

    /// The entry at `position`: 0 is the newest.
    pub(super) fn get(&self, position: usize) -> Option<&E> {
        self.entries.get(position).map(|(_, entry)| entry)
    }

    /// Adds an entry of this size, if there is room for it; if not, the table is empty then.
    pub(super) fn insert(&mut self, bytes: usize, entry: E) {
        self.evict(bytes);
        if bytes <= self.bytes_max {
            self.bytes += bytes;
            self.entries.push_front((bytes, entry));
        }
        debug_assert!(self.bytes <= self.bytes_max, "table of {} bytes", self.bytes);
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, room: usize) {
        while self.bytes + room > self.bytes_max {
            let Some((bytes, _)) = self.entries.pop_back() else { return };
            self.bytes -= bytes;
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
