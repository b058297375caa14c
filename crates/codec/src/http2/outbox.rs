//! What waits for the socket: frames of all streams in their order, small ones together in one piece of memory.
//!
//! It has a limit, at which bodies wait, because each stream alone may have its whole window. Frames that answer the
//! peer's are counted apart: whoever makes us write them and reads none is not read from.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::flow::{FIRST_WINDOW_BYTES, SendWindow};
use super::frame::{DATA, END_STREAM, FrameHead};
use crate::options::STALL_BYTES_MIN;

/// Bytes of data that go out as they are; fewer are copied behind the frames before them.
const COPIED_BYTES_MAX: usize = 4 * 1024;
/// Bytes of room for small frames that are kept when nothing waits.
const TAIL_BYTES_KEPT: usize = 16 * 1024;
/// Pieces that one write is given.
pub(super) const PIECES_MAX: usize = 32;
/// Bytes of frames that answer the peer's and that it has not read. More: nothing more is read from it.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Bytes of heads that may wait for the peer to read, beside data.
pub(super) const HEADS_WAITING_BYTES_MAX: usize = 256 * 1024;

/// The outbox of one connection.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Before the tail.
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in both.
    len: usize,
    /// At so many bytes no more data is taken; the last piece may exceed it.
    limit: usize,
    /// Beyond so many bytes, of which the rest is heads, the peer must read.
    most: usize,
    /// Bytes that have left.
    written: u64,
    /// Bytes of data that were put in.
    data_put: u64,
    /// Frames that answer the peer's: how many bytes, until `answers_end` has left.
    answers: u64,
    answers_end: u64,
    /// What the peer lets us send on all streams together.
    pub(super) window: SendWindow,
}

impl Outbox {
    /// Takes data up to `limit` bytes, and may hold `heads` bytes beside that before the peer must read.
    pub(super) fn new(limit: usize, heads: usize) -> Self {
        Outbox {
            pieces: VecDeque::new(),
            tail: BytesMut::new(),
            len: 0,
            limit,
            most: limit.saturating_add(heads),
            written: 0,
            data_put: 0,
            answers: 0,
            answers_end: 0,
            window: SendWindow::new(FIRST_WINDOW_BYTES),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it takes no more data.
    pub(super) fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Bytes until it takes no more data.
    pub(super) fn space(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Bytes of data that may be put in now, in one piece.
    pub(super) fn room(&self) -> usize {
        if self.is_full() { 0 } else { self.window.room() }
    }

    /// Whether the peer makes us write more than it reads: it must read before anything more is read from it.
    pub(super) fn is_overflowing(&self) -> bool {
        self.answers > ANSWER_BYTES_MAX || self.len > self.most
    }

    /// Whether the heads of further requests must wait: those that are given up leave theirs here.
    pub(super) fn is_overlong(&self) -> bool {
        self.len > self.limit.saturating_add(HEADS_WAITING_BYTES_MAX)
    }

    /// Bytes that have left.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Changes with each [`STALL_BYTES_MIN`] of bodies that found room.
    pub(super) fn turn(&self) -> u64 {
        self.data_put / STALL_BYTES_MIN as u64
    }

    /// Writes frames with `write`.
    pub(super) fn put<T>(&mut self, write: impl FnOnce(&mut BytesMut) -> T) -> T {
        let before = self.tail.len();
        let done = write(&mut self.tail);
        self.len += self.tail.len() - before;
        done
    }

    /// As [`Outbox::put`], of what answers the peer's frames.
    pub(super) fn answer(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.len;
        self.put(write);
        self.answers += (self.len - before) as u64;
        self.answers_end = self.written + self.len as u64;
    }

    /// A frame of data, which has room.
    pub(super) fn put_data(&mut self, stream: u32, data: Bytes, is_last: bool) {
        let flags = if is_last { END_STREAM } else { 0 };
        let (len, head) = (data.len(), FrameHead { len: data.len(), kind: DATA, flags, stream });
        self.window.take(len);
        self.data_put += len as u64;
        self.put(|tail| tail.put_slice(&head.bytes()));
        if len <= COPIED_BYTES_MAX {
            return self.put(|tail| tail.put_slice(&data));
        }
        self.pieces.push_back(self.tail.split().freeze());
        self.pieces.push_back(data);
        self.len += len;
    }

    /// What to write next, in at most [`PIECES_MAX`] pieces; says how many they are.
    pub(super) fn pieces<'a>(&'a self, slices: &mut [IoSlice<'a>; PIECES_MAX]) -> usize {
        let all = self.pieces.iter().map(|piece| &piece[..]).chain(Some(&self.tail[..]));
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(all.filter(|piece| !piece.is_empty())) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// So many bytes have left.
    pub(super) fn advance(&mut self, mut len: usize) {
        debug_assert!(len <= self.len, "more left than was there");
        len = len.min(self.len);
        self.len -= len;
        self.written += len as u64;
        if self.written >= self.answers_end {
            self.answers = 0;
        }
        while let Some(piece) = self.pieces.front_mut() {
            if piece.len() > len {
                return piece.advance(len);
            }
            len -= piece.len();
            self.pieces.pop_front();
        }
        self.tail.advance(len);
        if self.len == 0 {
            self.rest();
        }
    }

    /// Nothing waits: room that was made for much is given back.
    fn rest(&mut self) {
        self.tail.clear();
        if self.tail.capacity() > TAIL_BYTES_KEPT {
            self.tail = BytesMut::new();
        }
        if self.pieces.capacity() > PIECES_MAX {
            self.pieces = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests;
