//! A stream as bytes: CONNECT after its success.

use std::io;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::TURN_BYTES;
use super::frame::ErrorCode;
use super::handle::StreamHandle;
use super::stall::{Bounds, Stall};
use super::stream::{RecvState, StreamError};
use crate::chunks::{ChunkIo, Chunks};

/// Both halves of a stream.
pub(crate) struct StreamIo {
    stream: StreamHandle,
    /// Received and not yet read; its window is given back as it is read.
    unread: Bytes,
    sent_end: bool,
    /// What is charged for it while the peer does not read; `None`: nothing.
    stalling: Option<Box<Stalling>>,
}

struct Stalling {
    bounds: Bounds,
    /// From the first time on that bytes wait.
    stall: Option<Stall>,
}

impl StreamIo {
    pub(super) fn new(stream: StreamHandle) -> Self {
        StreamIo { stream, unread: Bytes::new(), sent_end: false, stalling: None }
    }

    /// One that is charged for while the peer does not read, and reset when others need the room. It may be silent, or
    /// not read, for as long as whoever uses it likes.
    pub(super) fn bounded(stream: StreamHandle, bounds: Bounds) -> Self {
        StreamIo { stalling: Some(Box::new(Stalling { bounds, stall: None })), ..StreamIo::new(stream) }
    }

    /// How the stream broke off.
    fn error(&self) -> io::Error {
        let mut connection = self.stream.connection();
        let error = connection.stream(self.stream.key()).and_then(|stream| stream.error.clone());
        error.unwrap_or(StreamError::GivenUp).into()
    }

    /// Ready with what has come; nothing: the end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let (mut connection, key) = (self.stream.connection(), self.stream.key());
        if let Some(data) = connection.take_data(key) {
            return Poll::Ready(Ok(data));
        }
        match connection.stream(key) {
            Some(stream) if stream.recv == RecvState::Ended => return Poll::Ready(Ok(Bytes::new())),
            Some(stream) if stream.error.is_none() => {
                stream.listen_as_reader(cx);
                return Poll::Pending;
            }
            _ => {}
        }
        drop(connection);
        Poll::Ready(Err(self.error()))
    }

    /// Ready with how many of so many bytes may be sent now.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.sent_end {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = self.stream.connection().poll_room(self.stream.key(), cx, wanted.min(TURN_BYTES));
        match room {
            Poll::Ready(Ok(room)) => {
                if let Some(stall) = self.stalling.as_mut().and_then(|stalling| stalling.stall.as_mut()) {
                    stall.note(room, room == wanted);
                }
                Poll::Ready(Ok(room))
            }
            Poll::Ready(Err(())) => Poll::Ready(Err(self.error())),
            Poll::Pending => {
                ready!(self.poll_shed(cx, wanted));
                self.stream.connection().reset(self.stream.key(), ErrorCode::ENHANCE_YOUR_CALM);
                Poll::Ready(Err(self.error()))
            }
        }
    }

    /// Ready when others need the room that so many bytes take which wait.
    fn poll_shed(&mut self, cx: &mut Context<'_>, held: usize) -> Poll<()> {
        let Some(stalling) = &mut self.stalling else { return Poll::Pending };
        let Stalling { bounds, stall } = &mut **stalling;
        let stall = stall.get_or_insert_with(|| Stall::new(bounds));
        stall.poll_lost(cx, &self.stream, bounds, false, || held).map(|_| ())
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let io = self.get_mut();
        if io.unread.is_empty() {
            io.unread = ready!(io.poll_data(cx))?;
        }
        let len = io.unread.len().min(buf.remaining());
        buf.put_slice(io.unread.get(..len).unwrap_or_default());
        io.unread.advance(len);
        io.stream.connection().note_read(io.stream.key(), len);
        Poll::Ready(Ok(()))
    }
}

impl ChunkIo for StreamIo {
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, _spare: &mut BytesMut) -> Poll<io::Result<Bytes>> {
        let data = if self.unread.is_empty() { ready!(self.poll_data(cx))? } else { take(&mut self.unread) };
        self.stream.connection().note_read(self.stream.key(), data.len());
        Poll::Ready(Ok(data))
    }

    fn poll_write_chunks(&mut self, cx: &mut Context<'_>, chunks: &mut Chunks) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(cx, chunks.len()))?;
        let mut connection = self.stream.connection();
        let mut written = 0;
        while written < room
            && let Some(data) = chunks.take(room - written)
        {
            written += data.len();
            connection.send_data(self.stream.key(), data, false);
        }
        Poll::Ready(Ok(written))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let io = self.get_mut();
        let room = ready!(io.poll_room(cx, buf.len()))?;
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
