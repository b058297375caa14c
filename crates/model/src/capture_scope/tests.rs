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

fn merged(owner: &CaptureScope, asked: &[(&str, &str)]) -> CaptureScope {
    let named: Vec<_> =
        asked.iter().map(|(what, value)| (format!("{ANNOTATION_PREFIX}{what}"), *value)).collect();
    owner.annotated(named.iter().map(|(name, value)| (name.as_str(), *value))).unwrap()
}

#[test]
fn what_either_excludes_is_excluded() {
    let owner = CaptureScope { exclude_inbound_ports: [9090].into(), ..CaptureScope::default() };
    assert_eq!(merged(&owner, &[]), owner);
    let asked = [
        ("excludeInboundPorts", "9100"),
        ("excludeOutboundIPRanges", "10.0.0.0/8"),
        ("excludeOutboundPorts", "25"),
    ];
    let expected = CaptureScope {
        exclude_inbound_ports: [9090, 9100].into(),
        exclude_outbound_ip_ranges: blocks("10.0.0.0/8").unwrap(),
        exclude_outbound_ports: [25].into(),
        ..CaptureScope::default()
    };
    assert_eq!(merged(&owner, &asked), expected);
}

#[test]
fn annotations_narrow_what_the_owner_leaves_open_and_never_take_ssh() {
    let owner = CaptureScope { exclude_inbound_ports: [9090].into(), ..CaptureScope::default() };
    let scope = merged(&owner, &[("includeInboundPorts", "22,80,9090"), ("includeOutboundPorts", "443")]);
    assert!(scope.takes_inbound(80) && !scope.takes_inbound(8080));
    assert!(!scope.takes_inbound(9090), "the owner excludes it");
    assert!(!scope.takes_inbound(22), "an annotation captures SSH");
    assert_eq!(scope.outbound_ports, [443].into());
    let scope = merged(&owner, &[("includeOutboundIPRanges", "10.0.0.0/8")]);
    assert_eq!(scope.outbound_ip_ranges, Included::These(blocks("10.0.0.0/8").unwrap()));
}

#[test]
fn a_list_of_the_owner_holds() {
    let owner = CaptureScope {
        inbound_ports: included_ports("22").unwrap(),
        outbound_ip_ranges: included_blocks("10.0.0.0/8").unwrap(),
        ..CaptureScope::default()
    };
    let asked = [("includeInboundPorts", "80"), ("includeOutboundIPRanges", "192.0.2.0/24")];
    assert_eq!(merged(&owner, &asked), owner);
}

#[test]
fn where_the_owner_lists_destinations_no_port_is_added_to_them() {
    let owner = CaptureScope {
        outbound_ip_ranges: included_blocks("10.0.0.0/8").unwrap(),
        ..CaptureScope::default()
    };
    let asked = [("includeOutboundPorts", "443"), ("includeOutboundIPRanges", "*")];
    assert_eq!(merged(&owner, &asked), owner);
}

#[test]
fn one_that_is_wrong_takes_nothing_in() {
    let asked = [("traffic.sidecar.istio.io/excludeInboundPorts", "ssh")];
    assert!(CaptureScope::default().annotated(asked).is_err());
}

#[test]
fn mesh_only_addresses_are_captured_unless_they_are_excluded() {
    let takes = |included: &str, excluded: &str, ip: &str| {
        let owner = CaptureScope {
            outbound_ip_ranges: included_blocks(included).unwrap(),
            exclude_outbound_ip_ranges: blocks(excluded).unwrap(),
            mesh_prefix: MeshPrefix::parse("fd12:3456:789a::/48").unwrap(),
            ..CaptureScope::default()
        };
        owner.takes_outbound(ip.parse().unwrap())
    };
    for included in ["*", "10.0.0.0/8", "fd00::/16", ""] {
        for (ip, wide) in [("240.1.2.3", "0.0.0.0/0"), ("fd12:3456:789a::f001:203", "fd00::/8")] {
            assert!(
                takes(included, "", ip) && takes(included, "10.0.0.0/8,fd00::/16", ip),
                "{included} {ip}"
            );
            assert!(!takes(included, wide, ip) && !takes(included, ip, ip), "{included} {ip}");
        }
    }
    assert!(!takes("10.0.0.0/8", "", "fd4c:656e:6f00::f001:203"), "the /48 of another mesh");
    assert!(!takes("10.0.0.0/8", "", "192.0.2.1"));
}

#[test]
fn linkerds_annotations_leave_ports_alone() {
    let mut scope = CaptureScope::default();
    let asked = [
        ("config.linkerd.io/skip-inbound-ports", "4222,7000-7002"),
        ("config.linkerd.io/skip-outbound-ports", "25"),
        ("config.linkerd.io/proxy-cpu-limit", "none of ours"),
    ];
    scope.annotate(asked).unwrap();
    assert!([4222, 7000, 7001, 7002].iter().all(|port| !scope.takes_inbound(*port)));
    assert!(scope.takes_inbound(7003));
    assert_eq!(scope.exclude_outbound_ports, [25].into());
    let told = scope.annotate([("config.linkerd.io/skip-inbound-ports", "all")]).unwrap_err().to_string();
    assert!(told.starts_with("config.linkerd.io/skip-inbound-ports: `all` is neither a port"), "{told}");
}
