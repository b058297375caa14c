use super::*;
use model::authz::Cidr;
use model::external::{AddressClaim, ExternalService};
use model::route::HostMatch;

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

#[test]
fn metadata_services_are_closed_unless_they_are_named() {
    let check = |ip: &str, allowed: &[&str], expected: Result<(), Reason>| {
        let allowed_metadata = allowed.iter().map(|block| Cidr::parse(block).unwrap()).collect();
        let egress = Egress { allowed_metadata, ..Egress::default() };
        assert_eq!(may_call(ip.parse().unwrap(), &egress), expected, "{ip} {allowed:?}");
    };
    for ip in
        ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200", "fd20:ce::254"]
    {
        check(ip, &[], Err(Reason::MetadataBlocked));
    }
    check("169.254.169.254", &["169.254.169.254"], Ok(()));
    check("169.254.170.2", &["169.254.169.254"], Err(Reason::MetadataBlocked));
    check("fd00:ec2::254", &["fd00:ec2::/32"], Ok(()));
    check("192.0.2.1", &[], Ok(()));
    check("169.254.1.1", &[], Ok(()));
}

#[test]
fn a_described_name_leads_neither_to_the_host_nor_to_its_metadata() {
    let check = |ip: &str, allowed: &[&str], expected: bool| {
        let allowed_metadata = allowed.iter().map(|block| Cidr::parse(block).unwrap()).collect();
        let egress = Egress { allowed_metadata, ..Egress::default() };
        assert_eq!(may_stand_for_name(ip.parse().unwrap(), &egress), expected, "{ip} {allowed:?}");
    };
    for ip in ["169.254.169.254", "fd00:ec2::254", "127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"] {
        check(ip, &[], false);
    }
    for ip in ["10.0.0.1", "192.168.1.1", "fd00::1", "93.184.216.34"] {
        check(ip, &[], true);
    }
    for mesh_only in ["240.0.0.1", "::ffff:240.1.2.3"] {
        check(mesh_only, &[], false);
    }
    check("127.0.0.1", &["127.0.0.0/8"], true);
    check("169.254.169.254", &["127.0.0.0/8"], false);
}

#[test]
fn a_name_leads_to_the_world_alone() {
    let check = |ip: &str, expected: bool| assert_eq!(is_of_the_world(ip.parse().unwrap()), expected, "{ip}");
    for ip in ["93.184.216.34", "2606:2800::1", "100.63.0.1", "172.32.0.1", "100.128.0.1"] {
        check(ip, true);
    }
    for ip in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
    ] {
        check(ip, false);
    }
}

fn names() -> Names {
    Names {
        addresses: vec![AddressClaim {
            block: Cidr::parse("192.0.2.0/24").unwrap(),
            ports: vec![443],
            host: host("by-address.example"),
            visible_in: Vec::new(),
        }],
        claims: vec![
            NameClaim {
                name: HostMatch::Exact(host("a.example.com")),
                ports: vec![80],
                host: host("a.example.com"),
                visible_in: Vec::new(),
            },
            NameClaim {
                name: HostMatch::Suffix(host("example.com")),
                ports: vec![443],
                host: host("_wildcard.example.com"),
                visible_in: Vec::new(),
            },
        ],
        ..Names::default()
    }
}

#[test]
fn a_request_says_a_described_host_where_only_these_may_be_called() {
    let check = |mode: EgressMode, authority: &str, port: u16, expected: Result<(), Reason>| {
        let egress = Egress { mode, ..Egress::default() };
        assert_eq!(may_say(&names(), &egress, authority, port), expected, "{authority} {port}");
    };
    let denied = Err(Reason::EgressDenied);
    check(EgressMode::RegistryOnly, "a.example.com", 80, Ok(()));
    check(EgressMode::RegistryOnly, "a.example.com:80", 80, Ok(()));
    check(EgressMode::RegistryOnly, "x.example.com", 443, Ok(()));
    check(EgressMode::RegistryOnly, "192.0.2.7:443", 443, Ok(()));
    check(EgressMode::RegistryOnly, "evil.test", 80, denied);
    check(EgressMode::RegistryOnly, "evil.test:80", 80, denied);
    check(EgressMode::RegistryOnly, "[2001:db8::1]:80", 80, denied);
    check(EgressMode::AllowAny, "evil.test", 80, Ok(()));
}

#[test]
fn addresses_and_names_mean_a_service_at_its_ports() {
    let names = names();
    let at = |text: &str| by_address(&names, text.parse().unwrap()).map(Hostname::as_str);
    assert_eq!(at("192.0.2.7:443"), Some("by-address.example"));
    assert_eq!(at("[::ffff:192.0.2.7]:443"), Some("by-address.example"));
    assert_eq!((at("192.0.2.7:80"), at("192.0.3.7:443")), (None, None));
    let named = |name: &str, port| by_name(&names, name, port).map(|claim| claim.host.as_str());
    assert_eq!(named("a.example.com", 80), Some("a.example.com"));
    assert_eq!(named("a.example.com", 443), Some("_wildcard.example.com"));
    assert_eq!(named("b.a.example.com", 443), Some("_wildcard.example.com"));
    for (name, port) in
        [("example.com", 443), ("aexample.com", 443), ("b.example.com", 80), ("a.example.com.evil", 443)]
    {
        assert_eq!(named(name, port), None, "{name}");
    }
    assert!(is_named_at(&names, 443) && !is_named_at(&names, 8443));
}

#[test]
fn a_name_in_tls_is_asked_for_where_only_what_is_described_may_be_called() {
    let check = |mode: EgressMode, tls_ports: &[u16], port: u16, expected: bool| {
        let external = ExternalService { tls_ports: tls_ports.to_vec(), ..ExternalService::default() };
        let service = Service {
            host: host("a.example.com"),
            namespace: "a".into(),
            name: "e".into(),
            address: None,
            ports: Vec::new(),
            global: false,
            failover_order: Vec::new(),
            external: Some(Box::new(external)),
            headless: None,
        };
        let egress = Egress { mode, ..Egress::default() };
        assert_eq!(must_name_in_tls(&service, &egress, port), expected, "{mode:?} {tls_ports:?} {port}");
    };
    check(EgressMode::RegistryOnly, &[443], 443, true);
    check(EgressMode::RegistryOnly, &[443], 5432, false);
    check(EgressMode::AllowAny, &[443], 443, false);
    check(EgressMode::AllowAnyDynamicDns, &[443], 443, false);
}

#[test]
fn an_authority_is_an_address_or_a_name() {
    let check =
        |authority: &str, expected: SaidHost<'_>| assert_eq!(said_host(authority), expected, "{authority}");
    check("a.example.com", SaidHost::Name("a.example.com"));
    check("a.example.com:80", SaidHost::Name("a.example.com"));
    check("a.example.com:", SaidHost::Name("a.example.com:"));
    check("192.0.2.1:80", SaidHost::Address("192.0.2.1".parse().unwrap()));
    check("[2001:db8::1]:80", SaidHost::Address("2001:db8::1".parse().unwrap()));
    check("[2001:db8::1]", SaidHost::Address("2001:db8::1".parse().unwrap()));
}
