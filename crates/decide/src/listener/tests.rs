#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Where connections belong.

use super::*;
use model::SpiffeId;
use model::address::MeshPrefix;
use model::listener::{GatewayListener, InboundPort, ListenerProtocol};
use model::mtls::InboundMtls;
use std::collections::BTreeMap;

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

#[test]
fn outbound_goes_by_the_address_that_was_called() {
    let known = |ip: Ipv4Addr| (ip == Ipv4Addr::new(240, 0, 0, 1)).then(|| host("a.mesh.internal"));
    let mut settings = MeshSettings {
        ipv6_prefix: MeshPrefix::parse("fd12:3456:789a::/48").unwrap(),
        ..MeshSettings::default()
    };
    let own = ["10.0.0.9".parse().unwrap(), "fd00::9".parse().unwrap()];
    let judged =
        |original: &str, settings: &MeshSettings| outbound(original.parse().unwrap(), &own, settings, known);
    let check = |original: &str, expected| assert_eq!(judged(original, &settings), expected);
    check("240.0.0.1:80", Outbound::Service { host: host("a.mesh.internal"), port: 80 });
    check("[::ffff:240.0.0.1]:80", Outbound::Service { host: host("a.mesh.internal"), port: 80 });
    check("240.0.0.2:80", Outbound::Unknown([240, 0, 0, 2].into()));
    check("[fd12:3456:789a::240.0.0.1]:80", Outbound::Service { host: host("a.mesh.internal"), port: 80 });
    check("[fd12:3456:789a::240.0.0.2]:80", Outbound::Unknown([240, 0, 0, 2].into()));
    // Of the prefix, and no service's; and as another mesh has it.
    check("[fd12:3456:789a::10.0.0.1]:80", Outbound::Passthrough);
    check("[fd12:3456:789a:1::240.0.0.1]:80", Outbound::Passthrough);
    check("[fd4c:656e:6f00::240.0.0.1]:80", Outbound::Passthrough);
    check("93.184.216.34:443", Outbound::Passthrough);
    check("[2001:db8::1]:443", Outbound::Passthrough);
    check("10.0.0.1:22", Outbound::LeftAlone);
    check("10.0.0.9:80", Outbound::LeftAlone);
    check("[::ffff:10.0.0.9]:80", Outbound::LeftAlone);
    check("[fd00::9]:80", Outbound::LeftAlone);
    check("10.0.0.9:15008", Outbound::Refuse(Reason::NotMyDestination));
    check("240.0.0.1:22", Outbound::Service { host: host("a.mesh.internal"), port: 22 });
    check("10.0.0.1:15001", Outbound::Refuse(Reason::NotMyDestination));
    check("127.0.0.1:15000", Outbound::Refuse(Reason::NotMyDestination));
    // Where not anything may leave, SSH is a destination as others are.
    for mode in [EgressMode::RegistryOnly, EgressMode::AllowAnyDynamicDns] {
        settings.egress.mode = mode;
        assert_eq!(judged("10.0.0.1:22", &settings), Outbound::Passthrough);
        assert_eq!(judged("10.0.0.9:22", &settings), Outbound::LeftAlone);
    }
}

#[test]
fn an_application_is_looked_for_where_it_was_called_and_then_on_loopback() {
    let check = |called: &str, last: Option<&str>, expected: &[&str]| {
        let read = |text: &str| text.parse::<IpAddr>().unwrap();
        let places: Vec<IpAddr> = application_places(read(called), last.map(read)).collect();
        assert_eq!(places, expected.iter().map(|text| read(text)).collect::<Vec<_>>());
    };
    check("10.0.0.5", None, &["10.0.0.5", "127.0.0.1", "::1"]);
    check("fd00::5", None, &["fd00::5", "127.0.0.1", "::1"]);
    check("10.0.0.5", Some("::1"), &["::1", "10.0.0.5", "127.0.0.1"]);
    check("10.0.0.5", Some("127.0.0.1"), &["127.0.0.1", "10.0.0.5", "::1"]);
}

#[test]
fn destinations_have_an_address_or_a_name_and_a_port() {
    let address = |text: &str| Some(Destination::Address(text.parse().unwrap()));
    let check = |text: &str, expected| assert_eq!(parse_destination(text), expected, "{text}");
    check("10.0.0.1:80", address("10.0.0.1:80"));
    check("[2001:db8::1]:80", address("[2001:db8::1]:80"));
    check("[::ffff:10.0.0.1]:80", address("10.0.0.1:80"));
    check("A.mesh.internal.:80", Some(Destination::Name(host("a.mesh.internal"), 80)));
    let bad = [
        "",
        ":80",
        "a",
        "a:",
        "a:0",
        "a:65536",
        "a:+80",
        "10.0.0.1",
        "10.0.0.1:0",
        "u@a:80",
        "[fe80::1%1]:80",
        "[fe80::1%eth0]:80",
        "2001:db8::1",
        "a b:80",
        "a:80;h2",
    ];
    for text in bad {
        check(text, None);
    }
    let header = |text: &str| parse_destination_header(text).map(|(_, app_protocol)| app_protocol);
    assert_eq!(header("10.0.0.1:80"), Some(AppProtocol::Http1));
    assert_eq!(header("10.0.0.1:80;h2"), Some(AppProtocol::Http2));
    assert_eq!(header("10.0.0.1:80;h3"), None);
}

