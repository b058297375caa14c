#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Addresses in both families: refused, silent, and answering.

use super::*;
use std::cell::RefCell;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio::time::Instant;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn families_alternate_from_the_resolvers_first() {
    let check = |found: &[&str], expected: &[&str]| assert_eq!(order(addresses(found)), addresses(expected));
    check(&[], &[]);
    check(&["10.0.0.1:1", "10.0.0.2:1"], &["10.0.0.1:1", "10.0.0.2:1"]);
    check(
        &["[fd00::1]:1", "[fd00::2]:1", "[fd00::3]:1", "10.0.0.1:1"],
        &["[fd00::1]:1", "10.0.0.1:1", "[fd00::2]:1", "[fd00::3]:1"],
    );
    check(
        &["10.0.0.1:1", "10.0.0.2:1", "[fd00::1]:1", "[fd00::2]:1"],
        &["10.0.0.1:1", "[fd00::1]:1", "10.0.0.2:1", "[fd00::2]:1"],
    );
    let many: Vec<SocketAddr> = (1..100).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
    assert_eq!(order(many).len(), ADDRESSES_MAX);
}

/// A port that somebody listens on and one that nobody does, on real sockets.
#[tokio::test]
async fn a_refused_address_is_passed_over_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = gone.local_addr().unwrap();
    drop(gone);
    let answering = listener.local_addr().unwrap();
    let stream = connect_first(&[refused, answering], TcpStream::connect).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), answering);
    let told = connect_first(&[refused], TcpStream::connect).await.unwrap_err();
    assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused);
    let told = connect_first(&[refused, refused], TcpStream::connect).await.unwrap_err();
    assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(told.to_string().matches(&refused.to_string()).count(), 2, "{told}");
}

/// The clock stands still but for what is waited for, so the times are exact.
#[tokio::test(start_paused = true)]
async fn beside_a_silent_address_the_next_is_tried_after_the_delay() {
    let began = Instant::now();
    let tried = RefCell::new(Vec::new());
    let connected = connect_first(&addresses(&["[fd00::1]:1", "10.0.0.1:1", "10.0.0.2:1"]), |address| {
        tried.borrow_mut().push((address, began.elapsed()));
        async move {
            match address.to_string().as_str() {
                // The first one answers after all: it was not given up.
                "[fd00::1]:1" => {
                    let _ = tokio::time::timeout(ATTEMPT_DELAY * 2, std::future::pending::<()>()).await;
                }
                "10.0.0.1:1" => return Err(io::ErrorKind::ConnectionRefused.into()),
                _ => std::future::pending().await,
            }
            Ok(address)
        }
    })
    .await
    .unwrap();
    assert_eq!(connected, "[fd00::1]:1".parse().unwrap());
    let expected = addresses(&["[fd00::1]:1", "10.0.0.1:1", "10.0.0.2:1"]);
    let at = [Duration::ZERO, ATTEMPT_DELAY, ATTEMPT_DELAY];
    assert_eq!(tried.into_inner(), expected.into_iter().zip(at).collect::<Vec<_>>());
    assert_eq!(began.elapsed(), ATTEMPT_DELAY * 2);
}
