#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Real sockets on the loopback.

use super::{Mark, PeerKind, accept, dial, inherit, listen, listen_everywhere, original_destination};
use socket2::SockRef;
use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::time::Duration;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(5);

fn local() -> std::net::SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn two_workers_listen_on_one_port() {
    let first = listen(local()).unwrap();
    let second = listen(first.local_addr().unwrap()).unwrap();
    assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
}

/// Who pauses is waited for; who has vanished is not.
#[tokio::test(flavor = "current_thread")]
async fn a_reader_has_the_time_that_it_may_take() {
    for (peer_kind, expected_s) in [(PeerKind::Proxy, 8), (PeerKind::Anyone, 300)] {
        let listener = listen(local()).unwrap();
        let dialed = dial(listener.local_addr().unwrap(), peer_kind, Mark::Free, SOON).await.unwrap();
        let user_timeout = |stream: &TcpStream| SockRef::from(stream).tcp_user_timeout().unwrap();
        let accepted = Cell::new(None);
        accept(listener, peer_kind, async {}, |stream, _| accepted.set(user_timeout(&stream))).await;
        assert_eq!([user_timeout(&dialed), accepted.get()], [Some(Duration::from_secs(expected_s)); 2]);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_inherited_socket_outlives_its_copy() {
    let outside = std::net::TcpListener::bind(local()).unwrap();
    let address = outside.local_addr().unwrap();
    for _ in 0..2 {
        let copy = inherit(outside.as_raw_fd()).unwrap();
        let (client, served) = tokio::join!(dial(address, PeerKind::Anyone, Mark::Free, SOON), copy.accept());
        assert_eq!(client.unwrap().local_addr().unwrap(), served.unwrap().1);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn who_was_accepted_by_the_kernel_is_served_after_the_stop() {
    let listener = listen(local()).unwrap();
    let address = listener.local_addr().unwrap();
    let _clients = [
        dial(address, PeerKind::Anyone, Mark::Free, SOON).await.unwrap(),
        dial(address, PeerKind::Anyone, Mark::Free, SOON).await.unwrap(),
    ];
    let seen = Cell::new(0);
    accept(listener, PeerKind::Anyone, async {}, |stream, _| {
        assert_eq!(original_destination(&stream), None);
        seen.set(seen.get() + 1);
    })
    .await;
    assert_eq!(seen.get(), 2);
    assert!(dial(address, PeerKind::Anyone, Mark::Free, SOON).await.is_err());
}

/// One listener for each family, so that callers have the address that they have.
#[tokio::test(flavor = "current_thread")]
async fn both_address_families_are_listened_on() {
    let listeners = listen_everywhere(0).unwrap();
    assert_eq!(listeners.len(), 2, "this host has no IPv6");
    for (listener, own) in listeners.into_iter().zip(["127.0.0.1", "::1"]) {
        let address = std::net::SocketAddr::new(own.parse().unwrap(), listener.local_addr().unwrap().port());
        let (client, served) =
            tokio::join!(dial(address, PeerKind::Anyone, Mark::Free, SOON), listener.accept());
        assert_eq!(client.unwrap().local_addr().unwrap(), served.unwrap().1);
    }
}
