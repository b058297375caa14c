//! Policies where callers come in from outside, and between networks.

use super::bed::{Application, Authority, Proxy, endpoints, fresh_ip, get, native, service, story};
use super::edge::{edge, edge_resources, rule};
use super::mesh::{Cluster, client, deny_client};
use crate::testing::id;
use codec::Body;
use http::Request;
use identity::Identity;
use model::authz::{Action, Cidr, Glob, Operation, Policy, Rule, Source};
use model::filter::{FilterConfig, PathRewrite, Redirect, Rewrite};
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::service::Protocol;
use model::{MeshSettings, ObjectRef, Origin, Resource, ResourceKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) fn policy(action: Action, rules: Vec<Rule>) -> Policy {
    let object = ObjectRef::new("AuthorizationPolicy", "default", "p");
    Policy { origin: Origin { object, file: "".into(), line: 0 }, action, rules, dry_run: false }
}

/// On what comes in at this gateway.
pub(super) fn on(gateway: &str, policy: Policy) -> (ResourceKey, Resource) {
    let name = policy.origin.object.name.clone();
    let gateway = ("default".into(), gateway.into());
    (ResourceKey::GatewayPolicy { gateway, namespace: "default".into(), name }, Resource::Policy(policy))
}

fn from(source: Source) -> Vec<Rule> {
    vec![Rule { from: vec![source], ..Rule::default() }]
}

fn to(operation: Operation) -> Vec<Rule> {
    vec![Rule { to: vec![operation], ..Rule::default() }]
}

fn paths(path: &str) -> Operation {
    Operation { paths: vec![Glob::parse(path)], ..Operation::default() }
}

fn block(text: &str) -> Vec<Cidr> {
    vec![Cidr::parse(text).unwrap()]
}

/// Every caller of the bed has the address 192.0.2.7 and nobody of them an identity.
#[test]
fn what_comes_in_at_a_gateway_is_judged_by_its_policies() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "/shop")], &[application.address]);
        let mut caller = proxy.enter().await;
        let principals = Source { principals: vec![Glob::Present], ..Source::default() };
        let strangers = Source { not_principals: vec![Glob::Present], ..Source::default() };
        let namespaces = Source { not_namespaces: vec![Glob::parse("b*")], ..Source::default() };
        let here = || Source { ip_blocks: block("192.0.2.0/24"), ..Source::default() };
        let elsewhere = || Source { ip_blocks: block("198.51.100.0/24"), ..Source::default() };
        let host = |host: &str| Operation { hosts: vec![Glob::parse(host)], ..Operation::default() };
        let port = |port| Operation { ports: vec![port], ..Operation::default() };
        let (allow, deny) = (Action::Allow, Action::Deny);
        for (what, action, rules, expected) in [
            ("deny everything", deny, vec![Rule::default()], 403),
            ("allow nothing", allow, Vec::new(), 403),
            ("a path", deny, to(paths("/shop*")), 403),
            ("another path", deny, to(paths("/admin*")), 200),
            ("a host", deny, to(host("shop.example")), 403),
            ("another host", allow, to(host("www.example")), 403),
            ("the listener's port", deny, to(port(80)), 403),
            ("another port", deny, to(port(8080)), 200),
            ("its address", deny, from(here()), 403),
            ("allowed by its address", allow, from(here()), 200),
            ("the address of others", allow, from(elsewhere()), 403),
            ("no identity to deny", deny, from(principals.clone()), 200),
            ("no identity to allow", allow, from(principals), 403),
            ("none is none of them", deny, from(strangers), 403),
            ("nor of any namespace", deny, from(namespaces), 403),
        ] {
            proxy.apply(vec![on("edge", policy(action, rules))]);
            let mut request = get("/shop/a");
            // Anybody can write this; it is not where the caller is.
            request.headers_mut().insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
            let response = caller.send(request).await;
            assert_eq!(response.status(), expected, "{what}");
            assert_eq!(response.body(), if expected == 403 { "RBAC: access denied" } else { "shop" });
        }
        // The last one is still in force. What leads nowhere is not told to who may not ask.
        assert_eq!(caller.get("/nowhere").await.status(), 403);
        let lines = proxy.logged();
        let denied: Vec<_> = lines.iter().filter(|line| line["response_code"] == 403).collect();
        assert_eq!(denied.len(), 12, "{lines:?}");
        for line in denied {
            assert_eq!(
                (&line["direction"], &line["response_flags"], &line["response_code_details"]),
                (&"gateway".into(), &"RBAC".into(), &"rbac_access_denied".into()),
                "{line}"
            );
            assert_eq!((&line["upstream_host"], &line["attempts"]), (&().into(), &0.into()), "{line}");
        }
        assert_eq!(lines[0]["policy"], "default/p");
    });
}

