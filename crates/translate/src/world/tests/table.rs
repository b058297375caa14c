//! What each kind of document comes out as.

use super::*;
use model::Code;
use model::MeshSettings;
use model::authz::{Action, ConditionKey, Policy};
use model::filter::FilterConfig;
use model::listener::Inbound;
use model::route::{Parent, PathMatch, RouteRule};
use model::service::{Endpoint, Protocol, Reach, Service};
use model::settings::{EscapedSlashesAction, HttpConnections, Normalization, PathNormalization};
use std::time::Duration;

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}, {name: db, appProtocol: tcp, port: 5432}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: shop-v1}
spec: {metadata: {labels: {app: shop, version: v1}}, template: {serviceAccount: shop}}
---
apiVersion: leno.dev/v1alpha1
kind: GlobalService
metadata: {name: shop}
spec: {hosts: [shop.mesh.internal], backends: [{service: {name: shop}}], failover: {order: [north, east]}}
";

fn host(text: &str) -> Subscription {
    Subscription::Host(Hostname::parse(text).unwrap())
}

fn keys(subscription: &Subscription, world: &World) -> Vec<String> {
    members(subscription, world).iter().map(ToString::to_string).collect()
}

fn get(key: &str, world: &World) -> Resource {
    resource(&ResourceKey::parse(key).unwrap(), world).unwrap_or_else(|| panic!("no {key}"))
}

fn service(name: &str, world: &World) -> Service {
    match get(&format!("service/{name}"), world) {
        Resource::Service(service) => service,
        other => panic!("{other:?}"),
    }
}

