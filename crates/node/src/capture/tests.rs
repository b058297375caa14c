#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;

/// The lines of one chain, in order.
fn chain(name: &str) -> Vec<String> {
    let text = ruleset();
    let start = text.find(&format!("chain {name} {{")).unwrap();
    text[start..].lines().skip(1).take_while(|l| l.trim() != "}").map(|l| l.trim().to_owned()).collect()
}

#[test]
fn the_proxys_own_sockets_come_first_and_dns_before_loopback() {
    assert_eq!(
        chain("output"),
        [
            "type nat hook output priority -100; policy accept;",
            "meta mark 1337 return",
            "udp dport 53 redirect to :15053",
            "tcp dport 53 redirect to :15053",
            "ip daddr 127.0.0.0/8 return",
            "ip6 daddr ::1 return",
            "meta l4proto tcp redirect to :15001",
        ]
    );
}

#[test]
fn the_proxys_ports_are_not_captured_inbound() {
    assert_eq!(
        chain("prerouting"),
        [
            "type nat hook prerouting priority -100; policy accept;",
            "iif lo return",
            "tcp dport 15000-15099 return",
            "meta l4proto tcp redirect to :15006",
        ]
    );
}

#[test]
fn removal_names_only_its_own_table() {
    assert_eq!(removal(), "add table inet leno\ndelete table inet leno\n");
}
