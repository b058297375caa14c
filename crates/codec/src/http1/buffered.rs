//! A connection's stream with what was read of it and what is to be written to it. It knows no messages. Buffers are
//! taken when there are bytes, and given back by `settle`.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::output::Output;
use super::spare;
use crate::BoxIo;
use crate::options::READ_BYTES_MAX;
use crate::watchdog::Outlet;

/// Room for less than that is made larger before reading.
const ROOM_BYTES_MIN: usize = 1024;
/// Bytes that are read ahead of who wants them, to see that the peer has gone. Behind more of them it is not seen.
const AHEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one such read.
const AHEAD_BYTES_EACH: usize = 4 * 1024;

/// One connection's stream.
pub(super) struct BufferedIo {
    io: Option<BoxIo>,
    /// Read, and not taken yet.
    pub(super) input: BytesMut,
    pub(super) output: Output,
    /// What the peer's socket does.
    pub(super) outlet: Outlet,
    /// How much is read at once: more while reads fill it.
    read_bytes: usize,
    /// `input` is not of ordinary size any more.
    has_grown: bool,
    /// The peer has ended its sending side.
    is_ended: bool,
    /// Something was written that was not flushed yet.
    is_unflushed: bool,
}

impl BufferedIo {
    pub(super) fn new(io: BoxIo) -> Self {
        BufferedIo {
            io: Some(io),
            input: BytesMut::new(),
            output: Output::default(),
            outlet: Outlet::default(),
            read_bytes: spare::BUFFER_BYTES,
            has_grown: false,
            is_ended: false,
            is_unflushed: false,
        }
    }

    /// Whether the peer has ended its sending side, as far as was read.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The bare stream and what was read of it, once. From now on reading and writing fails.
    pub(super) fn take(&mut self) -> Option<(Bytes, BoxIo)> {
        let io = self.io.take()?;
        Some((std::mem::take(&mut self.input).freeze(), io))
    }

    /// Reads behind `input`; 0 at the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(closed())) };
        if self.is_ended {
            return Poll::Ready(Ok(0));
        }
        if self.input.capacity() == 0 {
            self.input = spare::take_buffer();
        }
        if self.input.capacity() - self.input.len() < ROOM_BYTES_MIN.max(self.read_bytes / 2) {
            self.input.reserve(self.read_bytes);
            self.has_grown = true;
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(pin!(io.read_buf(&mut self.input)).poll(cx))?;
        if read == 0 {
            self.is_ended = true;
        } else if read == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if read < self.read_bytes / 4 {
            self.read_bytes = spare::BUFFER_BYTES;
        }
        Poll::Ready(Ok(read))
    }

    /// Reads although nobody wants it yet, as far as there is room for that: who has gone is seen by nothing else.
    /// Returns whether anything came, the end included.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_come = false;
        let Some(io) = &mut self.io else { return Ok(false) };
        while !self.is_ended && self.input.len() < AHEAD_BYTES_MAX {
            let mut space = [const { MaybeUninit::uninit() }; AHEAD_BYTES_EACH];
            let mut ahead = ReadBuf::uninit(&mut space);
            let Poll::Ready(read) = Pin::new(&mut *io).poll_read(cx, &mut ahead) else { break };
            read?;
            has_come = true;
            self.is_ended = ahead.filled().is_empty();
            self.input.extend_from_slice(ahead.filled());
        }
        Ok(has_come)
    }

    /// Ready when anything comes while nothing should, the end or a failure of the stream included.
    pub(super) fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(io) = &mut self.io else { return Poll::Ready(()) };
        let mut space = [MaybeUninit::uninit()];
        let mut byte = ReadBuf::uninit(&mut space);
        if self.is_ended { Poll::Ready(()) } else { Pin::new(io).poll_read(cx, &mut byte).map(drop) }
    }

    /// Writes all of `output`.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Err(closed())) };
        while !self.output.is_empty() {
            let io = Pin::new(&mut *io);
            let written = if self.output.is_one_slice() || !io.is_write_vectored() {
                io.poll_write(cx, self.output.first())
            } else {
                io.poll_write_vectored(cx, &self.output.slices())
            };
            self.outlet.note(&written);
            let len = ready!(written)?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(len);
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            let flushed = Pin::new(io).poll_flush(cx);
            self.outlet.note_flush(&flushed);
            ready!(flushed)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing is at hand: the buffer goes back, if it is empty.
    pub(super) fn settle(&mut self) {
        if self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            if !std::mem::take(&mut self.has_grown) {
                spare::give_back_buffer(input);
            }
            self.read_bytes = spare::BUFFER_BYTES;
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}
