//! A connection's stream with the gate in it, and what the gate, the exchanges and the server tell each other.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::{Place, Scanned, Scanner};
use crate::TunnelRun;
use crate::watchdog::Outlet;

/// What is known about a connection beside hyper.
pub(super) struct Line {
    /// Where the gate stands.
    pub(super) place: Cell<Place>,
    /// Whether a request was handed out whose response has not ended.
    pub(super) busy: Cell<bool>,
    /// Requests handed out.
    pub(super) served: Cell<u64>,
    /// What the client's socket does.
    pub(super) outlet: Outlet,
    /// Whether responses shall carry `connection: close`.
    pub(super) closing: Cell<bool>,
    /// Set once a request was answered with a tunnel.
    pub(super) tunnel: RefCell<Option<TunnelRun>>,
    /// Requests handed out up to the last one that was answered without a tunnel.
    released: Cell<u64>,
    reader: RefCell<Option<Waker>>,
}

impl Line {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Line {
            place: Cell::new(Place::Rest),
            busy: Cell::new(false),
            served: Cell::new(0),
            outlet: Outlet::default(),
            closing: Cell::new(false),
            tunnel: RefCell::new(None),
            released: Cell::new(0),
            reader: RefCell::new(None),
        })
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
    scanner: Scanner,
    held: BytesMut,
    line: Rc<Line>,
}

impl<I> Gated<I> {
    pub(super) fn new(io: I, line: Rc<Line>) -> Self {
        Gated { io, scanner: Scanner::new(), held: BytesMut::new(), line }
    }

    /// What was held back, and the bare stream.
    pub(super) fn into_parts(self) -> (Bytes, I) {
        (self.held.freeze(), self.io)
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
        self.line.place.set(self.scanner.place());
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gated<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gated = self.get_mut();
        match gated.line.place.get() {
            // The rest of a broken stream is nobody's business: it ends here.
            Place::Broken(_) => return Poll::Ready(Ok(())),
            Place::Held if gated.line.released.get() < gated.scanner.heads() => {
                *gated.line.reader.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Place::Held => {
                gated.scanner.release();
                gated.line.place.set(gated.scanner.place());
            }
            _ => {}
        }
        let start = buf.filled().len();
        if gated.held.is_empty() {
            ready!(Pin::new(&mut gated.io).poll_read(cx, buf))?;
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

impl<I: AsyncWrite + Unpin> AsyncWrite for Gated<I> {
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
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
