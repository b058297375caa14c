//! Bytes both ways between two streams, with half-close, one idle timer and an account of who ended it.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use crate::chunks::{ChunkIo, Chunks};

/// Room of the first read of a direction; doubled whenever a read filled it.
const READ_BYTES_FIRST: usize = 8 * 1024;
/// Room of a read at most, and bytes that are read before they are written.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Writes of one direction before the other, and other tasks, get their turn.
const WRITES_PER_TURN: usize = 16;

/// Who ended a relay first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The downstream said its end first, and the rest passed.
    DownstreamClosed,
    /// The upstream said its end first, and the rest passed.
    UpstreamClosed,
    /// Reading from or writing to the downstream failed.
    DownstreamFailed,
    /// Reading from or writing to the upstream failed.
    UpstreamFailed,
    /// Nothing moved for the idle timeout.
    Idle,
}

/// What a relay has carried so far.
#[derive(Debug, Default)]
pub struct Moved {
    /// Bytes written to the upstream.
    pub to_upstream: Cell<u64>,
    /// Bytes written to the downstream.
    pub to_downstream: Cell<u64>,
}

impl Moved {
    fn total(&self) -> u64 {
        self.to_upstream.get() + self.to_downstream.get()
    }
}

/// Which stream of a direction failed.
enum Fault {
    Reading,
    Writing,
}

enum Turn {
    /// Waiting for one of the streams.
    Waiting,
    /// Could go on, but it is the others' turn.
    Yielding,
    /// The end was read and passed on.
    Ended,
}

/// One direction.
struct Lane<'a> {
    /// Read and not yet written.
    chunks: Chunks,
    /// What sockets are read into; nothing while there is nothing to read.
    spare: BytesMut,
    read_bytes: usize,
    moved: &'a Cell<u64>,
    flush: bool,
    eof: bool,
    /// Reading failed, and what was read before is not yet written.
    failed: Option<io::Error>,
    ended: bool,
}

impl<'a> Lane<'a> {
    fn new(moved: &'a Cell<u64>) -> Self {
        Lane {
            chunks: Chunks::default(),
            spare: BytesMut::new(),
            read_bytes: READ_BYTES_FIRST,
            moved,
            flush: false,
            eof: false,
            failed: None,
            ended: false,
        }
    }

    /// Reads until there is enough for one write.
    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut impl ChunkIo) -> Poll<io::Result<()>> {
        while self.chunks.len() < READ_BYTES_MAX
            && !self.chunks.is_full()
            && !self.eof
            && self.failed.is_none()
        {
            self.spare.reserve(self.read_bytes);
            let room = self.spare.capacity();
            match from.poll_read_chunk(cx, &mut self.spare) {
                Poll::Ready(Ok(chunk)) => {
                    if chunk.len() == room {
                        self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
                    }
                    self.eof = chunk.is_empty();
                    self.chunks.push(chunk);
                }
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Pending if self.chunks.is_empty() => {
                    // Nobody knows when more comes.
                    (self.spare, self.read_bytes) = (BytesMut::new(), READ_BYTES_FIRST);
                    return Poll::Pending;
                }
                Poll::Pending => break,
            }
        }
        match self.failed.take() {
            // What came before goes first.
            Some(error) if self.chunks.is_empty() => Poll::Ready(Err(error)),
            failed => {
                self.failed = failed;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Writes what was read.
    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut impl ChunkIo) -> Poll<io::Result<()>> {
        while !self.chunks.is_empty() {
            let len = ready!(to.poll_write_chunks(cx, &mut self.chunks))?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved.set(self.moved.get() + len as u64);
            self.flush = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl ChunkIo,
        to: &mut impl ChunkIo,
    ) -> Result<Turn, Fault> {
        for _ in 0..WRITES_PER_TURN {
            if self.ended {
                return Ok(Turn::Ended);
            }
            match self.poll_write(cx, to) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(Fault::Writing),
                Poll::Pending => return Ok(Turn::Waiting),
            }
            if self.eof {
                match Pin::new(&mut *to).poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => self.ended = true,
                    Poll::Ready(Err(_)) => return Err(Fault::Writing),
                    Poll::Pending => return Ok(Turn::Waiting),
                }
                return Ok(Turn::Ended);
            }
            match self.poll_read(cx, from) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Err(Fault::Reading),
                Poll::Pending => return self.poll_flush(cx, to),
            }
        }
        Ok(Turn::Yielding)
    }

    /// Before waiting for more, nothing may stay in a buffer of the writer.
    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut impl ChunkIo) -> Result<Turn, Fault> {
        if self.flush {
            match Pin::new(to).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flush = false,
                Poll::Ready(Err(_)) => return Err(Fault::Writing),
                Poll::Pending => {}
            }
        }
        Ok(Turn::Waiting)
    }
}

/// Copies both ways until both directions ended, one side failed, or nothing moved for `idle`. An end of one
/// direction is passed on as a half-close, a failure as a reset. `moved` tells what was carried, also of a relay that is dropped.
pub async fn relay(mut down: impl ChunkIo, mut up: impl ChunkIo, idle: Duration, moved: &Moved) -> End {
    let (mut to_up, mut to_down) = (Lane::new(&moved.to_upstream), Lane::new(&moved.to_downstream));
    let mut first = None;
    let mut seen = 0;
    let mut last = Instant::now();
    let mut timer = pin!(tokio::time::sleep_until(last + idle));
    let end = std::future::poll_fn(|cx| {
        let up_turn = match to_up.poll_copy(cx, &mut down, &mut up) {
            Ok(turn) => turn,
            Err(Fault::Reading) => return Poll::Ready(End::DownstreamFailed),
            Err(Fault::Writing) => return Poll::Ready(End::UpstreamFailed),
        };
        let down_turn = match to_down.poll_copy(cx, &mut up, &mut down) {
            Ok(turn) => turn,
            Err(Fault::Reading) => return Poll::Ready(End::UpstreamFailed),
            Err(Fault::Writing) => return Poll::Ready(End::DownstreamFailed),
        };
        // Reading the end counts, not passing it on: that may have to wait.
        if first.is_none() {
            first = match (to_up.eof, to_down.eof) {
                (true, _) => Some(End::DownstreamClosed),
                (false, true) => Some(End::UpstreamClosed),
                (false, false) => None,
            };
        }
        if let (Turn::Ended, Turn::Ended) = (&up_turn, &down_turn) {
            return Poll::Ready(first.unwrap_or(End::DownstreamClosed));
        }
        if moved.total() != seen {
            seen = moved.total();
            last = Instant::now();
        }
        if matches!(up_turn, Turn::Yielding) || matches!(down_turn, Turn::Yielding) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        while timer.as_mut().poll(cx).is_ready() {
            if last.elapsed() >= idle {
                return Poll::Ready(End::Idle);
            }
            timer.as_mut().reset(last + idle);
        }
        Poll::Pending
    })
    .await;
    match end {
        End::DownstreamFailed => up.reset_on_drop(),
        End::UpstreamFailed => down.reset_on_drop(),
        End::DownstreamClosed | End::UpstreamClosed | End::Idle => {}
    }
    end
}

#[cfg(test)]
mod tests;
