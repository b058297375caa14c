#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::Reserved;
use crate::accept::{Sharing, bind_all, listen};
use crate::snapshot::Ports;
use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn what_others_listen_on_is_not_ours_even_where_they_would_share() {
    let other = TcpListener::bind(local()).unwrap();
    let sharing = listen(local()).unwrap();
    let mut ports = Reserved::new(&[]);
    for taken in [other.local_addr().unwrap(), sharing.local_addr().unwrap()] {
        let error = ports.reserve(taken).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{taken}");
    }
    let address = other.local_addr().unwrap();
    drop(other);
    ports.reserve(address).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_reserved_port_is_for_our_workers_alone() {
    let address = TcpListener::bind(local()).unwrap().local_addr().unwrap();
    let mut ports = Reserved::new(&[]);
    ports.reserve(address).unwrap();
    let worker = listen(address).unwrap();
    assert!(TcpListener::bind(address).is_err());
    assert!(Reserved::new(&[]).reserve(address).is_err(), "another gateway of the same user");
    // The workers have it still when it is wanted once more, on all addresses.
    ports.keep_only(&HashSet::new());
    ports.reserve(SocketAddr::from(([0, 0, 0, 0], address.port()))).unwrap();
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
    assert!(bind_all(v6, Sharing::No).is_err(), "in both families");
    drop(worker);
}
