//! A stream as bytes: CONNECT after its success.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::findings::{Findings, Interest};
use super::open::StreamGuard;
use super::outbox::Piece;

/// Most bytes that one write puts into the library's queue.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Both halves of a stream.
pub(crate) struct StreamIo {
    send: SendStream<Piece>,
    recv: RecvStream,
    findings: Rc<Findings>,
    /// Received and not yet read; its window is given back as it is read.
    unread: Bytes,
    sent_end: bool,
    _open: Option<StreamGuard>,
    _interest: Interest,
}

impl StreamIo {
    pub(super) fn new(
        send: SendStream<Piece>,
        recv: RecvStream,
        findings: &Rc<Findings>,
        open: Option<StreamGuard>,
        interest: Interest,
    ) -> Self {
        StreamIo {
            send,
            recv,
            findings: Rc::clone(findings),
            unread: Bytes::new(),
            sent_end: false,
            _open: open,
            _interest: interest,
        }
    }
}

/// The error of a byte stream: an orderly reset is a reset, anything else a failed connection. A connection inside
/// learns here that the peer of the outer one fell silent.
fn io_error(cause: h2::Error, findings: &Findings) -> io::Error {
    let kind = if findings.has_fallen_silent() {
        io::ErrorKind::TimedOut
    } else if cause.is_reset() || cause.is_go_away() {
        io::ErrorKind::ConnectionReset
    } else {
        cause.get_io().map_or(io::ErrorKind::BrokenPipe, io::Error::kind)
    };
    io::Error::new(kind, cause)
}

impl AsyncRead for StreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        while io.unread.is_empty() {
            match ready!(io.recv.poll_data(cx)) {
                Some(Ok(data)) => io.unread = data,
                Some(Err(cause)) => return Poll::Ready(Err(io_error(cause, &io.findings))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = io.unread.len().min(buf.remaining());
        buf.put_slice(&io.unread[..len]);
        io.unread.advance(len);
        // Fails only when the stream is gone, which the next read reports.
        let _ = io.recv.flow_control().release_capacity(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let io = self.get_mut();
        if io.sent_end {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        io.send.reserve_capacity(buf.len().min(WRITE_BYTES_MAX));
        while io.send.capacity() == 0 {
            match ready!(io.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(cause)) => return Poll::Ready(Err(io_error(cause, &io.findings))),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
        ready!(io.findings.outbox.poll_room(cx));
        let len = buf.len().min(io.send.capacity()).min(WRITE_BYTES_MAX);
        let piece = io.findings.outbox.piece(Bytes::copy_from_slice(&buf[..len]));
        io.send.send_data(piece, false).map_err(|cause| io_error(cause, &io.findings))?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes what is queued.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if !io.sent_end {
            io.sent_end = true;
            io.send.reserve_capacity(0);
            io.send.send_data(Piece::default(), true).map_err(|cause| io_error(cause, &io.findings))?;
        }
        Poll::Ready(Ok(()))
    }
}
