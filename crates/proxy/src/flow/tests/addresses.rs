//! Addresses of both families between proxies, and where an application listens.

use super::bed::{Application, Authority, get, in_own_network, story};
use super::native::pair_at;
use crate::accept::{Mark, PeerKind, dial};
use crate::upstream::application::{ApplicationAddress, FoundApplications, Listens};
use model::service::Protocol;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const V4: &str = "10.244.0.2";
const V6: &str = "fd00:244::2";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn is_served(called: &str, listens: &str) {
    let authority = Authority::new();
    let application = Application::named(ip(listens), "shop");
    let at = SocketAddr::new(ip(called), application.address.port());
    let (proxy, workload) = pair_at(&authority, at, Protocol::Http1);
    let mut caller = proxy.call().await;
    for _ in 0..2 {
        let response = caller.send(get("/x")).await;
        let answer = (response.status().as_u16(), response.body().as_str());
        assert_eq!(answer, (200, "shop"), "{called} at {listens}");
    }
    assert_eq!(application.connections.get(), 1, "it is kept");
    drop(caller);
    let line = &workload.logged()[0];
    assert_eq!(line["source_principal"], "spiffe://leno.demo/ns/default/sa/client");
    assert_eq!(line["upstream_host"], at.to_string(), "as it was called");
}

#[test]
fn an_application_is_served_at_either_address_of_its_host_wherever_it_listens() {
    in_own_network(
        "flow::tests::addresses::an_application_is_served_at_either_address_of_its_host_wherever_it_listens",
        || {
            let on_loopback = |called| [(called, "127.0.0.1"), (called, "::1")];
            let ways = [(V4, V4), (V6, V6)].into_iter().chain(on_loopback(V4)).chain(on_loopback(V6));
            ways.for_each(|(called, listens)| story(is_served(called, listens)));
        },
    );
}

#[test]
fn opaque_bytes_reach_an_application_on_loopback() {
    in_own_network("flow::tests::addresses::opaque_bytes_reach_an_application_on_loopback", || {
        story(async {
            let authority = Authority::new();
            let echo = Application::echo(ip("::1"));
            let at = SocketAddr::new(ip(V6), echo.port());
            let (proxy, _workload) = pair_at(&authority, at, Protocol::Tcp);
            let mut caller = proxy.call_tcp();
            caller.write_all(b"hello").await.unwrap();
            caller.shutdown().await.unwrap();
            let mut heard = String::new();
            caller.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "hello");
        });
    });
}

/// What listens on loopback and no Service names is nobody else's business.
#[test]
fn loopback_is_closed_but_for_ports_of_services() {
    in_own_network("flow::tests::addresses::loopback_is_closed_but_for_ports_of_services", || {
        story(async {
            let authority = Authority::new();
            let application = Application::named(ip("127.0.0.1"), "private");
            let at = SocketAddr::new(ip(V4), application.address.port());
            let (proxy, workload) = pair_at(&authority, at, Protocol::Http1);
            workload.apply(vec![super::bed::inbound_port(1, Protocol::Http1)]);
            assert_eq!(proxy.call().await.get("/").await.status(), 503);
            assert_eq!(application.connections.get(), 0);
        });
    });
}

#[test]
fn an_application_that_moves_is_found_again() {
    in_own_network("flow::tests::addresses::an_application_that_moves_is_found_again", || {
        story(async {
            let found = FoundApplications::default();
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let called = SocketAddr::new(ip(V4), first.local_addr().unwrap().port());
            let to = ApplicationAddress { called, listens: Listens::ThereOrOnLoopback };
            let dialed = || found.dial(to, Mark::Free, Duration::from_secs(5));
            let place = |stream: io::Result<tokio::net::TcpStream>| stream.unwrap().peer_addr().unwrap().ip();
            assert_eq!(place(dialed().await), ip("127.0.0.1"));
            assert_eq!(place(dialed().await), ip("127.0.0.1"));
            drop(first);
            assert_eq!(dialed().await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
            for next in [V4, "::1", V4] {
                let at = SocketAddr::new(ip(next), called.port());
                let listener = crate::accept::listen(at).unwrap();
                assert_eq!(place(dialed().await), ip(next));
                drop(listener);
            }
            // An application elsewhere is never looked for here.
            let _on_loopback =
                crate::accept::listen(SocketAddr::new(ip("127.0.0.1"), called.port())).unwrap();
            assert!(found.dial(called.into(), Mark::Free, Duration::from_secs(5)).await.is_err());
            assert!(dial(called, PeerKind::Anyone, Mark::Free, Duration::from_secs(5)).await.is_err());
        });
    });
}