/// Whoever connects is at `ipBlocks`; `remoteIpBlocks` are of the client that trusted proxies in front name.
#[test]
fn where_the_original_caller_is_counts_at_a_gateway_if_its_word_is_trusted() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let mut caller = proxy.enter().await;
        let remote = |text: &str| Source { remote_ip_blocks: block(text), ..Source::default() };
        let peer = Source { ip_blocks: block("192.0.2.7"), ..Source::default() };
        for (hops, source, expected) in [
            (0, remote("198.51.100.1"), 200),
            (0, remote("192.0.2.7"), 403),
            (1, remote("198.51.100.1"), 403),
            (1, remote("192.0.2.7"), 200),
            (1, peer, 403),
        ] {
            let mut settings = MeshSettings::default();
            settings.http.xff_num_trusted_hops = hops;
            proxy.apply(vec![
                (ResourceKey::Settings, Resource::Settings(settings)),
                on("edge", policy(Action::Deny, from(source.clone()))),
            ]);
            let mut request = get("/");
            request.headers_mut().insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
            assert_eq!(caller.send(request).await.status(), expected, "{hops} {source:?}");
        }
    });
}

/// A callee is told by who calls it: a gateway writes there who called it.
#[test]
fn where_the_original_caller_is_counts_at_a_callee() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut caller = proxy.call().await;
        for (forwarded_for, blocks, expected) in [
            (Some("198.51.100.1"), "198.51.100.0/24", 403),
            (Some("198.51.100.1"), "127.0.0.0/8", 200),
            (None, "127.0.0.0/8", 403),
            (None, "198.51.100.0/24", 200),
        ] {
            let rules = from(Source { remote_ip_blocks: block(blocks), ..Source::default() });
            let key = ResourceKey::Policy("default".into(), "p".into());
            east.workload.apply(vec![(key, Resource::Policy(policy(Action::Deny, rules)))]);
            let mut request = get("/");
            if let Some(address) = forwarded_for {
                request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
            }
            assert_eq!(caller.send(request).await.status(), expected, "{forwarded_for:?} {blocks}");
        }
    });
}

/// Nobody asked a backend, and a gRPC caller hears it in its own words.
#[test]
fn a_denied_grpc_call_at_a_gateway_gets_permission_denied() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        proxy.apply(vec![on("edge", policy(Action::Deny, vec![Rule::default()]))]);
        let request = Request::post("/a.B/C").header("host", "a").header("content-type", "application/grpc");
        let response = proxy.enter().await.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &"7".parse().unwrap())
        );
        assert_eq!(application.connections.get(), 0);
    });
}

#[test]
fn a_gateway_judges_what_was_asked_for_and_not_what_a_rule_makes_of_it() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let mut rewritten = rule(0, "/a");
        let path = Some(PathRewrite::Prefix("/b".into()));
        rewritten.filters = vec![FilterConfig::Rewrite(Rewrite { hostname: None, path })];
        let mut moved = rule(1, "/moved");
        moved.backends.clear();
        let to_there = Redirect { status: 302, ..Redirect::default() };
        moved.filters = vec![FilterConfig::Redirect(to_there)];
        let proxy = edge(vec![rewritten, moved], &[application.address]);
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/moved").await.status(), 302);
        let denied =
            Operation { paths: vec![Glob::parse("/b*"), Glob::parse("/moved")], ..Operation::default() };
        proxy.apply(vec![on("edge", policy(Action::Deny, to(denied)))]);
        assert_eq!(caller.get("/a").await.status(), 200);
        assert_eq!(caller.get("/moved").await.status(), 403, "no redirect either");
        proxy.apply(vec![on("edge", policy(Action::Deny, to(paths("/a"))))]);
        // The canonical path is what counts.
        for path in ["/a", "/x/../a", "/%61"] {
            assert_eq!(caller.get(path).await.status(), 403, "{path}");
        }
    });
}

