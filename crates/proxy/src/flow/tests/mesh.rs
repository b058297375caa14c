//! Client, gateway and callee, each with its own certificate.

use super::bed::{
    Application, Authority, Client, Proxy, SOON, endpoints, exports, fresh_ip, get, in_own_network,
    inbound_port, native, service, story, through,
};
use super::edge::{edge_resources, rule};
use crate::accept::{Mark, PeerKind, dial, listen};
use crate::testing::id;
use codec::Body;
use http::{Request, Response};
use model::authz::{Action, Glob, Operation, Rule, Source};
use model::service::{Endpoint, Protocol};
use model::{ObjectRef, Origin, Policy, Reason, Resource, ResourceKey};
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One cluster: a workload of the service behind an east-west gateway.
pub(super) struct Cluster {
    pub(super) workload: Proxy,
    pub(super) gateway: Proxy,
}

impl Cluster {
    pub(super) fn start(
        authority: &Authority,
        name: &str,
        ip: IpAddr,
        port: u16,
        protocol: Protocol,
    ) -> Self {
        let workload = Proxy::at(ip, name, authority.identity("shop"), vec![inbound_port(port, protocol)]);
        workload.serve_mesh();
        let known = vec![exports(), service(protocol), endpoints(vec![native(name, ip)])];
        let gateway = Proxy::new(name, authority.identity("eastwest"), known);
        gateway.serve_mesh();
        Self { workload, gateway }
    }

    /// With an application that says the cluster's name.
    pub(super) fn named(authority: &Authority, name: &'static str) -> Self {
        let ip = fresh_ip();
        let application = Application::named(ip, name);
        Self::start(authority, name, ip, application.address.port(), Protocol::Http1)
    }

    /// Named east, with an application that does what the test does with its connections.
    pub(super) fn by_hand(authority: &Authority) -> (Self, TcpListener) {
        let ip = fresh_ip();
        let listener = listen(SocketAddr::new(ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self::start(authority, "east", ip, port, Protocol::Tcp), listener)
    }

    pub(super) fn endpoint(&self, name: &str) -> Endpoint {
        through(name, self.gateway.ip)
    }
}

pub(super) fn client(authority: &Authority, protocol: Protocol, all: Vec<Endpoint>) -> Proxy {
    Proxy::new("west", authority.identity("client"), vec![service(protocol), endpoints(all)])
}

pub(super) fn deny_client() -> (ResourceKey, Resource) {
    let origin = Origin {
        object: ObjectRef::new("AuthorizationPolicy", "default", "no-client"),
        file: "".into(),
        line: 0,
    };
    let source =
        Source { principals: vec![Glob::parse("leno.demo/ns/default/sa/client")], ..Source::default() };
    let to = Operation { paths: vec![Glob::parse("/private*")], ..Operation::default() };
    let rule = Rule { from: vec![source], to: vec![to], when: Vec::new() };
    let policy = Policy { origin, action: Action::Deny, rules: vec![rule], dry_run: false };
    (ResourceKey::Policy("default".into(), "no-client".into()), Resource::Policy(policy))
}

#[test]
fn through_a_gateway_both_sides_see_the_workloads_identity() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut caller = proxy.call().await;
        for _ in 0..3 {
            let response = caller.get("/a?b").await;
            assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "east"));
            assert_eq!(response.headers()["x-asked"], "GET /a?b");
            let names = response.headers()["x-names"].to_str().unwrap();
            assert!(names.contains("x-request-id") && !names.contains("x-leno"), "{names}");
        }
        drop(caller);
        let (mine, theirs) = (proxy.logged(), east.workload.logged());
        let (client, shop) = (id("client").to_string(), id("shop").to_string());
        for line in mine.iter().chain(&theirs) {
            assert_eq!(
                (&line["source_principal"], &line["destination_principal"]),
                (&client.clone().into(), &shop.clone().into()),
                "{line}"
            );
        }
        assert_eq!((mine.len(), theirs.len()), (3, 3));
        let upstream = mine[0]["upstream_host"].as_str().unwrap();
        assert!(upstream.starts_with(&east.gateway.ip.to_string()), "{upstream}");
    });
}

