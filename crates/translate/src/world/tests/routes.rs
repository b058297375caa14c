//! Routes and what they are attached to: kinds for connections, references across namespaces, consumers.

use super::*;
use model::Code;
use model::l4_route::L4Rule;

const EDGE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: leno
  listeners:
  - {name: web, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: db, port: 5432, protocol: TCP, allowedRoutes: {namespaces: {from: All}}}
  - {name: own, port: 5433, protocol: TCP}
  - {name: closed, port: 5434, protocol: TCP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}
---
apiVersion: leno.dev/v1alpha1
kind: Backend
metadata: {name: db}
spec: {type: Static, protocol: tcp, addresses: [{host: 10.0.0.1, port: 5432}]}
";

fn edge() -> Subscription {
    Subscription::Gateway { namespace: "default".into(), name: "edge".into() }
}

/// The keys of the rules under a subscription.
fn rules(subscription: &Subscription, world: &World) -> Vec<String> {
    let keys = members(subscription, world).into_iter().map(|key| key.to_string());
    keys.filter(|key| key.starts_with("rule/") || key.starts_with("l4-rule/")).collect()
}

fn l4_rule(key: &str, world: &World) -> L4Rule {
    match resource(&ResourceKey::parse(key).unwrap(), world) {
        Some(Resource::L4Rule(rule)) => L4Rule::clone(&rule),
        other => panic!("{key}: {other:?}"),
    }
}

fn route(kind: &str, namespace: &str, parents: &str, backends: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: r, namespace: {namespace}}}\nspec:\n  parentRefs: [{parents}]\n  rules: [{{backendRefs: [{backends}]}}]\n"
    )
}

fn told(world: &mut World, code: Code) -> Vec<String> {
    let findings = world.findings().into_iter();
    findings.filter(|finding| finding.code == code).map(|finding| finding.cause).collect()
}

#[test]
fn a_tcp_route_hangs_on_the_tcp_listeners_that_take_it() {
    const TO: &str = "{group: leno.dev, kind: Backend, name: db, weight: 3}";
    let check = |namespace: &str, parent: &str, expected: &[&str]| {
        let mut world = world(EDGE);
        add(&mut world, &route("TCPRoute", namespace, parent, TO));
        let expected: Vec<String> = expected
            .iter()
            .map(|listener| format!("l4-rule/g:default:edge:{listener}/TCPRoute/{namespace}/r/0"))
            .collect();
        assert_eq!(rules(&edge(), &world), expected, "{namespace} {parent}");
        assert_eq!(
            told(&mut world, Code::ParentNotFound).len(),
            usize::from(expected.is_empty()),
            "{parent}"
        );
    };
    check("default", "{name: edge}", &["db", "own"]);
    check("default", "{name: edge, sectionName: own}", &["own"]);
    check("default", "{name: edge, port: 5432}", &["db"]);
    check("default", "{name: edge, port: 5432, sectionName: own}", &[]);
    check("default", "{name: edge, sectionName: web}", &[]);
    check("default", "{name: edge, sectionName: closed}", &[]);
    check("other", "{name: edge, namespace: default}", &["db"]);
    let mut world = world(EDGE);
    add(&mut world, &route("TCPRoute", "default", "{name: edge, sectionName: db}", TO));
    let rule = l4_rule("l4-rule/g:default:edge:db/TCPRoute/default/r/0", &world);
    let backend = &rule.backends[0];
    let host = backend.host.as_ref().map(Hostname::as_str);
    assert_eq!((host, backend.port, backend.weight), (Some("db.default.backend.leno"), 5432, 3));
    assert!(members(&edge(), &world).iter().any(|key| key.to_string() == "service/db.default.backend.leno"));
    let gone = world.apply(WorldChange::ObjectGone(ObjectRef::new("TCPRoute", "default", "r")));
    assert!(gone.contains(&edge()) && rules(&edge(), &world).is_empty());
}