/// AUDIT and dry runs are recorded and do nothing.
#[test]
fn a_gateway_records_what_it_does_not_enforce() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let proxy = edge(vec![rule(0, "")], &[application.address]);
        let dry = Policy { dry_run: true, ..policy(Action::Deny, vec![Rule::default()]) };
        proxy.apply(vec![on("edge", dry)]);
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 200);
        proxy.apply(vec![on("edge", policy(Action::Audit, vec![Rule::default()]))]);
        assert_eq!(caller.get("/").await.status(), 200);
        let metrics = proxy.worker.shared.observe.render(0, 0);
        for action in ["deny", "audit"] {
            let counted =
                format!("leno_policy_dry_run_matches_total{{policy=\"default/p\",action=\"{action}\"}} 1");
            assert!(metrics.contains(&counted), "{metrics}");
        }
        let lines = proxy.logged();
        assert_eq!(lines[0]["shadow_engine_result"], "denied", "{}", lines[0]);
        for line in lines {
            assert_eq!((&line["shadow_policies"][0], &line["policy"]), (&"default/p".into(), &().into()));
        }
    });
}

/// `leno gateway` may serve several; each has its own.
#[test]
fn policies_of_one_gateway_are_not_those_of_another() {
    story(async {
        let application = Application::named(fresh_ip(), "shop");
        let mut resources = edge_resources(vec![rule(0, "")], &[application.address]);
        let host = model::route::HostMatch::Exact(crate::testing::host("other.example"));
        let listener = GatewayListener {
            name: "http".into(),
            port: 80,
            protocol: ListenerProtocol::Http,
            host: Some(host),
            address: None,
            tls: None,
            client: None,
        };
        let other = Gateway { namespace: "default".into(), name: "other".into(), listeners: vec![listener] };
        resources.push((ResourceKey::Gateway("default".into(), "other".into()), Resource::Gateway(other)));
        resources.push(on("other", policy(Action::Deny, vec![Rule::default()])));
        let proxy = Proxy::new("west", Identity::new(Vec::new()), resources);
        let mut caller = proxy.enter().await;
        assert_eq!(caller.get("/").await.status(), 200);
        let request = Request::get("/").header("host", "other.example").body(Body::empty()).unwrap();
        assert_eq!(caller.send(request).await.status(), 403);
        let gone = ResourceKey::GatewayPolicy {
            gateway: ("default".into(), "other".into()),
            namespace: "default".into(),
            name: "p".into(),
        };
        proxy
            .worker
            .shared
            .store
            .apply(crate::snapshot::SnapshotChange { removed: vec![gone], ..Default::default() });
        let request = Request::get("/").header("host", "other.example").body(Body::empty()).unwrap();
        assert_eq!(caller.send(request).await.status(), 404, "it has no rule");
    });
}

/// A gateway is a workload too: what holds for its own ports says nothing of its listeners, and the other way
/// round.
#[test]
fn policies_of_the_mesh_port_are_not_those_of_the_listeners() {
    story(async {
        let authority = Authority::new();
        let application = Application::named(fresh_ip(), "shop");
        let mut resources = edge_resources(vec![rule(0, "")], &[application.address]);
        resources.push((
            ResourceKey::Policy("default".into(), "p".into()),
            Resource::Policy(policy(Action::Deny, vec![Rule::default()])),
        ));
        let gateway = Proxy::new("west", Identity::new(Vec::new()), resources);
        assert_eq!(gateway.enter().await.get("/").await.status(), 200);

        let east = Cluster::named(&authority, "east");
        east.workload.apply(vec![on("edge", policy(Action::Deny, vec![Rule::default()]))]);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        assert_eq!(proxy.call().await.get("/").await.status(), 200);
        east.workload.apply(vec![deny_client()]);
        assert_eq!(proxy.call().await.get("/private").await.status(), 403);
    });
}