#[test]
fn early_hints_of_the_application_reach_the_caller_through_both_proxies() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let listener = listen(SocketAddr::new(ip, 0)).unwrap();
        let east =
            Cluster::start(&authority, "east", ip, listener.local_addr().unwrap().port(), Protocol::Http1);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut caller = proxy.call_tcp();
        caller.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
        let (mut application, _) = listener.accept().await.unwrap();
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nx-leno-failure: reset\r\n\r\n";
        application.write_all(hints).await.unwrap();
        // They are there before the response is.
        let mut heard = vec![0; "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n".len()];
        caller.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        application.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        let mut response = String::new();
        while !response.ends_with("ok") {
            let mut some = [0; 1024];
            let len = caller.read(&mut some).await.unwrap();
            assert_ne!(len, 0, "{response}");
            response.push_str(std::str::from_utf8(&some[..len]).unwrap());
        }
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        drop(caller);
        let lines = proxy.logged();
        assert_eq!((lines.len(), &lines[0]["response_code"]), (1, &200.into()), "{lines:?}");
    });
}

#[test]
fn an_impostor_behind_the_gateway_is_not_believed() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let application = Application::named(ip, "impostor");
        let mut east = Cluster::named(&authority, "east");
        east.workload = Proxy::at(
            ip,
            "east",
            authority.identity("impostor"),
            vec![inbound_port(application.address.port(), Protocol::Http1)],
        );
        east.workload.serve_mesh();
        east.gateway.apply(vec![endpoints(vec![native("east", ip)])]);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let response = proxy.call().await.get("/").await;
        assert_eq!(response.status(), 503);
        assert_eq!(proxy.logged()[0]["response_code_details"], "upstream_tls_failure");
    });
}

#[test]
fn what_cannot_be_reached_is_put_aside_and_another_cluster_answers() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let gone = fresh_ip();
        let proxy = client(&authority, Protocol::Http1, vec![native("west", gone), east.endpoint("east")]);
        let mut caller = proxy.call().await;
        for _ in 0..3 {
            assert_eq!(caller.get("/").await.body(), "east");
        }
        let entry = proxy.entry();
        assert!(
            entry.states.is_ejected(0, proxy.worker.uptime.now_ms())
                && !entry.states.is_ejected(1, proxy.worker.uptime.now_ms())
        );
        assert_eq!((entry.states.active(0), entry.states.active(1)), (0, 0));
        let attempts: Vec<_> = proxy.logged().iter().map(|line| line["attempts"].as_u64().unwrap()).collect();
        assert_eq!(attempts, [2, 1, 1]);
    });
}

#[test]
fn a_refused_stream_is_sent_elsewhere_whatever_the_method() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let nobody = Application::nobody(ip).await;
        let silent = Cluster::start(&authority, "west", ip, nobody.port(), Protocol::Http1);
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![silent.endpoint("west"), east.endpoint("east")]);
        let request = Request::post("/order").header("host", "shop").body(Body::full("once")).unwrap();
        let response = proxy.call().await.send(request).await;
        assert_eq!((response.status().as_u16(), response.body().as_str()), (200, "east"));
        assert_eq!(silent.workload.logged()[0]["response_code_details"], "upstream_connect_failure");
    });
}

#[test]
fn a_policy_denies_with_403_and_its_name_live() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut caller = proxy.call().await;
        assert_eq!(caller.get("/private").await.status(), 200);
        east.workload.apply(vec![deny_client()]);
        let denied = caller.get("/private/x").await;
        assert_eq!((denied.status().as_u16(), denied.body().as_str()), (403, "RBAC: access denied"));
        assert_eq!(caller.get("/public").await.status(), 200);
        let line = &east.workload.logged()[1];
        assert_eq!(
            (&line["policy"], &line["response_flags"]),
            (&"default/no-client".into(), &"RBAC".into()),
            "{line}"
        );
    });
}

#[test]
fn what_is_not_exported_is_refused() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        east.gateway.apply(vec![(
            ResourceKey::Exports,
            Resource::Exports(model::listener::Exports { hosts: Vec::new() }),
        )]);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        assert_eq!(proxy.call().await.get("/").await.status(), 503);
        assert_eq!(east.gateway.logged()[0]["response_code_details"], "service_not_exported");
    });
}

