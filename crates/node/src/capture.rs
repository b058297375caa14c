//! Transparent capture of a host's traffic: one nftables table, put in place and taken away as a whole.
//!
//! Outbound TCP goes to the proxy's outbound port, DNS to its DNS port, inbound TCP to its inbound port.
//! The proxy's own sockets carry a mark and are left alone, so one user id is enough for both processes.
//! Never touches a table other than its own.

use crate::nft::{self, NftError};
use model::address::{PORT_DNS, PORT_INBOUND, PORT_OUTBOUND, SOCKET_MARK};

/// The one table that capture owns.
pub const TABLE: &str = "inet leno";

/// Ports of the proxy that inbound capture leaves alone (see [`model::address::is_proxy_port`]).
const PROXY_PORTS: &str = "15000-15099";

/// The usual priority of destination NAT, where readers of `nft list ruleset` expect it.
const PRIORITY: i32 = -100;

/// The whole table as `nft` reads it.
///
/// Order matters: the proxy's own sockets first, then DNS (also to 127.0.0.1, where systemd-resolved and
/// containers keep a resolver), then loopback, then everything else. Queries to any name server are captured;
/// the proxy answers names of the mesh and passes the rest on to the server that was asked, so a resolver's own
/// queries reach its upstream and do not come back.
pub fn ruleset() -> String {
    format!(
        "table {TABLE} {{
  chain output {{
    type nat hook output priority {PRIORITY}; policy accept;
    meta mark {SOCKET_MARK} return
    udp dport 53 redirect to :{PORT_DNS}
    tcp dport 53 redirect to :{PORT_DNS}
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    meta l4proto tcp redirect to :{PORT_OUTBOUND}
  }}
  chain prerouting {{
    type nat hook prerouting priority {PRIORITY}; policy accept;
    iif lo return
    tcp dport {PROXY_PORTS} return
    meta l4proto tcp redirect to :{PORT_INBOUND}
  }}
}}
"
    )
}

/// Puts capture in place, replacing an earlier one in the same transaction. Blocks for a few milliseconds.
pub fn apply() -> Result<(), NftError> {
    nft::apply(&format!("{}{}", removal(), ruleset()))
}

/// Takes capture away: exactly its table. Not an error when there is none.
pub fn release() -> Result<(), NftError> {
    nft::apply(&removal())
}

/// Deleting a table that does not exist fails, so it is declared first; both in one transaction.
fn removal() -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\n")
}

#[cfg(test)]
mod tests;
