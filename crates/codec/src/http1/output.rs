//! What is to be written: heads and small pieces of bodies in one buffer, behind them at most one large piece as it
//! came, so that all goes out with one call.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use super::spare;

/// Bytes of a piece that is not copied behind what is there already: more cost more than a second slice does.
const LARGE_BYTES_MIN: usize = 4 * 1024;
/// Copied bytes with which it is full.
const FULL_BYTES: usize = 16 * 1024;

/// Bytes to be written, in order.
#[derive(Debug, Default)]
pub(super) struct Output {
    copied: BytesMut,
    /// How many of `copied` are out.
    written: usize,
    /// Comes behind `copied`.
    large: Bytes,
    /// Comes behind `large`.
    last: &'static [u8],
}

impl Output {
    /// Whether nothing is to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.large.is_empty() && self.last.is_empty()
    }

    /// Whether nothing more should be put in before something was written.
    pub(super) fn is_full(&self) -> bool {
        self.copied.len() >= FULL_BYTES || !self.large.is_empty() || !self.last.is_empty()
    }

    /// The buffer for what is copied. Not while it is full.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        debug_assert!(self.large.is_empty() && self.last.is_empty(), "behind a large piece");
        if self.copied.capacity() == 0 {
            self.copied = spare::take_buffer();
        }
        &mut self.copied
    }

    /// A piece of a body, and what comes behind it. Not while it is full.
    pub(super) fn put_piece(&mut self, piece: Bytes, behind: &'static [u8]) {
        if piece.len() >= LARGE_BYTES_MIN {
            (self.large, self.last) = (piece, behind);
        } else {
            let buffer = self.buffer();
            buffer.extend_from_slice(&piece);
            buffer.extend_from_slice(behind);
        }
    }

    /// Whether one slice holds all.
    pub(super) fn is_one_slice(&self) -> bool {
        self.large.is_empty() && self.last.is_empty()
    }

    /// The first bytes.
    pub(super) fn first(&self) -> &[u8] {
        if self.written < self.copied.len() {
            &self.copied[self.written..]
        } else if !self.large.is_empty() {
            &self.large
        } else {
            self.last
        }
    }

    /// All bytes.
    pub(super) fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(&self.copied[self.written..]), IoSlice::new(&self.large), IoSlice::new(self.last)]
    }

    /// So many bytes are out.
    pub(super) fn advance(&mut self, mut len: usize) {
        let copied = len.min(self.copied.len() - self.written);
        self.written += copied;
        len -= copied;
        if self.written == self.copied.len() && self.written > 0 {
            self.written = 0;
            spare::give_back_buffer(std::mem::take(&mut self.copied));
        }
        let large = len.min(self.large.len());
        if large > 0 {
            self.large.advance(large);
            len -= large;
        }
        if self.large.is_empty() {
            self.large = Bytes::new();
            self.last = self.last.get(len..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests;