#[test]
fn a_gateway_without_workloads_of_its_own_never_calls_another_gateway() {
    story(async {
        let authority = Authority::new();
        let (east, north) = (Cluster::named(&authority, "east"), Cluster::named(&authority, "north"));
        east.gateway.apply(vec![endpoints(vec![through("north", north.gateway.ip)])]);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        assert_eq!(proxy.call().await.get("/").await.status(), 503);
        assert_eq!(east.gateway.logged()[0]["response_code_details"], "no_healthy_upstream");
        assert_eq!(north.gateway.logged().len(), 0);
    });
}

#[test]
fn opaque_bytes_go_both_ways_and_end() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let echo = Application::echo(ip);
        let east = Cluster::start(&authority, "east", ip, echo.port(), Protocol::Tcp);
        let proxy = client(&authority, Protocol::Tcp, vec![east.endpoint("east")]);
        let mut caller = proxy.call_tcp();
        caller.write_all(b"hello").await.unwrap();
        caller.shutdown().await.unwrap();
        let mut heard = String::new();
        caller.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
    });
}

#[test]
fn a_policy_that_comes_later_ends_a_tunnel() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let echo = Application::echo(ip);
        let east = Cluster::start(&authority, "east", ip, echo.port(), Protocol::Tcp);
        let proxy = client(&authority, Protocol::Tcp, vec![east.endpoint("east")]);
        let mut caller = proxy.call_tcp();
        caller.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        caller.read_exact(&mut heard).await.unwrap();
        east.workload.apply(vec![deny_client()]);
        assert_eq!(caller.read(&mut heard).await.unwrap_or(0), 0, "the tunnel ended");
        let lines = east.workload.logged();
        let line = lines.last().unwrap();
        assert_eq!(line["policy"], "default/no-client", "{lines:?}");
        assert_eq!((&line["bytes_received"], &line["bytes_sent"]), (&5.into(), &5.into()), "{line}");
    });
}

/// It was judged before, and is carried after.
#[test]
fn a_policy_that_comes_while_a_tunnel_is_opened_ends_it() {
    story(async {
        let authority = Authority::new();
        let (east, listener) = Cluster::by_hand(&authority);
        let proxy = client(&authority, Protocol::Tcp, vec![east.endpoint("east")]);
        let mut caller = proxy.call_tcp();
        caller.write_all(b"hello").await.unwrap();
        let application = listener.accept().await.unwrap();
        east.workload.apply(vec![deny_client()]);
        assert_eq!(caller.read(&mut [0; 5]).await.unwrap_or(0), 0, "the tunnel ended");
        drop(application);
        let lines = east.workload.logged();
        assert_eq!(lines.last().unwrap()["policy"], "default/no-client", "{lines:?}");
    });
}

#[test]
fn strangers_are_refused_and_counted_by_reason() {
    story(async {
        let (authority, other) = (Authority::new(), Authority::new());
        let east = Cluster::named(&authority, "east");
        let refusals = |reason: Reason| {
            let text = east.gateway.worker.shared.observe.render(0, 0);
            let name = format!("leno_refused_connections_total{{reason=\"{}\"}} ", reason.row().code);
            text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
        };
        // Signed by somebody else; it believes in ours, so the refusal is the gateway's.
        let stranger = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        stranger.worker.shared.identity.install(other.svid("client"));
        assert_eq!(stranger.call().await.get("/").await.status(), 503);
        assert!(refusals(Reason::PeerUntrusted) > 0);
        // Without a gateway in between, it sees the refusal when its request may be on the way already.
        let neighbour = client(&authority, Protocol::Http1, vec![native("east", east.workload.ip)]);
        neighbour.worker.shared.identity.install(other.svid("client"));
        assert_eq!(neighbour.call().await.get("/").await.status(), 503);
        for proxy in [stranger, neighbour] {
            assert_eq!(proxy.logged()[0]["response_code_details"], "upstream_tls_failure");
        }
        // Not even TLS.
        let mesh = SocketAddr::new(east.gateway.ip, model::address::PORT_MESH);
        let mut plain = dial(mesh, PeerKind::Proxy, Mark::Free, SOON).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        let _ = plain.read_to_end(&mut heard).await;
        assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
        assert_eq!(refusals(Reason::PeerHandshake), 1);
    });
}

