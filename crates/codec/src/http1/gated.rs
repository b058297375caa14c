//! A connection's stream with the gate in it, and what the gate, the exchanges and the server tell each other.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::{RequestScanner, ScanPosition, Scanned};
use crate::watchdog::Outlet;
use crate::{TunnelRun, Violation};

/// Bytes that are read ahead of hyper, to see that a client has gone. Behind more of them it is not seen.
const AHEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of one such read.
const AHEAD_BYTES_EACH: usize = 2 * 1024;

/// What is known about a connection beside hyper.
pub(super) struct Line {
    /// Where the gate stands.
    pub(super) position: Cell<ScanPosition>,
    /// Whether a request was handed out whose response has not ended.
    pub(super) busy: Cell<bool>,
    /// Requests handed out.
    pub(super) served: Cell<u64>,
    /// Heads that have passed the gate.
    heads: Cell<u64>,
    /// What the client's socket does.
    pub(super) outlet: Outlet,
    /// Whether responses shall carry `connection: close`.
    pub(super) closing: Cell<bool>,
    /// Whether the client has ended its sending side.
    pub(super) half_closed: Cell<bool>,
    /// Whether hyper waits for bytes of the client.
    pub(super) is_reading: Cell<bool>,
    /// Set once a request was answered with a tunnel.
    pub(super) tunnel: RefCell<Option<TunnelRun>>,
    /// Requests handed out up to the last one that was answered without a tunnel.
    released: Cell<u64>,
    reader: RefCell<Option<Waker>>,
}

impl Line {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Line {
            position: Cell::new(ScanPosition::Rest),
            busy: Cell::new(false),
            served: Cell::new(0),
            heads: Cell::new(0),
            outlet: Outlet::default(),
            closing: Cell::new(false),
            half_closed: Cell::new(false),
            is_reading: Cell::new(false),
            tunnel: RefCell::new(None),
            released: Cell::new(0),
            reader: RefCell::new(None),
        })
    }

    /// Whether the last request that was handed out has passed the gate to its end.
    pub(super) fn has_whole_request(&self) -> bool {
        // The only violation that is in a body.
        let is_within =
            matches!(self.position.get(), ScanPosition::Body | ScanPosition::Broken(Violation::Chunk));
        self.heads.get() > self.served.get() || !is_within
    }

    /// There will be no tunnel: what was held back is the next request.
    pub(super) fn release(&self) {
        // The request may be answered before its body has come, and so before the gate holds anything.
        self.released.set(self.served.get());
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

/// The stream as hyper sees it.
pub(super) struct Gated<I> {
    io: I,
    scanner: RequestScanner,
    held: BytesMut,
    line: Rc<Line>,
}

impl<I: AsyncRead + Unpin> Gated<I> {
    pub(super) fn new(io: I, line: Rc<Line>) -> Self {
        Gated { io, scanner: RequestScanner::new(), held: BytesMut::new(), line }
    }

    /// What was held back, and the bare stream.
    pub(super) fn into_parts(self) -> (Bytes, I) {
        (self.held.freeze(), self.io)
    }

    /// While an answer is awaited, or written, hyper reads nothing that it has no use for, and so does not see that
    /// the client has gone; this does.
    ///
    /// # Errors
    /// The client's connection failed.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let line = &self.line;
        if !line.busy.get() || line.is_reading.get() || line.half_closed.get() {
            return Ok(());
        }
        while self.held.len() < AHEAD_BYTES_MAX {
            let mut space = [const { MaybeUninit::uninit() }; AHEAD_BYTES_EACH];
            let mut ahead = ReadBuf::uninit(&mut space);
            let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, &mut ahead) else { break };
            read?;
            if ahead.filled().is_empty() {
                line.half_closed.set(true);
                break;
            }
            self.held.extend_from_slice(ahead.filled());
        }
        Ok(())
    }

    /// Looks at what was read from `start` on.
    fn inspect(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        match self.scanner.scan(&buf.filled()[start..]) {
            Scanned::Pass => {}
            Scanned::Hold(len) => {
                // What came before in `held` is later in the stream: it was split off from a longer read.
                let mut held = BytesMut::from(&buf.filled()[start + len..]);
                held.extend_from_slice(&self.held);
                self.held = held;
                buf.set_filled(start + len);
            }
            Scanned::Broken(at) => {
                // Nowhere in a head or around a chunk's data is NUL allowed.
                buf.filled_mut()[start + at] = 0;
                buf.set_filled(start + at + 1);
            }
        }
        self.line.position.set(self.scanner.position());
        self.line.heads.set(self.scanner.heads());
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gated<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gated = self.get_mut();
        match gated.line.position.get() {
            // The rest of a broken stream is nobody's business: it ends here.
            ScanPosition::Broken(_) => return Poll::Ready(Ok(())),
            ScanPosition::Held if gated.line.released.get() < gated.scanner.heads() => {
                *gated.line.reader.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            ScanPosition::Held => {
                gated.scanner.release();
                gated.line.position.set(gated.scanner.position());
            }
            _ => {}
        }
        let start = buf.filled().len();
        if gated.held.is_empty() {
            if gated.line.half_closed.get() {
                return Poll::Ready(Ok(()));
            }
            let read = Pin::new(&mut gated.io).poll_read(cx, buf);
            gated.line.is_reading.set(read.is_pending());
            ready!(read)?;
        } else {
            let len = gated.held.len().min(buf.remaining());
            buf.put_slice(&gated.held[..len]);
            gated.held.advance(len);
        }
        if buf.filled().len() > start {
            gated.inspect(buf, start);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gated<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.line.outlet.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.line.outlet.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.line.outlet.note_flush(&flushed);
        ready!(flushed)?;
        // hyper flushes in every turn, also when it has written nothing.
        Poll::Ready(self.look_ahead(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