#[test]
fn a_udp_route_hangs_on_udp_listeners_and_leads_to_backends_of_datagrams() {
    const DNS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: leno
  listeners:
  - {name: tcp, port: 53, protocol: TCP}
  - {name: udp, port: 53, protocol: UDP}
---
apiVersion: leno.dev/v1alpha1
kind: Backend
metadata: {name: dns}
spec: {type: Static, protocol: udp, addresses: [{host: 10.0.0.1, port: 53}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
";
    let check = |kind: &str, parent: &str, backend: &str, expected: &[(&str, bool)]| {
        let mut world = world(DNS);
        add(&mut world, &route(kind, "default", parent, backend));
        let found: Vec<_> = rules(&edge(), &world)
            .iter()
            .map(|key| (key.clone(), l4_rule(key, &world).backends[0].host.is_some()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(listener, leads)| {
                (format!("l4-rule/g:default:edge:{listener}/{kind}/default/r/0"), *leads)
            })
            .collect();
        assert_eq!(found, expected, "{kind} {parent} {backend}");
    };
    const BACKEND: &str = "{group: leno.dev, kind: Backend, name: dns}";
    check("UDPRoute", "{name: edge}", BACKEND, &[("udp", true)]);
    check("UDPRoute", "{name: edge}", "{name: web, port: 80}", &[("udp", false)]);
    check("TCPRoute", "{name: edge}", BACKEND, &[("tcp", false)]);
    check("UDPRoute", "{group: '', kind: Service, name: web}", BACKEND, &[]);
}

#[test]
fn listeners_of_sets_come_behind_the_gateways_own_and_routes_hang_on_them_by_the_set() {
    const EDGE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: leno
  allowedListeners: {namespaces: {from: FROM}}
  listeners: [{name: web, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: late, namespace: shop, creationTimestamp: '2021-01-01T00:00:00Z'}
spec: {parentRef: {name: edge, namespace: default}, listeners: [{name: web, port: 81, protocol: HTTP}, {name: db, port: 80, protocol: TCP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: ListenerSet
metadata: {name: old, namespace: shop, creationTimestamp: '2020-01-01T00:00:00Z'}
spec:
  parentRef: {name: edge, namespace: default}
  listeners:
  - {name: web, port: 81, protocol: HTTP}
  - {name: more, port: 80, protocol: HTTP, hostname: a.example}
";
    let names = |world: &World| match resource(&ResourceKey::Gateway("default".into(), "edge".into()), world)
    {
        Some(Resource::Gateway(gateway)) => {
            gateway.listeners.iter().map(|listener| listener.name.to_string()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let mut world = world(&EDGE.replace("FROM", "All"));
    assert_eq!(names(&world), ["web", "shop~old~web", "shop~old~more"]);
    let conflicts = told(&mut world, Code::ListenerConflict);
    let left_out = |text: &str| conflicts.iter().any(|cause| cause.contains(text));
    assert!(
        conflicts.len() == 2 && left_out("`db` has the port") && left_out("`web` has the port"),
        "{conflicts:?}"
    );
    // A route of the set's namespace, which the gateway's own listeners do not take.
    let to = "{name: x, port: 80}";
    add(&mut world, &route("HTTPRoute", "shop", "{kind: ListenerSet, name: old}", to));
    let found = rules(&edge(), &world);
    let expected = ["more", "web"].map(|name| format!("rule/g:default:edge:shop~old~{name}/shop/r/0"));
    assert_eq!(found, expected);
    add(&mut world, &route("HTTPRoute", "shop", "{kind: ListenerSet, name: old, sectionName: more}", to));
    assert_eq!(rules(&edge(), &world), expected[..1]);
    // The gateway alone means its own listeners.
    add(&mut world, &route("HTTPRoute", "default", "{name: edge}", to));
    assert!(rules(&edge(), &world).contains(&"rule/g:default:edge:/default/r/0".to_owned()));
    // Whoever writes the gateway says who may add to it.
    add(&mut world, &EDGE.replace("FROM", "Same"));
    assert_eq!(names(&world), ["web"]);
    assert_eq!(told(&mut world, Code::ParentNotFound).len(), 3);
}

#[test]
fn an_http_route_hangs_on_no_tcp_listener() {
    let mut world = world(EDGE);
    add(
        &mut world,
        &route("HTTPRoute", "default", "{name: edge}", "{group: leno.dev, kind: Backend, name: db}"),
    );
    assert_eq!(rules(&edge(), &world), ["rule/g:default:edge:web/default/r/0"]);
}

#[test]
fn a_reference_into_another_namespace_needs_a_grant_there() {
    const GRANT: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: g}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: KIND, namespace: web}]\n  to: [{group: leno.dev, kind: Backend}]\n";
    for kind in ["TCPRoute", "HTTPRoute", "GRPCRoute"] {
        let mut world = world(EDGE);
        let to = "{group: leno.dev, kind: Backend, name: db, namespace: default, port: 5432}";
        add(&mut world, &route(kind, "web", "{name: edge, namespace: default}", to));
        let backend = |world: &World| {
            let key = rules(&edge(), world).remove(0);
            match resource(&ResourceKey::parse(&key).unwrap(), world).unwrap() {
                Resource::L4Rule(rule) => rule.backends[0].clone(),
                Resource::Rule(rule) => rule.backends[0].clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((backend(&world).host, backend(&world).weight), (None, 1), "{kind}");
        let cause =
            "no ReferenceGrant of namespace default allows Backend/db.default to be referred to from here";
        assert_eq!(told(&mut world, Code::RefNotPermitted), [cause]);
        add(&mut world, &GRANT.replace("KIND", "TLSRoute"));
        assert_eq!(backend(&world).host, None);
        let document = GRANT.replace("KIND", kind);
        let (mut objects, _) = api::parse::documents(&document, "f.yaml");
        let touched = world.apply(WorldChange::Object(Arc::new(objects.remove(0))));
        assert!(touched.contains(&edge()));
        assert_eq!(backend(&world).host, Hostname::parse("db.default.backend.leno"), "{kind}");
        assert!(told(&mut world, Code::RefNotPermitted).is_empty());
        world.apply(WorldChange::ObjectGone(ObjectRef::new("ReferenceGrant", "default", "g")));
        assert_eq!(backend(&world).host, None);
    }
}

#[test]
fn a_route_of_another_namespace_than_the_services_is_for_callers_of_its_own() {
    const SHOP: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{name: http, port: 80}, {name: tcp-db, port: 5432}]}\n";
    for (kind, port) in [("HTTPRoute", 80), ("GRPCRoute", 80), ("TCPRoute", 5432)] {
        let mut world = world(SHOP);
        let shop = Subscription::Host(Hostname::parse("shop.default.svc.cluster.local").unwrap());
        let parent = format!("{{group: '', kind: Service, name: shop, namespace: default, port: {port}}}");
        let to = format!("{{name: shop, namespace: default, port: {port}}}");
        add(&mut world, &route(kind, "default", &parent, &to));
        add(&mut world, &route(kind, "web", &parent, &to));
        let consumers: Vec<_> = rules(&shop, &world)
            .iter()
            .map(|key| match resource(&ResourceKey::parse(key).unwrap(), &world).unwrap() {
                Resource::L4Rule(rule) => rule.consumer.clone(),
                Resource::Rule(rule) => rule.consumer.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(consumers, [None, Some("web".into())], "{kind}");
    }
}

#[test]
fn a_tcp_route_has_no_effect_on_an_http_port() {
    const SHOP: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {ports: [{name: http, port: 80}, {name: tcp-db, port: 5432}]}\n";
    let check = |port: &str, expected: usize| {
        let mut world = world(SHOP);
        let parent = format!("{{group: '', kind: Service, name: shop{port}}}");
        add(&mut world, &route("TCPRoute", "default", &parent, "{name: shop, port: 5432}"));
        assert_eq!(told(&mut world, Code::Ignored).len(), expected, "{port}");
    };
    check(", port: 80", 1);
    check(", port: 5432", 0);
    check("", 0);
}
