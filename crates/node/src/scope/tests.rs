#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn ssh_is_taken_only_when_it_is_named() {
    assert!(!CaptureScope::default().takes_inbound(22) && CaptureScope::default().takes_inbound(8080));
    let named = CaptureScope { inbound_ports: included_ports("22,80").unwrap(), ..CaptureScope::default() };
    assert!(named.takes_inbound(22) && !named.takes_inbound(8080));
    let both = CaptureScope { exclude_inbound_ports: ports("22").unwrap(), ..named };
    assert!(!both.takes_inbound(22));
}

#[test]
fn lists_are_read_and_what_is_wrong_is_named() {
    assert_eq!(ports(" 80, 443,,80 ").unwrap().into_iter().collect::<Vec<_>>(), [80, 443]);
    assert_eq!(included_ports("*").unwrap(), Included::All);
    assert_eq!(included_ports("").unwrap(), Included::These(BTreeSet::new()));
    for (wrong, told) in [
        ("80,http", "`http` is not a port from 1 to 65535"),
        ("0", "`0` is not a port from 1 to 65535"),
        ("65536", "`65536` is not a port from 1 to 65535"),
        ("80 } accept", "`80 } accept` is not a port from 1 to 65535"),
    ] {
        assert_eq!(ports(wrong).unwrap_err().to_string(), told);
    }
    let many = (1..=300).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(ports(&many).unwrap_err(), ScopeError::TooMany(300));
    assert!(blocks("10.0.0.0/33").is_err() && blocks("::1; flush ruleset").is_err());
}

#[test]
fn address_blocks_are_written_as_their_first_address() {
    let read: Vec<_> =
        blocks("10.1.2.3/8, 192.0.2.7, fd00::1/8").unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(read, ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]);
    assert_eq!("0.0.0.0/0".parse::<AddressBlock>().unwrap().to_string(), "0.0.0.0/0");
}

#[test]
fn cgroups_are_paths_and_nothing_else() {
    let path: CgroupPath = "/system.slice/ssh.service".parse().unwrap();
    assert_eq!((path.to_string().as_str(), path.level()), ("system.slice/ssh.service", 2));
    for wrong in ["", "/", "a//b", "a/../b", "a\" accept", "a b"] {
        assert!(wrong.parse::<CgroupPath>().is_err(), "{wrong}");
    }
}

#[test]
fn istios_annotations_say_the_same_as_flags() {
    let mut scope = CaptureScope::default();
    scope
        .annotate([
            ("traffic.sidecar.istio.io/excludeInboundPorts", "9090,9100"),
            ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8"),
            ("traffic.sidecar.istio.io/excludeOutboundPorts", "5432"),
            ("example.com/other", "anything"),
        ])
        .unwrap();
    let expected = CaptureScope {
        exclude_inbound_ports: [9090, 9100].into(),
        outbound_ip_ranges: Included::These(blocks("10.0.0.0/8").unwrap()),
        exclude_outbound_ports: [5432].into(),
        ..CaptureScope::default()
    };
    assert_eq!(scope, expected);
}

#[test]
fn an_annotation_that_is_wrong_or_unknown_is_refused_by_name() {
    let told = |name, value| CaptureScope::default().annotate([(name, value)]).unwrap_err().to_string();
    assert_eq!(
        told("traffic.sidecar.istio.io/excludeInboundPorts", "ssh"),
        "traffic.sidecar.istio.io/excludeInboundPorts: `ssh` is not a port from 1 to 65535"
    );
    assert!(
        told("traffic.sidecar.istio.io/excludeinboundports", "22")
            .contains("is not one of includeInboundPorts")
    );
}

#[test]
fn a_destination_is_captured_where_its_family_is() {
    let takes = |included: &str, excluded: &str, ip: &str| {
        let outbound_ip_ranges = included_blocks(included).unwrap();
        let exclude_outbound_ip_ranges = blocks(excluded).unwrap();
        let scope =
            CaptureScope { outbound_ip_ranges, exclude_outbound_ip_ranges, ..CaptureScope::default() };
        scope.takes_outbound(ip.parse().unwrap())
    };
    assert!(takes("*", "", "fd00::1") && takes("*", "10.0.0.0/8,fe80::/10", "fd00::1"));
    assert!(takes("fd00::/8", "", "fd00::1") && takes("240.0.0.0/4", "", "240.0.0.1"));
    assert!(!takes("*", "::/0", "fd00::1") && !takes("10.0.0.0/8", "", "fd00::1"));
    assert!(!takes("fd00::/8", "fd00::/16", "fd00::1") && !takes("", "", "10.0.0.1"));
}
