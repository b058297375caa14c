//! Rules for connections: at a gateway's listener for opaque bytes, and at a service that is called.

use super::bed::{Application, Proxy, SERVICE, SOON, endpoints, fresh_ip, plain, service, story};
use super::policy::{on, policy};
use crate::testing::host;
use identity::Identity;
use model::authz::{Action, Cidr, Policy, Rule, Source};
use model::l4_route::{L4Match, L4Rule};
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::route::{Parent, RouteBackend};
use model::service::{EndpointSlice, Protocol, Service, ServicePort};
use model::{ObjectRef, Origin, Resource, ResourceKey};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const OTHER: &str = "other.mesh.internal";

pub(super) fn rule(parent: Parent, backends: &[(Option<&str>, u32)]) -> L4Rule {
    let backend = |(name, weight): &(Option<&str>, u32)| RouteBackend::new(name.map(host), 80, *weight);
    L4Rule {
        parent,
        origin: Origin { object: ObjectRef::new("TCPRoute", "default", "db"), file: "".into(), line: 0 },
        index: 0,
        created_s: 0,
        consumer: None,
        matches: Vec::new(),
        backends: backends.iter().map(backend).collect(),
    }
}

fn at_listener() -> Parent {
    Parent::Gateway { namespace: "default".into(), name: "edge".into(), listener: "db".into() }
}

fn at_service(port: u16) -> Parent {
    Parent::Service { host: host(SERVICE), port }
}

/// A second service, with this endpoint.
fn other(address: SocketAddr) -> [(ResourceKey, Resource); 2] {
    let service = Service {
        host: host(OTHER),
        namespace: "default".into(),
        name: "other".into(),
        address: None,
        ports: vec![ServicePort { port: 80, target_port: 8080, protocol: Protocol::Tcp, name: "".into() }],
        global: false,
        external: None,
        failover_order: Vec::new(),
        headless: None,
    };
    let slice = EndpointSlice { host: host(OTHER), index: 0, endpoints: [plain(address)].into() };
    [
        (ResourceKey::Service(host(OTHER)), Resource::Service(service)),
        (ResourceKey::Slice(host(OTHER), 0), Resource::Slice(slice)),
    ]
}

fn l4(rule: L4Rule) -> (ResourceKey, Resource) {
    (ResourceKey::of_l4_rule(&rule), Resource::L4Rule(rule.into()))
}

/// A gateway with a TCP listener at port 80, these rules, and two services.
fn edge(rules: Vec<L4Rule>, shop: SocketAddr, second: SocketAddr) -> Vec<(ResourceKey, Resource)> {
    let listener = GatewayListener {
        name: "db".into(),
        port: 80,
        protocol: ListenerProtocol::Tcp,
        host: None,
        address: None,
        tls: None,
        client: None,
    };
    let gateway = Gateway { namespace: "default".into(), name: "edge".into(), listeners: vec![listener] };
    let mut resources = vec![
        (ResourceKey::Gateway("default".into(), "edge".into()), Resource::Gateway(gateway)),
        service(Protocol::Tcp),
        endpoints(vec![plain(shop)]),
    ];
    resources.extend(other(second));
    resources.extend(rules.into_iter().map(l4));
    resources
}

fn gateway(resources: Vec<(ResourceKey, Resource)>) -> Proxy {
    Proxy::new("west", Identity::new(Vec::new()), resources)
}

/// An application that says its name and closes.
fn named(name: &'static str) -> SocketAddr {
    let listener = std::net::TcpListener::bind((fresh_ip(), 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (address, listener) = (listener.local_addr().unwrap(), TcpListener::from_std(listener).unwrap());
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(name.as_bytes()).await;
        }
    });
    address
}

/// All that is said to a caller who says nothing.
async fn heard(mut caller: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut text = String::new();
    timeout(SOON, caller.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

#[test]
fn bytes_at_a_tcp_listener_go_where_its_rule_leads_and_half_closing_reaches_the_backend() {
    story(async {
        let echo = Application::echo(fresh_ip());
        let proxy = gateway(edge(vec![rule(at_listener(), &[(Some(SERVICE), 1)])], echo, echo));
        let mut caller = proxy.enter_raw();
        // Neither HTTP nor anything else that would be waited for.
        caller.write_all(b"\x00\x01binary").await.unwrap();
        caller.shutdown().await.unwrap();
        assert_eq!(heard(caller).await, "\x00\x01binary");
        let line = proxy.logged().remove(0);
        assert_eq!(line["route_name"], "default/db");
        assert_eq!(line["direction"], "gateway");
        assert_eq!(line["upstream_cluster"], SERVICE);
        assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&8.into(), &8.into()), "{line}");
    });
}