#[test]
fn inbound_takes_what_is_its_own_and_refuses_the_rest() {
    let names = vec![(host("web.mesh.internal"), 80), (host("web.n.svc.cluster.local"), 80)];
    let port = InboundPort { port: 8080, protocol: Protocol::Http1, names };
    let side = Inbound {
        namespace: "n".into(),
        group: "g".into(),
        labels: Vec::new(),
        ports: vec![port],
        mtls: Default::default(),
        probe: None,
        capture: Vec::new(),
    };
    let own = ["10.0.0.5".parse().unwrap()];
    let check = |to: &str, expected: Option<(u16, Protocol)>| {
        let local = inbound(&side, &own, &parse_destination(to).unwrap(), PeerCluster::Local);
        assert_eq!(local.ok().map(|local| (local.port, local.protocol)), expected, "{to}");
    };
    check("10.0.0.5:8080", Some((8080, Protocol::Http1)));
    check("10.0.0.5:9999", Some((9999, Protocol::Tcp)));
    check("web.mesh.internal:80", Some((8080, Protocol::Http1)));
    for to in ["10.0.0.6:8080", "127.0.0.1:8080", "10.0.0.5:15000", "127.0.0.1:15000", "0.0.0.0:80"] {
        check(to, None);
    }
    for to in ["web.mesh.internal:81", "localhost:8080", "other.mesh.internal:80"] {
        check(to, None);
    }
}

#[test]
fn foreign_callers_reach_global_names_only() {
    let names = vec![(host("web.mesh.internal"), 80), (host("web.n.svc.cluster.local"), 80)];
    let port = InboundPort { port: 8080, protocol: Protocol::Http1, names };
    let side = Inbound {
        namespace: "n".into(),
        group: "g".into(),
        labels: Vec::new(),
        ports: vec![port],
        mtls: Default::default(),
        probe: None,
        capture: Vec::new(),
    };
    let own = ["10.0.0.5".parse().unwrap()];
    let reached =
        |to: &str, by| inbound(&side, &own, &parse_destination(to).unwrap(), by).map(|local| local.port);
    for to in ["web.n.svc.cluster.local:80", "10.0.0.5:8080", "10.0.0.5:9999"] {
        assert!(reached(to, PeerCluster::Local).is_ok(), "{to}");
        assert_eq!(reached(to, PeerCluster::Remote), Err(Reason::NotExported), "{to}");
    }
    assert_eq!(reached("web.mesh.internal:80", PeerCluster::Remote), Ok(8080));
    assert_eq!(reached("web.mesh.internal:81", PeerCluster::Remote), Err(Reason::NotMyDestination));
}

#[test]
fn each_port_takes_what_its_mode_says_whatever_it_is_called() {
    let names = vec![(host("web.mesh.internal"), 80)];
    let port = InboundPort { port: 8080, protocol: Protocol::Http1, names };
    let mut side = Inbound {
        namespace: "n".into(),
        group: "g".into(),
        labels: Vec::new(),
        ports: vec![port],
        mtls: InboundMtls { mode: MtlsMode::Strict, ports: BTreeMap::from([(8080, MtlsMode::Strict)]) },
        probe: None,
        capture: Vec::new(),
    };
    let own: [IpAddr; 1] = ["10.0.0.5".parse().unwrap()];
    let port = |found: Result<Local, Reason>| found.map(|local| local.port);
    for (mode, in_mesh, past_it) in [
        (MtlsMode::Strict, Ok(8080), Err(Reason::Plaintext)),
        (MtlsMode::Permissive, Ok(8080), Ok(8080)),
        (MtlsMode::Disable, Err(Reason::MtlsDisabled), Ok(8080)),
    ] {
        side.mtls.ports.insert(8080, mode);
        for to in ["10.0.0.5:8080", "web.mesh.internal:80"] {
            let found = inbound(&side, &own, &parse_destination(to).unwrap(), PeerCluster::Local);
            assert_eq!(port(found), in_mesh, "{mode:?} {to}");
        }
        let past = |to: &str| port(plaintext(&side, &own, to.parse().unwrap()));
        assert_eq!(past("10.0.0.5:8080"), past_it, "{mode:?}");
        assert_eq!(past("10.0.0.5:8081"), Err(Reason::Plaintext), "{mode:?} is of another port");
        // Somebody else's address, and the proxy's own ports.
        for to in ["10.0.0.6:8080", "127.0.0.1:8080"] {
            assert_eq!(past(to), past_it.and(Err(Reason::NotMyDestination)), "{to}");
        }
    }
    side.mtls.mode = MtlsMode::Permissive;
    assert_eq!(port(plaintext(&side, &own, "10.0.0.5:9999".parse().unwrap())), Ok(9999));
    let own_port = plaintext(&side, &own, "10.0.0.5:15000".parse().unwrap());
    assert_eq!(own_port.err(), Some(Reason::NotMyDestination));
}

