#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::{Caller, owner};
use std::net::{TcpListener, TcpStream};

/// A table with one socket from 127.0.0.1:4660 to 127.0.0.1:15000, as the kernel of a little-endian machine
/// writes it.
fn check(state: &str, uid: u32, inode: u32, expected: Option<u32>) {
    let narrow = "0100007F:1234 0100007F:3A98";
    let wide = "0000000000000000FFFF00000100007F:1234 0000000000000000FFFF00000100007F:3A98";
    let other = "  0: 0100007F:3A98 0100007F:1234 01 00000000:00000000 00:00000000 00000000 0 0 77 1\n";
    for addresses in [narrow, wide] {
        let row =
            format!("  1: {addresses} {state} 00000000:00000000 02:00000F1B 00000000 {uid} 0 {inode} 2\n");
        let table = format!("  sl  local_address rem_address   st tx_queue\n{other}{row}");
        let (own, peer) = ("127.0.0.1:15000".parse().unwrap(), "127.0.0.1:4660".parse().unwrap());
        assert_eq!(owner(table.as_bytes(), own, peer), expected, "{row}");
    }
}

#[test]
#[cfg(target_endian = "little")]
fn the_owner_of_a_callers_socket_is_in_the_table() {
    check("01", 1000, 4711, Some(1000));
    check("01", 0, 4711, Some(0));
}

/// A closed socket has no owner: the kernel writes root's number.
#[test]
#[cfg(target_endian = "little")]
fn who_has_closed_his_socket_is_not_root() {
    for state in ["02", "04", "05", "06", "07", "08"] {
        check(state, 0, 4711, None);
    }
    check("01", 0, 0, None);
}

#[test]
fn a_connection_from_here_is_ours_until_it_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = Caller::of(listener.accept().unwrap().0).unwrap();
    assert_eq!(accepted.uid(), Some(nix::unistd::geteuid().as_raw()));
    drop(caller);
    assert_eq!(accepted.uid(), None);
}