/// A tunnel is no way around policy: its bytes for an HTTP port are judged as HTTP.
#[test]
fn a_tunnel_to_an_http_port_is_judged_as_http() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        east.workload.apply(vec![deny_client()]);
        // The client believes that the port is opaque.
        let proxy = client(&authority, Protocol::Tcp, vec![east.endpoint("east")]);
        let mut caller = proxy.call_tcp();
        caller.write_all(b"GET /private HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        caller.read_to_string(&mut heard).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 403"), "{heard}");
    });
}

#[test]
fn a_drain_loses_nothing() {
    story(async {
        let authority = Authority::new();
        let (west, east) = (Cluster::named(&authority, "west"), Cluster::named(&authority, "east"));
        let proxy = client(&authority, Protocol::Http1, vec![west.endpoint("west"), east.endpoint("east")]);
        let mut answers = Vec::new();
        let mut callers: Vec<Client> = Vec::new();
        for _ in 0..4 {
            callers.push(proxy.call().await);
        }
        for round in 0..20 {
            if round == 5 {
                west.workload.trigger.start();
            }
            let sent = callers.iter_mut().map(|caller| caller.send(get("/")));
            for response in futures_util::future::join_all(sent).await {
                assert_eq!(response.status(), 200);
                answers.push(response.into_body());
            }
        }
        assert_eq!(answers.len(), 80);
        assert!(answers.first().unwrap() == "west" && answers.last().unwrap() == "east", "{answers:?}");
        let changes = answers.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 1, "no flapping: {answers:?}");
    });
}

/// On the loopback a workload has no address that it may be asked for by; the refusal proves the rest of the
/// way.
#[test]
fn a_loopback_destination_is_never_ours() {
    story(async {
        let authority = Authority::new();
        let west = Cluster::named(&authority, "west");
        let proxy = client(&authority, Protocol::Http1, vec![native("west", west.workload.ip)]);
        let response: Response<String> = proxy.call().await.get("/").await;
        assert_eq!(response.status(), 503);
        assert_eq!(proxy.logged()[0]["response_code_details"], "destination_not_local");
    });
}

#[test]
fn a_gateways_listener_is_called_through_the_mesh_by_who_has_an_identity() {
    let name = "flow::tests::mesh::a_gateways_listener_is_called_through_the_mesh_by_who_has_an_identity";
    in_own_network(name, || story(is_called_by_identity()));
}

async fn is_called_by_identity() {
    let authority = Authority::new();
    let application = Application::named(fresh_ip(), "outside");
    let mut resources = edge_resources(vec![rule(0, "")], &[application.address]);
    for (_, resource) in &mut resources {
        if let Resource::Gateway(gateway) = resource {
            gateway.listeners[0].port = 8080;
        }
    }
    resources.push(inbound_port(8080, Protocol::Http1));
    let origin = Origin {
        object: ObjectRef::new("AuthorizationPolicy", "default", "who-may-leave"),
        file: "".into(),
        line: 0,
    };
    let source =
        Source { principals: vec![Glob::parse("leno.demo/ns/default/sa/client")], ..Source::default() };
    let allow = Rule { from: vec![source], to: Vec::new(), when: Vec::new() };
    let policy = Policy { origin, action: Action::Allow, rules: vec![allow], dry_run: false };
    let (gateway, name) = (("default".into(), "edge".into()), "who-may-leave".into());
    let key = ResourceKey::GatewayPolicy { gateway, namespace: "default".into(), name };
    resources.push((key, Resource::Policy(policy)));
    let ip = "10.244.0.1".parse().unwrap();
    let egress = Proxy::at(ip, "west", authority.identity("shop"), resources);
    egress.serve_mesh();
    let all = || vec![service(Protocol::Http1), endpoints(vec![native("west", egress.ip)])];
    let client = Proxy::new("west", authority.identity("client"), all());
    let other = Proxy::new("west", authority.identity("other"), all());
    let answer = client.call().await.get("/a").await;
    assert_eq!((answer.status().as_u16(), answer.body().as_str()), (200, "outside"));
    assert_eq!(answer.headers()["x-asked"], "GET /a");
    assert_eq!(other.call().await.get("/a").await.status(), 403);
    let lines = egress.logged();
    let text = |line: usize, field: &str| lines[line][field].as_str().unwrap_or("-").to_owned();
    assert_eq!(text(0, "source_principal"), id("client").to_string(), "{lines:?}");
    assert_eq!(text(0, "route_name"), "default/shop");
    assert_eq!(text(1, "source_principal"), id("other").to_string());
}
