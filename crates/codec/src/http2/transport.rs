//! A connection and its socket: what comes is read and handed to the connection, what waits is written.
//!
//! Reads and writes happen in turns: everything that has come is taken first, and what it made streams send leaves
//! together. Read next: `server`, `client`.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;

use super::connection::{Arrival, Fatal, Multiplexer};
use super::frame::ErrorCode;
use super::outbox::PIECES_MAX;
use crate::{Flood, Io, ServeError};

/// Bytes that are read at once at first.
const READ_BYTES_FIRST: usize = 8 * 1024;
/// Doubled with each read that fills them, up to this.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Reads before what was read is acted upon, and other connections get their turn.
const READS_PER_TURN: u32 = 4;

/// How a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The peer ended its side.
    Closed,
    /// The socket failed.
    Broken(io::Error),
    /// The peer did what it must not.
    Fatal(Fatal),
    /// No stream is left, and none will come.
    Finished,
    /// The peer took too long.
    Late(ServeError),
    /// The peer answers no PING.
    Silent,
}

impl Ending {
    pub(super) fn flood(flood: Flood) -> Self {
        Ending::Fatal(Fatal::Flood(flood))
    }

    /// What the peer is told.
    pub(super) fn code(&self) -> ErrorCode {
        match self {
            Ending::Fatal(fatal) => fatal.code(),
            Ending::Late(_) => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::NO_ERROR,
        }
    }
}

/// The socket of one connection.
#[derive(Debug)]
pub(super) struct Transport<I> {
    io: I,
    /// Read and not yet taken.
    input: BytesMut,
    read_bytes: usize,
    /// Reads of this turn.
    reads: u32,
    /// Written to something that may keep it until it is flushed.
    is_unflushed: bool,
    has_ended: bool,
}

impl<I: Io> Transport<I> {
    pub(super) fn new(io: I) -> Self {
        Transport {
            io,
            input: BytesMut::new(),
            read_bytes: READ_BYTES_FIRST,
            reads: 0,
            is_unflushed: false,
            has_ended: false,
        }
    }

    /// A new turn begins.
    pub(super) fn begin_turn(&mut self) {
        self.reads = 0;
    }

    /// Whether there may be more to read than one turn takes.
    pub(super) fn is_behind(&self) -> bool {
        self.reads >= READS_PER_TURN
    }

    /// Ready with a request, or when nothing more comes. Pending also when enough was read for one turn, or when the
    /// peer must read first; writing goes on then.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Multiplexer,
    ) -> Poll<Result<Arrival, Ending>> {
        loop {
            if !self.input.is_empty() {
                match connection.receive(&mut self.input) {
                    Ok(Some(arrival)) => return Poll::Ready(Ok(arrival)),
                    Ok(None) => {}
                    Err(fatal) => return Poll::Ready(Err(Ending::Fatal(fatal))),
                }
            }
            if connection.outbox().is_overflowing() || self.is_behind() {
                return Poll::Pending;
            }
            if self.has_ended {
                return Poll::Ready(Err(Ending::Closed));
            }
            match ready!(self.poll_read(cx, connection.needed())) {
                Ok(0) => {
                    self.has_ended = true;
                    if connection.is_within_frame() {
                        let cause = io::Error::from(io::ErrorKind::UnexpectedEof);
                        return Poll::Ready(Err(Ending::Broken(cause)));
                    }
                }
                Ok(len) => connection.note_heard(len),
                Err(cause) => return Poll::Ready(Err(Ending::Broken(cause))),
            }
        }
    }

    /// Reads once; `needed`: bytes of what comes next.
    fn poll_read(&mut self, cx: &mut Context<'_>, needed: usize) -> Poll<io::Result<usize>> {
        let missing = needed.saturating_sub(self.input.len());
        self.input.reserve(missing.max(self.read_bytes));
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.io.read_buf(&mut self.input)).poll(cx);
        let len = match read {
            Poll::Ready(Ok(len)) => len,
            Poll::Ready(Err(cause)) => return Poll::Ready(Err(cause)),
            Poll::Pending => {
                if self.input.is_empty() && self.input.capacity() > READ_BYTES_FIRST {
                    // Much came once; nobody knows when the next comes.
                    (self.input, self.read_bytes) = (BytesMut::new(), READ_BYTES_FIRST);
                }
                return Poll::Pending;
            }
        };
        self.reads += 1;
        if len == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(len))
    }

    /// Ready when everything that waits has been written.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Multiplexer,
    ) -> Poll<io::Result<()>> {
        while !connection.outbox().is_empty() {
            let written = self.poll_write(cx, connection);
            connection.outlet().note(&written);
            let len = ready!(written)?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            connection.note_written(len);
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            let flushed = Pin::new(&mut self.io).poll_flush(cx);
            connection.outlet().note_flush(&flushed);
            ready!(flushed)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, connection: &mut Multiplexer) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let count = connection.outbox().pieces(&mut slices);
        match slices.get(..count) {
            Some([alone]) => Pin::new(&mut self.io).poll_write(cx, alone),
            Some(slices) if self.io.is_write_vectored() => {
                Pin::new(&mut self.io).poll_write_vectored(cx, slices)
            }
            Some([first, ..]) => Pin::new(&mut self.io).poll_write(cx, first),
            _ => Poll::Ready(Ok(0)),
        }
    }

    /// Writes what waits, and ends our side.
    pub(super) fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Multiplexer,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx, connection))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