fn endpoints(name: &str, world: &World) -> Vec<Endpoint> {
    let slices = members(&host(name), world)
        .into_iter()
        .filter(|key| matches!(key, ResourceKey::Slice(host, _) if host.as_str() == name));
    slices
        .flat_map(|key| match resource(&key, world).unwrap() {
            Resource::Slice(slice) => slice.endpoints.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn rule(key: &str, world: &World) -> RouteRule {
    match get(key, world) {
        Resource::Rule(rule) => RouteRule::clone(&rule),
        other => panic!("{other:?}"),
    }
}

fn findings(world: &mut World) -> Vec<(Code, u32)> {
    world.findings().into_iter().map(|finding| (finding.code, finding.origin.line)).collect()
}

#[test]
fn a_service_and_its_workloads() {
    let mut world = world(SHOP);
    world.apply(WorldChange::Workload(workload("w1", "default", "shop-v1", EndpointState::Ready)));
    world.apply(WorldChange::Workload(workload("w2", "default", "other", EndpointState::Ready)));
    let name = "shop.default.svc.cluster.local";
    assert_eq!(keys(&host(name), &world), [format!("service/{name}"), format!("slice/{name}/0")]);
    let service = service(name, &world);
    let ports: Vec<_> = service.ports.iter().map(|p| (p.port, p.target_port, p.protocol)).collect();
    assert_eq!(ports, [(80, 8080, Protocol::Http1), (5432, 5432, Protocol::Tcp)]);
    assert!(
        service.address.is_some_and(|address| model::address::is_mesh_only(address.into()))
            && !service.global
    );
    let found = endpoints(name, &world);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&*found[0].uid, &found[0].reach, &*found[0].locality.zone, found[0].port),
        ("w1", &Reach::Native, "a", 0)
    );
    let address = Subscription::Address(service.address.unwrap());
    assert_eq!(
        get(&keys(&address, &world)[0], &world),
        Resource::Address(service.address.unwrap(), service.host)
    );
}

#[test]
fn a_global_service_has_local_and_remote_endpoints() {
    let mut world = world(SHOP);
    world.apply(WorldChange::Workload(workload("w1", "default", "shop-v1", EndpointState::Ready)));
    world.apply(WorldChange::Remote(remote("east", 3, &["shop.mesh.internal"])));
    world.apply(WorldChange::Remote(remote("north", 0, &["shop.mesh.internal"])));
    let service = service("shop.mesh.internal", &world);
    assert!(service.global);
    assert_eq!(service.failover_order, ["north".into(), "east".into()]);
    let mut found = endpoints("shop.mesh.internal", &world);
    found.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    let seen: Vec<_> = found.iter().map(|e| (&*e.cluster, e.reach.clone(), e.port, e.weight)).collect();
    assert_eq!(seen, [("east", Reach::Gateway, 15008, 3), ("west", Reach::Native, 0, 1)]);
    assert!(found[0].gateway_identity.is_some());
    world.apply(WorldChange::RemoteGone("east".into()));
    assert_eq!(endpoints("shop.mesh.internal", &world).len(), 1);
}

#[test]
fn a_cluster_without_the_service_uses_the_ports_that_others_export() {
    let mut world = world(
        "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {name: shop}\nspec: {hosts: [shop.mesh.internal]}\n",
    );
    assert!(members(&host("shop.mesh.internal"), &world).is_empty());
    let touched = world.apply(WorldChange::Remote(remote("east", 1, &["shop.mesh.internal"])));
    assert!(touched.contains(&host("shop.mesh.internal")));
    assert_eq!(service("shop.mesh.internal", &world).ports[0].port, 80);
    assert_eq!(endpoints("shop.mesh.internal", &world).len(), 1);
    assert_eq!(world.export().exports, []);
}

#[test]
fn what_this_cluster_exports() {
    let mut world = world(SHOP);
    add(
        &mut world,
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: east-west}
spec: {gatewayClassName: leno-east-west, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: east-west}
spec: {template: {serviceAccount: ew}}
---
apiVersion: leno.dev/v1alpha1
kind: Cluster
metadata: {name: west}
spec: {network: net, region: us, gateways: [172.30.0.1, '172.30.0.2:15443']}
",
    );
    world.apply(WorldChange::Workload(workload("w1", "default", "shop-v1", EndpointState::Ready)));
    world.apply(WorldChange::Workload(workload("w2", "default", "shop-v1", EndpointState::Draining)));
    let export = world.export();
    assert_eq!((&*export.network, &*export.locality.region, &*export.locality.zone), ("net", "us", "a"));
    let gateways: Vec<_> =
        export.gateways.iter().map(|g| (g.address.to_string(), g.port, g.identity.to_string())).collect();
    let identity = "spiffe://leno.test/ns/default/sa/ew".to_owned();
    assert_eq!(
        gateways,
        [("172.30.0.1".into(), 15008, identity.clone()), ("172.30.0.2".into(), 15443, identity)]
    );
    assert_eq!(export.exports.len(), 1);
    assert_eq!((export.exports[0].host.as_str(), export.exports[0].weight), ("shop.mesh.internal", 1));
    assert_eq!(export.exports[0].identities[0].to_string(), "spiffe://leno.test/ns/default/sa/shop");
    let proxy = ProxyKey { namespace: "default".into(), group: "east-west".into() };
    assert!(visible(&proxy, &world).contains(&Subscription::Exports));
    assert_eq!(
        keys(&Subscription::Exports, &world),
        ["service/shop.mesh.internal", "slice/shop.mesh.internal/0", "exports"]
    );
}

#[test]
fn the_inbound_side_knows_every_name_it_is_called_by() {
    let world = world(SHOP);
    let Resource::Inbound(Inbound { ports, labels, .. }) = get("inbound/default/shop-v1", &world) else {
        panic!("kind")
    };
    assert_eq!(labels.len(), 2);
    let ports: Vec<_> = ports
        .iter()
        .map(|p| {
            (p.port, p.protocol, p.names.iter().map(|(h, port)| format!("{h}:{port}")).collect::<Vec<_>>())
        })
        .collect();
    let names = |port: u16| {
        vec![format!("shop.default.svc.cluster.local:{port}"), format!("shop.mesh.internal:{port}")]
    };
    assert_eq!(ports, [(5432, Protocol::Tcp, names(5432)), (8080, Protocol::Http1, names(80))]);
}