/// The outer handshake tells an east-west gateway who calls; of what is inside it sees nothing.
#[test]
fn an_east_west_gateway_forwards_only_what_its_policies_allow() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let who = |account: &str| Source {
            principals: vec![Glob::Exact(id(account).principal().into())],
            ..Source::default()
        };
        // What is on its own ports is not asked.
        east.gateway.apply(vec![(
            ResourceKey::Policy("default".into(), "p".into()),
            Resource::Policy(policy(Action::Deny, vec![Rule::default()])),
        )]);
        let ask = async || {
            let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
            let response = proxy.call().await.get("/").await;
            response.status().as_u16()
        };
        assert_eq!(ask().await, 200);
        for (what, action, rules, is_let_in) in [
            ("others", Action::Deny, from(who("other")), true),
            ("its identity", Action::Deny, from(who("client")), false),
            ("allowed", Action::Allow, from(who("client")), true),
            ("others only", Action::Allow, from(who("other")), false),
            (
                "the service's port",
                Action::Deny,
                to(Operation { ports: vec![80], ..Operation::default() }),
                false,
            ),
            ("what it cannot see", Action::Deny, to(paths("/nothing")), false),
        ] {
            east.gateway.apply(vec![on("eastwest", policy(action, rules))]);
            assert_eq!(ask().await == 200, is_let_in, "{what}");
        }
        let lines = east.gateway.logged();
        let denied: Vec<_> =
            lines.iter().filter(|line| line["response_code_details"] == "rbac_access_denied").collect();
        assert!(denied.len() >= 4, "{lines:?}");
        assert_eq!(
            (&denied[0]["policy"], &denied[0]["source_principal"]),
            (&"default/p".into(), &id("client").to_string().into()),
            "{}",
            denied[0]
        );
    });
}

#[test]
fn a_policy_on_an_east_west_gateway_that_comes_later_ends_its_tunnels() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let echo = Application::echo(ip);
        let east = Cluster::start(&authority, "east", ip, echo.port(), Protocol::Tcp);
        east.gateway.apply(vec![service(Protocol::Tcp), endpoints(vec![native("east", ip)])]);
        let proxy = client(&authority, Protocol::Tcp, vec![east.endpoint("east")]);
        let mut caller = proxy.call_tcp();
        caller.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        caller.read_exact(&mut heard).await.unwrap();
        east.gateway.apply(vec![on("eastwest", policy(Action::Deny, vec![Rule::default()]))]);
        assert_eq!(caller.read(&mut heard).await.unwrap_or(0), 0, "the tunnel ended");
        let lines = east.gateway.logged();
        assert_eq!(lines.last().unwrap()["policy"], "default/p", "{lines:?}");
    });
}

/// Details of policies stay in the log of the proxy that they are for; the caller's proxy says whose they were.
#[test]
fn a_caller_is_told_that_the_callee_denied_and_no_more() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let mut caller = proxy.call().await;
        let elsewhere = || from(Source { namespaces: vec![Glob::parse("other")], ..Source::default() });
        for name in ["a", "b"] {
            let mut policy = policy(Action::Allow, elsewhere());
            policy.origin.object.name = name.into();
            let key = ResourceKey::Policy("default".into(), name.into());
            east.workload.apply(vec![(key, Resource::Policy(policy))]);
        }
        for content_type in ["text/plain", "application/grpc"] {
            let request = Request::post("/").header("host", "a").header("content-type", content_type);
            let response = caller.send(request.body(Body::empty()).unwrap()).await;
            let said = format!("{:?} {}", response.headers(), response.body());
            assert!(!said.contains("x-leno") && !said.contains("default/"), "{said}");
            assert_eq!(response.status(), if content_type == "text/plain" { 403 } else { 200 });
        }
        let callee = &east.workload.logged()[0];
        assert_eq!((&callee["policy"], &callee["response_flags"]), (&"none".into(), &"RBAC".into()));
        assert_eq!(callee["allow_policies"], serde_json::json!(["default/a", "default/b"]));
        for line in proxy.logged() {
            assert_eq!(
                (&line["response_code_details"], &line["response_flags"], &line["policy"]),
                (&"upstream_rbac_access_denied".into(), &"RBAC".into(), &().into()),
                "{line}"
            );
            assert_eq!(line["request_id"].as_str().map(str::len), Some(36));
            assert_eq!(line["destination_principal"], id("shop").to_string(), "who denied is known");
        }
    });
}

