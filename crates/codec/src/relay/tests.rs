#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{End, Moved, relay};

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
