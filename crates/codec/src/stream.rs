//! Byte streams: erased, with bytes read before, and tunnels through HTTP.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::chunks::{ChunkIo, Chunks};
use crate::http2::tunnel::StreamIo;

/// Anything that carries bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Io for T {}

/// An erased [`Io`].
pub type BoxIo = Box<dyn Io>;

/// A stream of which some bytes were read already; they are read first.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: Bytes,
    io: S,
}

impl<S> Prefixed<S> {
    /// `prefix` comes before what `io` still holds.
    pub fn new(prefix: impl Into<Bytes>, io: S) -> Self {
        Prefixed { prefix: prefix.into(), io }
    }

    /// What was read before and not yet again, and the stream.
    pub fn into_parts(self) -> (Bytes, S) {
        (self.prefix, self.io)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let len = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..len]);
        self.prefix.advance(len);
        if self.prefix.is_empty() {
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<S: ChunkIo> ChunkIo for Prefixed<S> {
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, spare: &mut BytesMut) -> Poll<io::Result<Bytes>> {
        if self.prefix.is_empty() {
            return self.io.poll_read_chunk(cx, spare);
        }
        Poll::Ready(Ok(std::mem::take(&mut self.prefix)))
    }

    fn poll_write_chunks(&mut self, cx: &mut Context<'_>, chunks: &mut Chunks) -> Poll<io::Result<usize>> {
        self.io.poll_write_chunks(cx, chunks)
    }

    fn reset_on_drop(&mut self) {
        self.io.reset_on_drop();
    }
}

/// Bytes that [`fails`] reads ahead. Behind more of them a failure is not seen.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

/// Waits until `io` fails while nobody else reads from it; what comes meanwhile is put into `ahead`. An end of the
/// stream is no failure.
///
/// Dropping the future loses nothing: read `ahead` first, then `io`.
pub async fn fails(io: &mut impl Io, ahead: &mut BytesMut) -> io::Error {
    while ahead.len() < AHEAD_BYTES_MAX {
        match io.read_buf(ahead).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    std::future::pending().await
}

/// Bytes through CONNECT or an upgrade. Dropping it without shutdown resets it.
pub struct Tunnel(Kind);

enum Kind {
    Stream(StreamIo),
    Io(Prefixed<BoxIo>),
}

impl Tunnel {
    pub(crate) fn stream(stream: StreamIo) -> Self {
        Tunnel(Kind::Stream(stream))
    }

    /// A tunnel over a connection of its own; `prefix` was read already.
    pub fn io(prefix: Bytes, io: BoxIo) -> Self {
        Tunnel(Kind::Io(Prefixed::new(prefix, io)))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Stream(io) => Pin::new(io).poll_read(cx, buf),
            Kind::Io(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl ChunkIo for Tunnel {
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, spare: &mut BytesMut) -> Poll<io::Result<Bytes>> {
        match &mut self.0 {
            Kind::Stream(io) => io.poll_read_chunk(cx, spare),
            Kind::Io(io) => io.poll_read_chunk(cx, spare),
        }
    }

    fn poll_write_chunks(&mut self, cx: &mut Context<'_>, chunks: &mut Chunks) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Stream(io) => io.poll_write_chunks(cx, chunks),
            Kind::Io(io) => io.poll_write_chunks(cx, chunks),
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Stream(io) => Pin::new(io).poll_write(cx, buf),
            Kind::Io(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Stream(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Kind::Io(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Stream(io) => io.is_write_vectored(),
            Kind::Io(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Stream(io) => Pin::new(io).poll_flush(cx),
            Kind::Io(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Stream(io) => Pin::new(io).poll_shutdown(cx),
            Kind::Io(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