#[test]
fn the_most_specific_listener_takes_the_request() {
    let inside = "127.0.0.1".parse().unwrap();
    let listener = |port, host: Option<HostMatch>| GatewayListener {
        name: "".into(),
        port,
        protocol: ListenerProtocol::Http,
        host,
        address: None,
        tls: None,
        client: None,
    };
    let listeners = vec![
        listener(80, None),
        listener(80, Some(HostMatch::Suffix(host("com")))),
        listener(80, Some(HostMatch::Suffix(host("a.com")))),
        listener(80, Some(HostMatch::Exact(host("x.a.com")))),
        listener(81, Some(HostMatch::Exact(host("only.com")))),
        GatewayListener { address: Some(inside), ..listener(80, Some(HostMatch::Exact(host("inside.com")))) },
    ];
    let gateway = Gateway { namespace: "n".into(), name: "g".into(), listeners };
    let check_at = |at: std::net::SocketAddr, authority, expected| {
        assert_eq!(gateway_listener(&gateway, at, authority), expected, "{authority} at {at}");
    };
    let check = |port: u16, authority, expected| check_at(([0, 0, 0, 0], port).into(), authority, expected);
    // A listener on another address is another entrance.
    check(80, "inside.com", Some(1));
    check_at((inside, 80).into(), "inside.com", Some(5));
    check_at((inside, 80).into(), "y.a.com", None);
    check(80, "X.A.com:80", Some(3));
    check(80, "y.a.com", Some(2));
    check(80, "a.com", Some(1));
    check(80, "com", Some(0));
    check(80, "", Some(0));
    check(81, "only.com.", Some(4));
    check(81, "other.com", None);
    check(82, "only.com", None);
}

#[test]
fn kin_is_who_the_own_cluster_or_the_root_vouches_for() {
    let own = TrustDomain::parse("leno.demo").unwrap();
    let check = |domain: &str, voucher: Voucher, expected: PeerCluster| {
        let id = SpiffeId::parse(&format!("spiffe://{domain}/ns/n/sa/a")).unwrap();
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        let proof = Proof { id, voucher, uid: None, begins: epoch, expires: epoch };
        assert_eq!(peer_cluster(&proof, "west", Some(&own)), expected, "{proof:?}");
        assert_eq!(peer_cluster(&proof, "west", None), PeerCluster::Remote, "{proof:?}");
    };
    check("leno.demo", Voucher::Root, PeerCluster::Local);
    check("leno.demo", Voucher::Cluster("west".into()), PeerCluster::Local);
    check("leno.demo", Voucher::Cluster("east".into()), PeerCluster::Remote);
    check("leno.demo", Voucher::Nameless, PeerCluster::Remote);
    // A root that we trust for its own domain says what it likes there.
    check("other.demo", Voucher::Root, PeerCluster::Remote);
    check("other.demo", Voucher::Cluster("west".into()), PeerCluster::Remote);
}

#[test]
fn through_the_mesh_a_listener_without_tls_of_its_own_is_called() {
    let listener = |port, protocol, address: Option<&str>, tls: bool| GatewayListener {
        name: "l".into(),
        port,
        protocol,
        host: None,
        address: address.map(|address| address.parse().unwrap()),
        tls: tls.then(Default::default),
        client: None,
    };
    let gateway = Gateway {
        namespace: "default".into(),
        name: "g".into(),
        listeners: vec![
            listener(80, ListenerProtocol::Http, None, false),
            listener(81, ListenerProtocol::Http, Some("10.0.0.9"), false),
            listener(443, ListenerProtocol::Https, None, true),
            listener(53, ListenerProtocol::Tcp, None, false),
        ],
    };
    let check = |called: &str, expected: Option<&str>| {
        let place = mesh_entrance(&gateway, called.parse().unwrap());
        assert_eq!(place, expected.map(|place| place.parse().unwrap()), "{called}");
    };
    check("10.0.0.3:80", Some("0.0.0.0:80"));
    check("10.0.0.9:81", Some("10.0.0.9:81"));
    check("10.0.0.3:81", None);
    check("10.0.0.3:443", None);
    check("10.0.0.3:53", None);
    check("10.0.0.3:8080", None);
}