/// An application may say 403 as it likes; no policy is blamed for it.
#[test]
fn an_applications_own_403_is_not_a_policys() {
    story(async {
        let authority = Authority::new();
        let ip = fresh_ip();
        let application = Application::start(ip, |_| {
            let claim = http::Response::builder().header("x-leno-failure", "rbac_access_denied");
            claim.status(403).body(Body::full("mine")).unwrap()
        });
        let east = Cluster::start(&authority, "east", ip, application.address.port(), Protocol::Http1);
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let response = proxy.call().await.get("/").await;
        assert_eq!((response.status().as_u16(), response.body().as_str()), (403, "mine"));
        assert_eq!(proxy.logged()[0]["response_code_details"], "via_upstream");
    });
}

/// Another gateway might let it through, and is not asked: a denial is the last word.
#[test]
fn a_caller_is_told_that_a_gateway_between_networks_denied() {
    story(async {
        let authority = Authority::new();
        let (east, north) = (Cluster::named(&authority, "east"), Cluster::named(&authority, "north"));
        for cluster in [&east, &north] {
            cluster.gateway.apply(vec![on("eastwest", policy(Action::Deny, vec![Rule::default()]))]);
        }
        for protocol in [Protocol::Http1, Protocol::Tcp] {
            let proxy = client(&authority, protocol, vec![east.endpoint("east"), north.endpoint("north")]);
            if protocol == Protocol::Tcp {
                assert_eq!(proxy.call_tcp().read(&mut [0; 8]).await.unwrap_or(0), 0);
            } else {
                let response = proxy.call().await.get("/").await;
                assert_eq!(
                    (response.status().as_u16(), response.body().as_str()),
                    (403, "RBAC: access denied")
                );
            }
            let entry = proxy.entry();
            assert!(
                (0..entry.endpoints.len())
                    .all(|index| !entry.states.is_ejected(index, proxy.worker.uptime.now_ms()))
            );
            let line = &proxy.logged()[0];
            assert_eq!(
                (&line["response_code_details"], &line["attempts"]),
                (&"upstream_rbac_access_denied".into(), &1.into()),
                "{line}"
            );
        }
    });
}

/// A callee judges every reading of a path, as a gateway does.
#[test]
fn a_path_that_can_be_read_around_a_policy_is_refused() {
    story(async {
        let authority = Authority::new();
        let east = Cluster::named(&authority, "east");
        let proxy = client(&authority, Protocol::Http1, vec![east.endpoint("east")]);
        let denied =
            Operation { paths: vec![Glob::parse("/admin"), Glob::parse("/admin/*")], ..Operation::default() };
        let denied = policy(Action::Deny, to(denied));
        let key = ResourceKey::Policy("default".into(), "p".into());
        east.workload.apply(vec![(key, Resource::Policy(denied.clone()))]);
        let application = Application::named(fresh_ip(), "shop");
        let gateway = edge(vec![rule(0, "")], &[application.address]);
        gateway.apply(vec![on("edge", denied)]);
        for mut caller in [proxy.call().await, gateway.enter().await] {
            for path in ["/x;a=1/y", "/x%2Fy", "//x", "/100%25ab", "/x/admin"] {
                assert_eq!(caller.get(path).await.status(), 200, "{path}");
            }
            for path in ["/admin", "/%61dmin", "/x/../admin", "/admin/a%2Fb;c"] {
                assert_eq!(caller.get(path).await.status(), 403, "{path}");
            }
            for path in ["/admin;x", "/%2Fadmin", "//admin", "/admin%3Fx", "/x/..%2fadmin", "/%2561dmin"] {
                assert_eq!(caller.get(path).await.status(), 400, "{path}");
            }
        }
    });
}