#[test]
fn a_probe_reaches_the_inbound_side_with_the_defaults_of_istio() {
    use model::probe::{HttpGetProbe, ProbeAction, ProbeScheme, ReadinessProbe, TcpSocketProbe};
    let change = |world: &mut World, document: &str| {
        let (mut objects, findings) = api::parse::documents(document, "f.yaml");
        assert_eq!(findings, []);
        world.apply(WorldChange::Object(Arc::new(objects.remove(0))))
    };
    let group = |probe: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: g}}\nspec: {{template: {{}}{probe}}}\n"
        )
    };
    let sent = |world: &World| match get("inbound/default/g", world) {
        Resource::Inbound(inbound) => inbound.probe,
        other => panic!("{other:?}"),
    };
    let mut world = world(&group(""));
    assert_eq!(sent(&world), None);
    let touched = change(&mut world, &group(", probe: {httpGet: {port: 8080, path: up, scheme: https}}"));
    assert_eq!(
        touched.into_iter().filter(|touched| matches!(touched, Subscription::Inbound { .. })).count(),
        1
    );
    let action = ProbeAction::HttpGet(HttpGetProbe {
        path: "/up".into(),
        port: 8080,
        scheme: ProbeScheme::Https,
        host: None,
        headers: Vec::new(),
    });
    let seconds = Duration::from_secs;
    let expected = ReadinessProbe {
        action,
        initial_delay: seconds(0),
        timeout: seconds(1),
        period: seconds(10),
        success_threshold: 1,
        failure_threshold: 3,
    };
    assert_eq!(sent(&world).as_deref(), Some(&expected));
    let said = ", probe: {tcpSocket: {port: 1, host: localhost}, initialDelaySeconds: 9, timeoutSeconds: 2, periodSeconds: 3, successThreshold: 4, failureThreshold: 5}";
    change(&mut world, &group(said));
    let expected = ReadinessProbe {
        action: ProbeAction::TcpSocket(TcpSocketProbe { port: 1, host: Some([127, 0, 0, 1].into()) }),
        initial_delay: seconds(9),
        timeout: seconds(2),
        period: seconds(3),
        success_threshold: 4,
        failure_threshold: 5,
    };
    assert_eq!(sent(&world).as_deref(), Some(&expected));
}

#[test]
fn annotations_about_capture_reach_the_inbound_side_and_no_others() {
    let mut world = world(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: g}\nspec: {template: {}}\n",
    );
    let sent = |world: &World| match get("inbound/default/g", world) {
        Resource::Inbound(inbound) => inbound.capture,
        other => panic!("{other:?}"),
    };
    assert_eq!(sent(&world), []);
    add(
        &mut world,
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: g}\nspec: {template: {}, metadata: {annotations: {a: b, traffic.sidecar.istio.io/excludeInboundPorts: '1,2'}}}\n",
    );
    assert_eq!(sent(&world), [("traffic.sidecar.istio.io/excludeInboundPorts".into(), "1,2".into())]);
}

/// Nothing new is sent to it, by other clusters neither.
#[test]
fn an_application_that_is_not_ready_is_told_and_does_not_count_for_other_clusters() {
    let mut world = world(SHOP);
    for (uid, state) in [("w1", EndpointState::Ready), ("w2", EndpointState::Unready)] {
        world.apply(WorldChange::Workload(workload(uid, "default", "shop-v1", state)));
    }
    let Resource::Slice(slice) = get("slice/shop.mesh.internal/0", &world) else { panic!("kind") };
    let states: Vec<_> = slice.endpoints.iter().map(|endpoint| endpoint.state).collect();
    assert_eq!(states, [EndpointState::Ready, EndpointState::Unready]);
    assert_eq!(world.export().exports[0].weight, 1);
    world.apply(WorldChange::Workload(workload("w1", "default", "shop-v1", EndpointState::Unready)));
    assert_eq!(world.export().exports[0].weight, 0);
}

