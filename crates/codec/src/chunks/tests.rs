#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, duplex};

use super::{ChunkIo, Chunks, PIECES_MAX};
use crate::Prefixed;

fn chunks(pieces: &[&'static [u8]]) -> Chunks {
    let mut chunks = Chunks::default();
    for piece in pieces {
        chunks.push(Bytes::from_static(piece));
    }
    chunks
}

#[test]
fn pieces_are_taken_whole_or_in_part_and_counted() {
    let mut chunks = chunks(&[b"abc", b"", b"defg"]);
    assert_eq!(chunks.len(), 7);
    assert_eq!(chunks.take(2).unwrap(), "ab");
    assert_eq!(chunks.take(9).unwrap(), "c");
    chunks.advance(3);
    assert_eq!((chunks.len(), chunks.take(9).unwrap()), (1, Bytes::from_static(b"g")));
    assert!(chunks.is_empty() && chunks.take(1).is_none());
}

/// Takes a few bytes of a write and no more.
struct Narrow(Vec<u8>);

impl AsyncRead for Narrow {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let len = buf.len().min(5);
        self.0.extend_from_slice(&buf[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl ChunkIo for Narrow {}

#[tokio::test]
async fn many_pieces_pass_in_order_however_little_a_write_takes() {
    let mut chunks = Chunks::default();
    let mut expected = Vec::new();
    for number in 0..3 * PIECES_MAX {
        let piece = format!("piece {number}, ");
        expected.extend_from_slice(piece.as_bytes());
        chunks.push(Bytes::from(piece));
    }
    let (mut narrow, mut left) = (Narrow(Vec::new()), chunks.len());
    while !chunks.is_empty() {
        left -= poll_fn(|cx| narrow.poll_write_chunks(cx, &mut chunks)).await.unwrap();
        assert_eq!(left, chunks.len());
    }
    assert_eq!(narrow.0, expected);
}

#[tokio::test]
async fn what_was_read_before_is_handed_over_first() {
    let (mut far, near) = duplex(64);
    let mut near = Prefixed::new(Bytes::from_static(b"before"), near);
    let mut spare = BytesMut::with_capacity(16);
    let first = poll_fn(|cx| near.poll_read_chunk(cx, &mut spare)).await.unwrap();
    assert_eq!(first, "before");
    tokio::io::AsyncWriteExt::write_all(&mut far, b"behind").await.unwrap();
    assert_eq!(poll_fn(|cx| near.poll_read_chunk(cx, &mut spare)).await.unwrap(), "behind");
    poll_fn(|cx| near.poll_write_chunks(cx, &mut chunks(&[b"an", b"swer"]))).await.unwrap();
    drop(near);
    let mut answer = String::new();
    far.read_to_string(&mut answer).await.unwrap();
    assert!("answer".starts_with(&answer) && !answer.is_empty());
}
