//! Streams that hand over memory instead of copying: what a relay carries.
//!
//! A stream of HTTP/2 has what came in memory of its own already, and keeps what is sent until it is encrypted; a socket
//! is read into memory that can be handed on, and written several pieces at once.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::net::TcpStream;

use crate::{BoxIo, Io};

/// Pieces that one write is given.
const PIECES_MAX: usize = 16;

/// Pieces on their way from one stream to another, in order. None is empty.
#[derive(Debug, Default)]
pub struct Chunks {
    pieces: VecDeque<Bytes>,
    /// Bytes in all of them.
    len: usize,
}

impl Chunks {
    /// Behind all others.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Bytes in all of them.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether one write takes no more pieces.
    pub fn is_full(&self) -> bool {
        self.pieces.len() >= PIECES_MAX
    }

    /// The first piece, or at most `most` bytes of it.
    pub fn take(&mut self, most: usize) -> Option<Bytes> {
        let first = self.pieces.front_mut()?;
        let taken = first.split_to(first.len().min(most));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.len -= taken.len();
        Some(taken)
    }

    /// So many bytes have left.
    fn advance(&mut self, mut len: usize) {
        self.len = self.len.saturating_sub(len);
        while let Some(first) = self.pieces.front_mut() {
            if first.len() > len {
                return first.advance(len);
            }
            len -= first.len();
            self.pieces.pop_front();
        }
    }
}

/// An [`Io`] that hands over and takes pieces of memory.
pub trait ChunkIo: Io {
    /// Ready with what has come next; nothing: the end. It is read into the spare room of `spare`, which must have some,
    /// if it is not in memory already.
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, spare: &mut BytesMut) -> Poll<io::Result<Bytes>> {
        ready!(pin!(self.read_buf(spare)).poll(cx))?;
        Poll::Ready(Ok(spare.split().freeze()))
    }

    /// Takes from the front of `chunks`, of which there are some, what there is room for. Ready with how many bytes.
    fn poll_write_chunks(&mut self, cx: &mut Context<'_>, chunks: &mut Chunks) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&chunks.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        let written = match slices.get(..count) {
            Some(slices) if count > 1 && self.is_write_vectored() => {
                Pin::new(&mut *self).poll_write_vectored(cx, slices)
            }
            _ => Pin::new(&mut *self).poll_write(cx, chunks.pieces.front().map_or(&[], |first| first)),
        };
        let len = ready!(written)?;
        chunks.advance(len);
        Poll::Ready(Ok(len))
    }

    /// When this is dropped its peer shall see that bytes are missing, and no end. Streams of HTTP/2 that are dropped
    /// without their end are reset anyway.
    fn reset_on_drop(&mut self) {}
}

/// An erased [`ChunkIo`].
pub type BoxChunkIo = Box<dyn ChunkIo>;

impl ChunkIo for TcpStream {
    fn reset_on_drop(&mut self) {
        // A socket that is no more has nothing to tell.
        let _ = self.set_zero_linger();
    }
}

impl ChunkIo for DuplexStream {}

impl ChunkIo for BoxIo {}

impl ChunkIo for BoxChunkIo {
    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, spare: &mut BytesMut) -> Poll<io::Result<Bytes>> {
        (**self).poll_read_chunk(cx, spare)
    }

    fn poll_write_chunks(&mut self, cx: &mut Context<'_>, chunks: &mut Chunks) -> Poll<io::Result<usize>> {
        (**self).poll_write_chunks(cx, chunks)
    }

    fn reset_on_drop(&mut self) {
        (**self).reset_on_drop();
    }
}

#[cfg(test)]
mod tests;