#[test]
fn a_server_that_speaks_first_is_heard_and_backends_are_chosen_by_weight() {
    story(async {
        let rules =
            vec![rule(at_listener(), &[(Some(SERVICE), 1), (Some(OTHER), 3), (Some("none.mesh"), 0)])];
        let proxy = gateway(edge(rules, named("shop"), named("other")));
        let mut counts = [0, 0];
        for _ in 0..200 {
            match heard(proxy.enter_raw()).await.as_str() {
                "shop" => counts[0] += 1,
                "other" => counts[1] += 1,
                text => panic!("{text:?}"),
            }
        }
        assert!((25..=75).contains(&counts[0]), "{counts:?}");
    });
}

#[test]
fn without_a_rule_or_a_backend_a_connection_is_refused_and_told() {
    let check = |rules: Vec<L4Rule>, code: &'static str| {
        story(async move {
            let proxy = gateway(edge(rules, named("shop"), named("other")));
            assert_eq!(heard(proxy.enter_raw()).await, "");
            let line = proxy.logged().remove(0);
            assert_eq!(
                (&line["response_code_details"], &line["response_flags"]),
                (&code.into(), &"NR".into())
            );
        });
    };
    check(Vec::new(), "route_not_found");
    check(vec![rule(at_listener(), &[])], "no_backend");
    check(vec![rule(at_listener(), &[(None, 1)])], "no_backend");
    check(vec![rule(at_listener(), &[(Some(SERVICE), 0)])], "no_backend");
    let matches = vec![L4Match { sources: vec![Cidr::parse("10.0.0.0/8").unwrap()], ..L4Match::default() }];
    check(vec![L4Rule { matches, ..rule(at_listener(), &[(Some(SERVICE), 1)]) }], "route_not_found");
}

#[test]
fn a_policy_on_the_gateway_is_asked_of_opaque_bytes_too() {
    story(async {
        let from = Source { ip_blocks: vec![Cidr::parse("192.0.2.0/24").unwrap()], ..Source::default() };
        let policy = Policy {
            origin: Origin {
                object: ObjectRef::new("AuthorizationPolicy", "default", "shut"),
                file: "".into(),
                line: 0,
            },
            action: Action::Deny,
            rules: vec![Rule { from: vec![from], ..Rule::default() }],
            dry_run: false,
        };
        let mut resources =
            edge(vec![rule(at_listener(), &[(Some(SERVICE), 1)])], named("shop"), named("other"));
        let key = ResourceKey::GatewayPolicy {
            gateway: ("default".into(), "edge".into()),
            namespace: "default".into(),
            name: "shut".into(),
        };
        resources.push((key, Resource::Policy(policy)));
        let proxy = gateway(resources);
        assert_eq!(heard(proxy.enter_raw()).await, "");
        let line = proxy.logged().remove(0);
        assert_eq!((&line["policy"], &line["response_flags"]), (&"default/shut".into(), &"RBAC".into()));
    });
}

/// Also where there was none before.
#[test]
fn a_policy_that_comes_later_ends_what_came_in_at_a_tcp_listener() {
    story(async {
        let echo = Application::echo(fresh_ip());
        let proxy = gateway(edge(vec![rule(at_listener(), &[(Some(SERVICE), 1)])], echo, echo));
        let mut caller = proxy.enter_raw();
        caller.write_all(b"hello").await.unwrap();
        caller.read_exact(&mut [0; 5]).await.unwrap();
        proxy.apply(vec![on("edge", policy(Action::Deny, vec![Rule::default()]))]);
        assert_eq!(heard(caller).await, "");
        let line = proxy.logged().remove(0);
        assert_eq!((&line["policy"], &line["response_flags"]), (&"default/p".into(), &"RBAC".into()));
    });
}

#[test]
fn a_service_that_is_called_has_its_connections_sent_where_rules_lead() {
    let check = |protocol: Protocol, rules: Vec<L4Rule>, expected: &'static str| {
        story(async move {
            let mut resources = vec![service(protocol), endpoints(vec![plain(named("shop"))])];
            resources.extend(other(named("other")));
            resources.extend(rules.into_iter().map(l4));
            assert_eq!(heard(gateway(resources).call_tcp()).await, expected);
        });
    };
    let to_other = |parent| rule(parent, &[(Some(OTHER), 1)]);
    check(Protocol::Tcp, Vec::new(), "shop");
    check(Protocol::Tcp, vec![to_other(at_service(0))], "other");
    check(Protocol::Undeclared, vec![to_other(at_service(80))], "other");
    check(Protocol::Tcp, vec![to_other(at_service(81))], "shop");
    check(Protocol::Tcp, vec![rule(at_service(80), &[])], "");
    // The proxy is one of namespace `default`.
    let of = |consumer: &str, parent| L4Rule { consumer: Some(consumer.into()), ..to_other(parent) };
    check(Protocol::Tcp, vec![of("default", at_service(0))], "other");
    check(Protocol::Tcp, vec![of("web", at_service(0))], "shop");
}
