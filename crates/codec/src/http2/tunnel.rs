//! A stream as bytes: CONNECT after its success.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::TURN_BYTES;
use super::handle::StreamHandle;
use super::stream::{RecvState, StreamError};

/// Both halves of a stream.
pub(crate) struct StreamIo {
    stream: StreamHandle,
    /// Received and not yet read; its window is given back as it is read.
    unread: Bytes,
    sent_end: bool,
}

impl StreamIo {
    pub(super) fn new(stream: StreamHandle) -> Self {
        StreamIo { stream, unread: Bytes::new(), sent_end: false }
    }

    /// How the stream broke off.
    fn error(&self) -> io::Error {
        let mut connection = self.stream.connection();
        let error = connection.stream(self.stream.key()).and_then(|stream| stream.error.clone());
        error.unwrap_or(StreamError::GivenUp).into()
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        let (mut connection, key) = (io.stream.connection(), io.stream.key());
        if io.unread.is_empty() {
            if let Some(data) = connection.take_data(key) {
                io.unread = data;
            } else {
                match connection.stream(key) {
                    Some(stream) if stream.recv == RecvState::Ended => return Poll::Ready(Ok(())),
                    Some(stream) if stream.error.is_none() => {
                        stream.listen_as_reader(cx);
                        return Poll::Pending;
                    }
                    _ => {}
                }
                drop(connection);
                return Poll::Ready(Err(io.error()));
            }
        }
        let len = io.unread.len().min(buf.remaining());
        buf.put_slice(io.unread.get(..len).unwrap_or_default());
        io.unread.advance(len);
        connection.note_read(key, len);
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
        let wanted = buf.len().min(TURN_BYTES);
        let room = ready!(io.stream.connection().poll_room(io.stream.key(), cx, wanted));
        let Ok(room) = room else { return Poll::Ready(Err(io.error())) };
        let data = Bytes::copy_from_slice(buf.get(..room).unwrap_or_default());
        let len = data.len();
        io.stream.connection().send_data(io.stream.key(), data, false);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes what waits.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if !io.sent_end {
            io.sent_end = true;
            io.stream.connection().send_data(io.stream.key(), Bytes::new(), true);
        }
        Poll::Ready(Ok(()))
    }
}
