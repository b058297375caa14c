#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{End, Moved, relay};
use crate::ChunkIo;

const IDLE: Duration = Duration::from_secs(60);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// What a relay moved to the upstream and to the downstream, and how it ended.
struct Relayed {
    moved: (u64, u64),
    end: End,
}

/// A client, a server, and the relay between them.
fn between() -> (DuplexStream, DuplexStream, JoinHandle<Relayed>) {
    let (client, down) = duplex(4096);
    let (server, up) = duplex(4096);
    let relayed = async move {
        let moved = Moved::default();
        let end = relay(down, up, IDLE, &moved).await;
        Relayed { moved: (moved.to_upstream.get(), moved.to_downstream.get()), end }
    };
    (client, server, spawn_local(relayed))
}

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    run(async {
        let (client, server, relayed) = between();
        let (mut client_read, mut client_write) = tokio::io::split(client);
        let (mut server_read, mut server_write) = tokio::io::split(server);
        let request = vec![1; 1_000_000];
        let sending = spawn_local(async move {
            client_write.write_all(&request).await.unwrap();
            client_write.shutdown().await.unwrap();
        });
        let mut seen = Vec::new();
        server_read.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen.len(), 1_000_000);
        sending.await.unwrap();
        // The other direction still works after the half-close.
        server_write.write_all(b"answer").await.unwrap();
        server_write.shutdown().await.unwrap();
        let mut answer = String::new();
        client_read.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        let relayed = relayed.await.unwrap();
        assert_eq!((relayed.moved, relayed.end), ((1_000_000, 6), End::DownstreamClosed));
    });
}

#[test]
fn the_side_that_closes_first_is_named() {
    run(async {
        let (mut client, mut server, relayed) = between();
        server.shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(relayed.await.unwrap().end, End::UpstreamClosed);
    });
}

#[test]
fn a_side_that_vanishes_is_named() {
    run(async {
        let (mut client, server, relayed) = between();
        drop(server);
        // Writing into nothing fails at the upstream.
        client.write_all(b"anybody").await.unwrap();
        assert_eq!(relayed.await.unwrap().end, End::UpstreamFailed);
    });
}

#[test]
fn silence_ends_it_and_activity_does_not() {
    run(async {
        let begun = tokio::time::Instant::now();
        let (mut client, _server, relayed) = between();
        tokio::time::advance(Duration::from_secs(50)).await;
        client.write_all(b"still here").await.unwrap();
        assert_eq!(relayed.await.unwrap().end, End::Idle);
        assert_eq!(begun.elapsed(), Duration::from_secs(110));
    });
}

/// Gives some bytes, fails once, and then looks as if it had ended, as sockets do.
struct Failing {
    bytes: Option<Bytes>,
    error: Option<io::Error>,
}

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(bytes) = self.bytes.take() {
            buf.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(self.error.take().map_or(Ok(()), Err))
    }
}

impl AsyncWrite for Failing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl ChunkIo for Failing {}

/// Both are read before anything is written.
#[test]
fn a_failure_right_behind_bytes_is_no_end_and_loses_none_of_them() {
    run(async {
        let down = Failing {
            bytes: Some(Bytes::from_static(b"some")),
            error: Some(io::ErrorKind::ConnectionReset.into()),
        };
        let (mut server, up) = duplex(4096);
        let moved = Moved::default();
        let end = relay(down, up, IDLE, &moved).await;
        assert_eq!((end, moved.to_upstream.get()), (End::DownstreamFailed, 4));
        let mut seen = String::new();
        server.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "some");
    });
}

#[test]
fn what_breaks_off_is_no_end_for_the_other_side() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (up, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        let down = Failing {
            bytes: Some(Bytes::from_static(b"some")),
            error: Some(io::ErrorKind::ConnectionReset.into()),
        };
        let end = relay(down, up.unwrap(), IDLE, &Moved::default()).await;
        assert_eq!(end, End::DownstreamFailed);
        let seen = accepted.unwrap().0.read_to_end(&mut Vec::new()).await;
        assert_eq!(seen.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}