#[test]
fn what_has_no_effect_is_said() {
    let said = |documents: &str| {
        let mut world = world(documents);
        world.findings().iter().map(|finding| finding.cause.clone()).collect::<Vec<_>>().join(" | ")
    };
    let policy = |namespace: &str, spec: &str| {
        let group = "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: g, namespace: a}\nspec: {metadata: {labels: {app: x}}, template: {}}\n---\n";
        format!(
            "{group}apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {spec}\n"
        )
    };
    assert_eq!(said(&policy("a", "{selector: {matchLabels: {app: x}}}")), "");
    assert_eq!(said(&policy("leno-system", "{}")), "");
    let nobody = "the policy concerns no workload and no gateway";
    assert_eq!(said(&policy("a", "{selector: {matchLabels: {app: y}}}")), nobody);
    assert_eq!(said(&policy("a", "{targetRefs: [{kind: Gateway, name: none}]}")), nobody);
    assert!(said(&policy("istio-system", "{}")).contains("istio-system is a namespace like others"));
    let global = "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {name: g, namespace: NS}\nspec: {hosts: [x.mesh.internal], backends: [{service: {name: s, namespace: a}}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\nspec: {ports: [{port: 80}]}\n";
    assert!(said(&global.replace("NS", "b")).contains("service s is in another namespace"));
    assert!(!said(&global.replace("NS", "leno-system")).contains("another namespace"));
    let route =
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {rules: []}\n";
    assert_eq!(said(route), "the route has no parentRefs, so it has no effect");
    let fields = policy("a", "{provider: {name: x}, rules: [{}]}");
    assert_eq!(said(&fields), "`spec.provider` is not supported yet and has no effect");
    let mut world = world(&fields);
    world.apply(WorldChange::ObjectGone(ObjectRef::new("AuthorizationPolicy", "a", "p")));
    assert_eq!(world.findings(), [], "told as long as the object is in force");
}

#[test]
fn names_are_owned_where_that_is_safe() {
    let check = |hosts: &str, suffixes: &str, owned: &[&str], shared: &[&str], single: &[&str]| {
        let world = world(&format!(
            "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {{name: g}}\nspec: {{hosts: [{hosts}]}}\n---\napiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: m}}\nspec: {{dns: {{suffixes: [{suffixes}]}}}}\n"
        ));
        let Resource::Names(names) = get("names", &world) else { panic!("kind") };
        let text = |all: &[std::sync::Arc<str>]| all.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        assert_eq!(text(&names.suffixes), owned, "{hosts:?}");
        assert_eq!(text(&names.shared_suffixes), shared, "{hosts:?}");
        assert_eq!(names.hosts.iter().map(Hostname::as_str).collect::<Vec<_>>(), single);
    };
    let k8s = ["svc.cluster.local"];
    check("a.mesh.internal, b.mesh.internal", "", &["mesh.internal"], &k8s, &[]);
    check("shop.example.com", "", &[], &k8s, &["shop.example.com"]);
    check("shop.example.com", "example.com", &["example.com"], &k8s, &[]);
    check("shop.internal, shop.google.internal", "", &[], &k8s, &["shop.google.internal", "shop.internal"]);
    check("shop.internal", "internal", &["internal"], &k8s, &[]);
    check("a.x.mesh.internal, x.mesh.internal", "", &["mesh.internal"], &k8s, &[]);
    check("a.mesh.internal", "svc.cluster.local", &["mesh.internal", "svc.cluster.local"], &[], &[]);
    check("a.mesh.internal", "cluster.local", &["cluster.local", "mesh.internal"], &[], &[]);
}

#[test]
fn names_above_a_host_exist_as_long_as_it_does() {
    let mut world = world(
        "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {name: g}\nspec: {hosts: [a.b.mesh.internal, c.d.b.mesh.internal, d.b.mesh.internal, x.example.com]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
    );
    let above = |world: &World| {
        let Resource::Names(names) = get("names", world) else { panic!("kind") };
        names.non_terminals.iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    let mesh = ["b.mesh.internal", "mesh.internal"];
    assert_eq!(above(&world), [&mesh[..], &["shop.svc.cluster.local", "svc.cluster.local"]].concat());
    let touched = world.apply(WorldChange::ObjectGone(ObjectRef::new("Service", "shop", "web")));
    assert!(touched.contains(&Subscription::Mesh), "{touched:?}");
    assert_eq!(above(&world), mesh);
}

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, creationTimestamp: '1970-01-01T00:00:05Z'}
spec:
  parentRefs:
    - {group: '', kind: Service, name: shop, port: 80}
    - {group: leno.dev, kind: GlobalService, name: shop}
  hostnames: [ignored.example.com]
  rules:
    - matches:
        - path: {value: /a/}
          headers: [{name: X-Test, value: '1'}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: X-A, value: b}]}
      backendRefs:
        - {name: shop, port: 80, weight: 9}
        - {group: leno.dev, kind: Backend, name: old}
      timeouts: {request: 2s, backendRequest: 0s}
      retry: {codes: [503], backoff: 10ms}
    - backendRefs:
        - {name: shopp, port: 80}
";

