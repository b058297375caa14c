#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
use super::*;
use model::address::MeshPrefix;
use model::capture_scope::{blocks, included_blocks, included_ports, ports};
use std::io::Write;
use std::process::{Command, Stdio};

/// The lines of one chain, in order.
fn chain(scope: &CaptureScope, name: &str) -> Vec<String> {
    let text = ruleset(scope);
    let start = text.find(&format!("chain {name} {{")).unwrap();
    text[start..].lines().skip(1).take_while(|l| l.trim() != "}").map(|l| l.trim().to_owned()).collect()
}

#[test]
fn the_proxys_own_sockets_come_first_and_dns_before_loopback() {
    assert_eq!(
        chain(&CaptureScope::default(), "output"),
        [
            "type nat hook output priority -100; policy accept;",
            "meta mark 1337 return",
            "tcp flags & (fin|syn|rst|ack) != syn return",
            "udp dport 53 redirect to :15053",
            "tcp dport 53 redirect to :15053",
            "ip daddr { 169.254.169.254, 169.254.170.2, 169.254.170.23, 168.63.129.16, 100.100.100.200 } \
             meta skuid != 0 meta l4proto tcp redirect to :15001",
            "ip6 daddr { fd00:ec2::254, fd00:ec2::23, fd20:ce::254 } \
             meta skuid != 0 meta l4proto tcp redirect to :15001",
            "ip daddr { 127.0.0.0/8, 169.254.0.0/16 } return",
            "ip6 daddr { ::1, fe80::/10 } return",
            "meta l4proto tcp redirect to :15001",
        ]
    );
}

#[test]
fn the_proxys_ports_and_ssh_are_not_captured_inbound() {
    assert_eq!(
        chain(&CaptureScope::default(), "prerouting"),
        [
            "type nat hook prerouting priority -100; policy accept;",
            "iif lo return",
            "tcp flags & (fin|syn|rst|ack) != syn return",
            "tcp dport 15000-15099 return",
            "tcp dport { 22 } return",
            "meta l4proto tcp redirect to :15006",
        ]
    );
}

/// Everything that can be said.
fn all() -> CaptureScope {
    CaptureScope {
        inbound_ports: included_ports("22,8080").unwrap(),
        exclude_inbound_ports: ports("9100").unwrap(),
        outbound_ports: ports("6379").unwrap(),
        exclude_outbound_ports: ports("53,5432").unwrap(),
        outbound_ip_ranges: included_blocks("10.0.0.0/8,fd00::/8").unwrap(),
        exclude_outbound_ip_ranges: blocks("10.9.0.0/16").unwrap(),
        mesh_prefix: MeshPrefix::parse("fd12:3456:789a::/48").unwrap(),
        exclude_users: [0, 113].into(),
        exclude_groups: [1338].into(),
        exclude_cgroups: [].into(),
    }
}

#[test]
fn what_is_left_alone_comes_before_what_is_captured() {
    assert_eq!(
        chain(&all(), "output")[1..],
        [
            "meta mark 1337 return",
            "tcp flags & (fin|syn|rst|ack) != syn return",
            "meta skuid { 0, 113 } return",
            "meta skgid { 1338 } return",
            "tcp dport { 53, 5432 } return",
            "ip daddr { 10.9.0.0/16 } return",
            "ip daddr { 169.254.169.254, 169.254.170.2, 169.254.170.23, 168.63.129.16, 100.100.100.200 } \
             meta skuid != 0 meta l4proto tcp redirect to :15001",
            "ip6 daddr { fd00:ec2::254, fd00:ec2::23, fd20:ce::254 } \
             meta skuid != 0 meta l4proto tcp redirect to :15001",
            "ip daddr { 127.0.0.0/8, 169.254.0.0/16 } return",
            "ip6 daddr { ::1, fe80::/10 } return",
            "tcp dport { 6379 } redirect to :15001",
            "ip daddr { 10.0.0.0/8 } meta l4proto tcp redirect to :15001",
            "ip6 daddr { fd00::/8 } meta l4proto tcp redirect to :15001",
            "ip daddr { 240.0.0.0/4 } meta l4proto tcp redirect to :15001",
            "ip6 daddr { fd12:3456:789a::/48 } meta l4proto tcp redirect to :15001",
        ]
    );
    assert_eq!(
        chain(&all(), "prerouting")[1..],
        [
            "iif lo return",
            "tcp flags & (fin|syn|rst|ack) != syn return",
            "tcp dport 15000-15099 return",
            "tcp dport { 9100 } return",
            "tcp dport { 22, 8080 } redirect to :15006",
        ]
    );
    let cgroup =
        CaptureScope { exclude_cgroups: ["a.slice/b.service".parse().unwrap()].into(), ..Default::default() };
    assert_eq!(chain(&cgroup, "output")[3], "socket cgroupv2 level 2 \"a.slice/b.service\" return");
}

#[test]
fn nothing_but_the_mesh_is_captured_where_nothing_is_included() {
    let scope = CaptureScope {
        inbound_ports: included_ports("").unwrap(),
        outbound_ip_ranges: included_blocks("").unwrap(),
        ..CaptureScope::default()
    };
    let mut captured = chain(&scope, "output");
    captured.retain(|rule| rule.contains("15001") && !rule.contains("skuid"));
    assert_eq!(
        captured,
        [
            "ip daddr { 240.0.0.0/4 } meta l4proto tcp redirect to :15001",
            "ip6 daddr { fd4c:656e:6f00::/48 } meta l4proto tcp redirect to :15001",
        ]
    );
    assert!(!chain(&scope, "prerouting").iter().any(|rule| rule.contains("15006")));
}

/// What `nft list ruleset` prints after some scripts, in a network namespace of its own that has a table already.
fn listed(scripts: &[String]) -> String {
    let nft = nft::find().unwrap();
    let run = format!(
        "set -e; while IFS= read -r -d '#' script; do printf '%s' \"$script\" | {0} -f -; done; {0} list ruleset",
        nft.display()
    );
    let mut child = Command::new("unshare")
        .args(["--map-root-user", "--net", "bash", "-c", &run])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let before = "table ip own {\n  chain input { type filter hook input priority 0; policy accept; tcp dport 23 drop; }\n}\n";
    let mut stdin = child.stdin.take().unwrap();
    for script in std::iter::once(before).chain(scripts.iter().map(String::as_str)) {
        write!(stdin, "{script}#").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft refused a script");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_kernel_takes_all_rules_and_release_leaves_every_byte_as_it_was() {
    let untouched = listed(&[]);
    assert!(untouched.contains("table ip own"));
    for scope in [CaptureScope::default(), all()] {
        let put = format!("{}{}", removal(), ruleset(&scope));
        let captured = listed(&[put.clone(), put.clone()]);
        assert!(captured.contains("redirect to :15001") && captured.contains("table ip own"), "{captured}");
        assert_eq!(listed(&[put, removal()]), untouched);
    }
}

#[test]
fn removal_names_only_its_own_table() {
    assert_eq!(removal(), "add table inet leno\ndelete table inet leno\n");
}
