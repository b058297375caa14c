//! Transparent capture of a host's traffic: one nftables table, put in place and taken away as a whole.
//!
//! Outbound TCP goes to the proxy's outbound port, DNS to its DNS port, inbound TCP to its inbound port.
//! The proxy's own sockets carry a mark and are left alone, so one user id is enough for both processes.
//! Never touches a table other than its own. What is left alone is said by
//! [`model::capture_scope`].

use crate::nft::{self, NftError};
use model::address::{METADATA, PORT_DNS, PORT_INBOUND, PORT_OUTBOUND, SOCKET_MARK};
use model::capture_scope::{AddressBlock, CaptureScope, Included};
use std::collections::BTreeSet;
use std::fmt::Display;

/// The one table that capture owns.
pub const TABLE: &str = "inet leno";

/// Ports of the proxy that inbound capture leaves alone (see [`model::address::is_proxy_port`]).
const PROXY_PORTS: &str = "15000-15099";

/// Of name servers.
const PORT_NAME_SERVER: u16 = 53;

/// The usual priority of destination NAT, where readers of `nft list ruleset` expect it.
const PRIORITY: i32 = -100;

/// Destinations that are never captured, whatever the scope: this host and its link.
const LEFT_V4: &str = "127.0.0.0/8, 169.254.0.0/16";
/// The same of IPv6.
const LEFT_V6: &str = "::1, fe80::/10";

/// Connections that were open before capture go on as they are, whichever side speaks first, the one among them on which
/// this was typed: the kernel takes their next packet for a new connection's.
const OPEN_BEFORE: &str = "tcp flags & (fin|syn|rst|ack) != syn return";

/// The whole table as `nft` reads it.
///
/// Order matters: the proxy's own sockets and those who are left alone first, then DNS (also to 127.0.0.1, where
/// systemd-resolved and containers keep a resolver), then loopback, then everything else. Queries to any name server are
/// captured; the proxy answers names of the mesh and passes the rest on to the server that was asked, so a resolver's own
/// queries reach its upstream and do not come back.
pub fn ruleset(scope: &CaptureScope) -> String {
    table(&outbound(scope), &inbound(scope))
}

fn table(output: &[String], prerouting: &[String]) -> String {
    let chain = |hook: &str, rules: &[String]| {
        let begin =
            format!("  chain {hook} {{\n    type nat hook {hook} priority {PRIORITY}; policy accept;\n");
        rules.iter().fold(begin, |text, rule| text + "    " + rule + "\n") + "  }\n"
    };
    format!("table {TABLE} {{\n{}{}}}\n", chain("output", output), chain("prerouting", prerouting))
}

/// What the host's own connections meet.
fn outbound(scope: &CaptureScope) -> Vec<String> {
    let mut rules = vec![format!("meta mark {SOCKET_MARK} return"), OPEN_BEFORE.to_owned()];
    rules.extend(set(&scope.exclude_users).map(|users| format!("meta skuid {users} return")));
    rules.extend(set(&scope.exclude_groups).map(|groups| format!("meta skgid {groups} return")));
    for path in &scope.exclude_cgroups {
        rules.push(format!("socket cgroupv2 level {} \"{path}\" return", path.level()));
    }
    if !scope.exclude_outbound_ports.contains(&PORT_NAME_SERVER) {
        rules.extend(
            ["udp", "tcp"].map(|over| format!("{over} dport {PORT_NAME_SERVER} redirect to :{PORT_DNS}")),
        );
    }
    rules.extend(set(&scope.exclude_outbound_ports).map(|ports| format!("tcp dport {ports} return")));
    rules.extend(of_families(&scope.exclude_outbound_ip_ranges).map(|range| format!("{range} return")));
    let redirect = format!("redirect to :{PORT_OUTBOUND}");
    rules.extend(
        metadata().map(|addresses| format!("{addresses} meta skuid != 0 meta l4proto tcp {redirect}")),
    );
    rules.push(format!("ip daddr {{ {LEFT_V4} }} return"));
    rules.push(format!("ip6 daddr {{ {LEFT_V6} }} return"));
    rules.extend(set(&scope.outbound_ports).map(|ports| format!("tcp dport {ports} {redirect}")));
    match &scope.outbound_ip_ranges {
        Included::All => rules.push(format!("meta l4proto tcp {redirect}")),
        Included::These(ranges) => {
            let blocks = of_families(ranges).chain(of_families(&scope.mesh_only()));
            rules.extend(blocks.map(|blocks| format!("{blocks} meta l4proto tcp {redirect}")));
        }
    }
    rules
}

/// The metadata services of clouds. The proxy judges what applications want of them; the agents of the host, which are
/// root's, go there as before.
fn metadata() -> impl Iterator<Item = String> {
    let of = |is_v4: bool| set(METADATA.iter().filter(|ip| ip.is_ipv4() == is_v4));
    let (v4, v6) = (of(true), of(false));
    v4.map(|set| format!("ip daddr {set}")).into_iter().chain(v6.map(|set| format!("ip6 daddr {set}")))
}

/// What connections from other hosts meet.
fn inbound(scope: &CaptureScope) -> Vec<String> {
    let mut rules =
        vec!["iif lo return".to_owned(), OPEN_BEFORE.to_owned(), format!("tcp dport {PROXY_PORTS} return")];
    rules.extend(set(scope.left_inbound()).map(|ports| format!("tcp dport {ports} return")));
    let redirect = format!("redirect to :{PORT_INBOUND}");
    match &scope.inbound_ports {
        Included::All => rules.push(format!("meta l4proto tcp {redirect}")),
        Included::These(ports) => {
            rules.extend(set(ports).map(|ports| format!("tcp dport {ports} {redirect}")))
        }
    }
    rules
}

/// A set as nftables writes it; `None`: nothing is in it.
fn set<T: Display>(entries: impl IntoIterator<Item = T>) -> Option<String> {
    let entries: Vec<String> = entries.into_iter().map(|entry| entry.to_string()).collect();
    (!entries.is_empty()).then(|| format!("{{ {} }}", entries.join(", ")))
}

/// Matches of the destination, one for each address family that is in it.
fn of_families(blocks: &BTreeSet<AddressBlock>) -> impl Iterator<Item = String> + use<> {
    let of = |is_v4: bool| set(blocks.iter().filter(|block| block.is_v4() == is_v4));
    let (v4, v6) = (of(true), of(false));
    v4.map(|set| format!("ip daddr {set}")).into_iter().chain(v6.map(|set| format!("ip6 daddr {set}")))
}

/// Puts capture in place, replacing an earlier one in the same transaction. Blocks for a few milliseconds.
pub fn apply(scope: &CaptureScope) -> Result<(), NftError> {
    nft::apply(&format!("{}{}", removal(), ruleset(scope)))
}

/// Asks whether capture could be put in place. Changes nothing.
pub fn check(scope: &CaptureScope) -> Result<(), NftError> {
    nft::check(&format!("{}{}", removal(), ruleset(scope)))
}

/// Captures nothing new, and leaves what is captured to the proxy that drains: with the table the kernel would forget where
/// those connections go.
pub fn drain() -> Result<(), NftError> {
    nft::apply(&format!("{}{}", removal(), table(&[], &[])))
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
