//! Whose program called: the user behind the other end of a connection from this machine.
//!
//! TCP does not carry it, but the kernel lists every socket of this network namespace with the user who made it,
//! and on loopback the caller's socket is among them. Nobody needs a secret for that, and none lies about. What
//! cannot be told is answered with nothing: who asks then may not.

use crate::users::is_anyone;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

/// Of the calling thread's network namespace: sockets of IPv4, then those of IPv6, which may speak IPv4 too.
const TABLES: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
/// As the tables write `TCP_ESTABLISHED`.
const ESTABLISHED: &str = "01";

/// A caller's connection, kept to ask whose it is.
pub(super) struct Caller(TcpStream);

impl Caller {
    /// Of an accepted connection.
    pub(super) fn of(stream: impl AsFd) -> io::Result<Self> {
        let copy: OwnedFd = stream.as_fd().try_clone_to_owned()?;
        Ok(Self(copy.into()))
    }

    /// The user who opened it; `None`: it cannot be told, or he has closed it already. Reads the kernel's list of
    /// sockets, so it is for rare calls.
    pub(super) fn uid(&self) -> Option<u32> {
        let (own, peer) = (self.0.local_addr().ok()?, self.0.peer_addr().ok()?);
        let uid = find(own, peer)?;
        // A socket that is being closed has no owner any more and is listed as root's. It leaves ESTABLISHED
        // before it loses its owner, so one that is still ESTABLISHED now had its owner when we looked first.
        (find(own, peer)? == uid).then_some(())?;
        // The pair of addresses was ours all the time: nobody else's socket can have been found under it.
        self.0.peer_addr().ok()?;
        (!is_anyone(uid)).then_some(uid)
    }
}

fn find(own: SocketAddr, peer: SocketAddr) -> Option<u32> {
    TABLES.iter().find_map(|path| owner(BufReader::new(File::open(path).ok()?), own, peer))
}

/// The user of the established socket that goes from `peer` to `own`, in a table of `/proc/net`.
fn owner(mut table: impl BufRead, own: SocketAddr, peer: SocketAddr) -> Option<u32> {
    let wanted = [
        (written(peer, Wide::No), written(own, Wide::No)),
        (written(peer, Wide::Yes), written(own, Wide::Yes)),
    ];
    let mut line = String::new();
    loop {
        line.clear();
        if table.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(local), Some(remote)) = (words.next(), words.next()) else { continue };
        if !wanted.iter().any(|(from, to)| from == local && to == remote) {
            continue;
        }
        // st tx:rx tr:when retrnsmt uid timeout inode
        let state = words.next()?;
        let uid = words.nth(3)?.parse().ok()?;
        let inode = words.nth(1)?;
        // Without an inode nobody owns it.
        return (state == ESTABLISHED && inode != "0").then_some(uid);
    }
}

/// Whether an IPv4 address is written as the IPv6 one that stands for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wide {
    No,
    Yes,
}

/// As the kernel writes an address: words of 32 bits in the machine's own order.
fn written(address: SocketAddr, wide: Wide) -> String {
    let octets = match (address.ip().to_canonical(), wide) {
        (IpAddr::V4(v4), Wide::No) => v4.octets().to_vec(),
        (IpAddr::V4(v4), Wide::Yes) => v4.to_ipv6_mapped().octets().to_vec(),
        (IpAddr::V6(v6), _) => Ipv6Addr::octets(&v6).to_vec(),
    };
    let mut text = String::with_capacity(37);
    for word in octets.chunks_exact(4) {
        // Writing into a string cannot fail.
        let _ = write!(text, "{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    }
    let _ = write!(text, ":{:04X}", address.port());
    text
}

#[cfg(test)]
mod tests;