const OLD: &str = "
apiVersion: leno.dev/v1alpha1
kind: Backend
metadata: {name: old}
spec: {type: Static, addresses: [{host: 10.9.9.9, port: 7000}, {host: 10.9.9.8, port: 7001}]}
";

#[test]
fn a_route_on_services() {
    let mut world = world(&format!("{SHOP}---{ROUTE}---{OLD}"));
    let all = keys(&host("shop.default.svc.cluster.local"), &world);
    assert_eq!(
        all,
        [
            "service/old.default.backend.leno",
            "service/shop.default.svc.cluster.local",
            "slice/old.default.backend.leno/0",
            "rule/s:shop.default.svc.cluster.local:80/default/r/0",
            "rule/s:shop.default.svc.cluster.local:80/default/r/1",
        ]
    );
    let rule = rule("rule/s:shop.mesh.internal:0/default/r/0", &world);
    assert_eq!(
        rule.parent,
        Parent::Service { host: Hostname::parse("shop.mesh.internal").unwrap(), port: 0 }
    );
    assert_eq!((rule.created_s, rule.index, rule.hosts.len(), rule.origin.line), (5, 0, 0, 26));
    assert_eq!(rule.matches[0].path, PathMatch::Prefix("/a".into()));
    assert_eq!(&*rule.matches[0].headers[0].name, "x-test");
    assert!(matches!(&rule.filters[0], FilterConfig::RequestHeaders(edit) if &*edit.0.set[0].0 == "x-a"));
    assert_eq!((rule.request_timeout, rule.backend_timeout), (Some(Duration::from_secs(2)), None));
    let retry = rule.retry.unwrap();
    assert_eq!((retry.attempts, retry.codes, retry.backoff), (1, vec![503], Duration::from_millis(10)));
    let backends: Vec<_> =
        rule.backends.iter().map(|b| (b.host.as_ref().map(Hostname::as_str), b.port, b.weight)).collect();
    assert_eq!(
        backends,
        [(Some("shop.default.svc.cluster.local"), 80, 9), (Some("old.default.backend.leno"), 7000, 1)]
    );
    let ports: Vec<_> =
        endpoints("old.default.backend.leno", &world).iter().map(|e| (e.port, e.reach.clone())).collect();
    assert_eq!(ports, [(7001, Reach::Plain), (7000, Reach::Plain)]);
    // The misspelt backend is answered with 500, and comes alive when it exists.
    assert_eq!(super::table::rule("rule/s:shop.mesh.internal:0/default/r/1", &world).backends[0].host, None);
    let misspelt = world.findings().into_iter().find(|f| f.code == Code::ReferenceNotFound).unwrap();
    assert_eq!((misspelt.fix.as_str(), misspelt.origin.line), ("did you mean `shop`?", 38));
    add(&mut world, &SHOP.split("---").next().unwrap().replace("name: shop}", "name: shopp}"));
    assert!(super::table::rule("rule/s:shop.mesh.internal:0/default/r/1", &world).backends[0].host.is_some());
}

#[test]
fn a_gateway_takes_the_routes_that_it_allows() {
    let gateway = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, annotations: {leno.dev/bind-address: 127.0.0.1}}
spec:
  gatewayClassName: leno
  listeners:
    - {name: one, port: 8080, protocol: HTTP}
    - {name: two, port: 8081, protocol: HTTP, hostname: '*.example.com', allowedRoutes: {namespaces: {from: All}}}
";
    let route = |namespace: &str, rest: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r, namespace: {namespace}}}\nspec: {{parentRefs: [{{name: edge, namespace: default{rest}}}]}}\n"
        )
    };
    let check = |namespace: &str, rest: &str, expected: &[&str]| {
        let mut world = world(&format!("{gateway}{}", route(namespace, rest)));
        let rules: Vec<String> =
            keys(&Subscription::Gateway { namespace: "default".into(), name: "edge".into() }, &world);
        let rules: Vec<&str> =
            rules.iter().filter_map(|key| key.strip_prefix("rule/g:default:edge:")).collect();
        assert_eq!(rules, expected, "{namespace} {rest}");
        if expected.is_empty() {
            assert_eq!(findings(&mut world).first().map(|f| f.0), Some(Code::ParentNotFound));
        }
    };
    check("default", "", &["/default/r/0"]);
    check("other", "", &["two/other/r/0"]);
    check("default", ", sectionName: one", &["one/default/r/0"]);
    check("default", ", port: 8081", &["two/default/r/0"]);
    check("other", ", sectionName: one", &[]);
    check("default", ", sectionName: three", &[]);
    let world = world(gateway);
    let Resource::Gateway(gateway) = get("gateway/default/edge", &world) else { panic!("kind") };
    assert_eq!(gateway.listeners[1].address, Some("127.0.0.1".parse().unwrap()));
    let proxy = ProxyKey { namespace: "default".into(), group: "edge".into() };
    assert_eq!(visible(&proxy, &world).len(), 3);
}

