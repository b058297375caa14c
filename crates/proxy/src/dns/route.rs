//! Whether this host could open a connection to an address of IPv6 at all.
//!
//! Capture takes a connection after the kernel has found a route for it. Told an address without one, an application that
//! tries only the first would fail; so the name then has no such address, as on a host without IPv6.

use std::net::{Ipv6Addr, UdpSocket};

/// Whether a connection to an address could be opened.
pub(crate) type IsReached = fn(Ipv6Addr) -> bool;

/// Any port: nothing is sent.
const PORT: u16 = 1;

/// Whether the kernel has a route and an address of ours for it now: three system calls.
pub(crate) fn has_route(to: Ipv6Addr) -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| socket.connect((to, PORT))).is_ok()
}