fn policy(spec: &str) -> Policy {
    // Findings are expected: the object is used all the same.
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec: {{{spec}}}\n"
    );
    let (objects, _) = api::parse::documents(&text, "f.yaml");
    let mut world = world(SHOP);
    world.apply(WorldChange::Object(Arc::new(objects[0].clone())));
    assert!(
        keys(&Subscription::Inbound { namespace: "default".into(), group: "shop-v1".into() }, &world)
            .contains(&"policy/default/p".to_owned())
    );
    match get("policy/default/p", &world) {
        Resource::Policy(policy) => policy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_policy_does_not_understand_fails_closed() {
    let invalid = |spec: &str| {
        let policy = policy(spec);
        policy.rules[0].when.iter().any(|when| when.key == ConditionKey::Invalid)
    };
    assert!(!invalid(
        "rules: [{from: [{source: {namespaces: [a]}}], when: [{key: 'request.headers[X-A]', values: [b]}]}]"
    ));
    for spec in [
        "rules: [{when: [{key: 'request.auth.claims[iss]', values: [a]}]}]",
        "rules: [{when: [{key: source.ip, values: [nonsense]}]}]",
        "rules: [{from: [{source: {requestPrincipals: ['*']}}]}]",
        "rules: [{from: [{source: {ipBlocks: [10.0.0.0/33]}}]}]",
        "rules: [{to: [{operation: {ports: [http]}}]}]",
        "rules: [{to: [{operation: {paths: ['/a/{*}']}}]}]",
    ] {
        assert!(invalid(spec), "{spec}");
    }
    assert_eq!(policy("action: CUSTOM, provider: {name: x}, rules: [{}]").action, Action::Deny);
}

#[test]
fn the_trust_domain_cluster_local_means_our_own() {
    let policy = policy(
        "rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b], serviceAccounts: []}}, {source: {serviceAccounts: [c, d/e]}}]}]",
    );
    let from = &policy.rules[0].from;
    assert_eq!(from[0].principals, [model::authz::Glob::Exact("leno.test/ns/a/sa/b".into())]);
    assert_eq!(from[1].service_accounts, ["default/c".into(), "d/e".into()]);
}

#[test]
fn each_finding_has_its_line() {
    let check = |documents: &str, code: Code, line: u32| {
        let mut world = world(documents);
        let found = findings(&mut world);
        assert!(
            found.contains(&(code, line)),
            "{code:?} at {line}: {:?}",
            world.findings().iter().map(ToString::to_string).collect::<Vec<_>>()
        );
    };
    check(
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {app: x}\n  ports: [{port: 80}]\n",
        Code::NoWorkloads,
        4,
    );
    check(
        &format!(
            "{SHOP}---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p}}\nspec:\n  rules:\n    - to:\n        - operation:\n            ports: ['5432']\n            methods: [GET]\n"
        ),
        Code::HttpFieldOnTcp,
        23,
    );
    let global = "apiVersion: leno.dev/v1alpha1\nkind: GlobalService\nmetadata: {name: NAME}\nspec:\n  hosts: [x.mesh.internal]\n";
    check(
        &format!("{}---\n{}", global.replace("NAME", "b"), global.replace("NAME", "a")),
        Code::HostConflict,
        4,
    );
    check(
        &format!("{global}  backends:\n    - service: {{name: nope}}\n").replace("NAME", "a"),
        Code::BackendNotFound,
        7,
    );
    check(&ROUTE.replace("name: shop", "name: gone"), Code::ParentNotFound, 7);
    check(
        &format!("{SHOP}---{}", ROUTE.replace("port: 80, weight", "port: 81, weight")),
        Code::PortNotFound,
        33,
    );
    check(
        "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {name: m}\nspec:\n  trustDomain: other.test\n",
        Code::BadValue,
        4,
    );
}

#[test]
fn addresses_are_kept_and_stored_ones_win() {
    let address = |world: &World| service("shop.mesh.internal", world).address.unwrap();
    let first = world(SHOP);
    let mut stored = first.addresses();
    stored.insert(Hostname::parse("shop.mesh.internal").unwrap(), Ipv4Addr::new(241, 1, 2, 3));
    let mut second = World::new(place());
    second.apply(WorldChange::Addresses(stored));
    add(&mut second, SHOP);
    assert_eq!(address(&second), Ipv4Addr::new(241, 1, 2, 3));
    assert_ne!(address(&first), address(&second));
    // Somebody who holds the hash of the name makes it look further.
    let taken = BTreeMap::from([(Hostname::parse("other.mesh.internal").unwrap(), address(&first))]);
    let mut third = World::new(place());
    third.apply(WorldChange::Addresses(taken));
    add(&mut third, SHOP);
    assert_ne!(address(&third), address(&first));
}

fn settings_of(spec: &str) -> World {
    world(&format!(
        "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {{name: default}}\nspec: {spec}\n"
    ))
}

#[test]
fn settings_go_to_every_proxy_once_they_differ_from_the_default() {
    let keys = |world: &World| keys(&Subscription::Mesh, world);
    assert_eq!(keys(&world(SHOP)), ["names"]);
    assert_eq!(keys(&settings_of("{httpConnectionManager: {idleTimeout: 620s}}")), ["names"]);
    let mut world = settings_of(
        "{pathNormalization: {normalization: MERGE_SLASHES, pathWithEscapedSlashesAction: UNESCAPE_AND_FORWARD}, httpConnectionManager: {idleTimeout: 1h, streamIdleTimeout: 90s, upgradeIdleTimeout: 2h, upgradeConfigs: [{upgradeType: SPDY/3.1}]}, dns: {ipv6Prefix: 'fd12:3456:789a::/48'}}",
    );
    assert_eq!(keys(&world), ["names", "settings"]);
    let expected = MeshSettings {
        path: PathNormalization {
            normalization: Normalization::MergeSlashes,
            escaped_slashes: EscapedSlashesAction::UnescapeAndForward,
        },
        http: HttpConnections {
            xff_num_trusted_hops: 0,
            xff_trusted_cidrs: Vec::new(),
            idle_timeout: Duration::from_secs(3600),
            stream_idle_timeout: Duration::from_secs(90),
            upgrade_types: vec!["websocket".into(), "spdy/3.1".into()],
            upgrade_idle_timeout: Duration::from_secs(7200),
        },
        ipv6_prefix: model::address::MeshPrefix::parse("fd12:3456:789a::/48").unwrap(),
        egress: model::settings::Egress::default(),
    };
    assert_eq!(get("settings", &world), Resource::Settings(expected));
    let touched = world.apply(WorldChange::ObjectGone(ObjectRef::new("MeshSettings", "", "default")));
    assert!(touched.contains(&Subscription::Mesh));
    assert_eq!(keys(&world), ["names"]);
}

#[test]
fn of_several_settings_the_default_one_is_in_force_and_the_others_are_told() {
    let mut world = settings_of("{pathNormalization: {normalization: NONE}}");
    add(
        &mut world,
        "apiVersion: leno.dev/v1alpha1\nkind: MeshSettings\nmetadata: {name: a}\nspec: {pathNormalization: {normalization: MERGE_SLASHES}}\n",
    );
    let Resource::Settings(settings) = get("settings", &world) else { panic!("kind") };
    assert_eq!(settings.path.normalization, Normalization::None);
    let findings = world.findings();
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((finding.code, &*finding.origin.object.name), (Code::Ignored, "a"), "{finding:?}");
    world.apply(WorldChange::ObjectGone(ObjectRef::new("MeshSettings", "", "default")));
    let Resource::Settings(settings) = get("settings", &world) else { panic!("kind") };
    assert_eq!(settings.path.normalization, Normalization::MergeSlashes);
    assert_eq!(world.findings(), []);
}
