//! What a `GRPCRoute` is compiled to, and where it and an `HTTPRoute` want the same requests.

use super::*;
use model::Code;
use model::filter::FilterConfig;
use model::route::{GrpcMethodMatch, PathMatch, RouteRule, StringMatch};

const EDGE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: leno
  listeners:
  - {name: web, port: 80, protocol: HTTP}
  - {name: more, port: 81, protocol: HTTP, hostname: '*.a.com'}
  - {name: none, port: 82, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}]}}
  - {name: db, port: 5432, protocol: TCP}
---
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {ports: [{name: grpc, port: 80}, {name: http, port: 81}, {name: any, port: 82}]}
";

fn route(kind: &str, name: &str, seconds: u8, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, creationTimestamp: '2026-01-01T00:00:{seconds:02}Z'}}\nspec: {{{spec}}}\n"
    )
}

fn rules(world: &World) -> Vec<RouteRule> {
    let edge = Subscription::Gateway { namespace: "default".into(), name: "edge".into() };
    let keys = members(&edge, world).into_iter();
    let rules = keys.filter_map(|key| match resource(&key, world) {
        Some(Resource::Rule(rule)) => Some(RouteRule::clone(&rule)),
        _ => None,
    });
    rules.collect()
}

fn told(world: &mut World, code: Code) -> Vec<String> {
    let findings = world.findings().into_iter().filter(|finding| finding.code == code);
    findings.map(|finding| format!("{}: {}", finding.origin.object, finding.cause)).collect()
}

/// The one rule of a route at the gateway whose rule is `rule`.
fn compiled(rule: &str) -> RouteRule {
    let mut world = world(EDGE);
    let spec = format!("parentRefs: [{{name: edge, sectionName: web}}], rules: [{rule}]");
    add(&mut world, &route("GRPCRoute", "r", 0, &spec));
    rules(&world).remove(0)
}

#[test]
fn a_match_becomes_a_call() {
    let method = |one: &str| match compiled(&format!("{{matches: [{one}]}}")).matches.remove(0).path {
        PathMatch::Grpc(method) => *method,
        other => panic!("{other:?}"),
    };
    let exact = |service: Option<&str>, method: Option<&str>| GrpcMethodMatch::Exact {
        service: service.map(Into::into),
        method: method.map(Into::into),
    };
    assert_eq!(method("{method: {service: a.B, method: Get}}"), exact(Some("a.B"), Some("Get")));
    assert_eq!(method("{method: {type: Exact, service: a.B}}"), exact(Some("a.B"), None));
    assert_eq!(method("{method: {method: Get}}"), exact(None, Some("Get")));
    assert_eq!(method("{headers: [{name: X, value: y}]}"), exact(None, None));
    let pattern = |text: &str| Some(model::route::Pattern(text.into()));
    let regex = GrpcMethodMatch::Regex { service: pattern("a.*"), method: pattern("G.+") };
    assert_eq!(method("{method: {type: RegularExpression, service: a.*, method: G.+}}"), regex);
    let of_headers = compiled("{matches: [{headers: [{name: X, value: y}]}]}").matches.remove(0).headers;
    assert_eq!((&*of_headers[0].name, &of_headers[0].value), ("x", &StringMatch::Exact("y".into())));
    assert_eq!(compiled("{}").matches.len(), 1, "a rule without matches is for calls alone");
}

#[test]
fn filters_and_backends_are_those_of_the_rule() {
    const EDIT: &str = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}]}}";
    const COPY: &str =
        "{type: RequestMirror, requestMirror: {backendRef: {name: cart, port: 80}, percent: 5}}";
    let rule = compiled(&format!(
        "{{name: first, filters: [{EDIT}, {COPY}, {COPY}], backendRefs: [{{name: cart, port: 80, weight: 3, filters: [{EDIT}]}}, {{name: gone, port: 80}}]}}"
    ));
    assert_eq!(rule.name.as_deref(), Some("first"));
    assert!(matches!(
        rule.filters[..],
        [FilterConfig::RequestHeaders(_), FilterConfig::Mirror(_), FilterConfig::Mirror(_)]
    ));
    let backend = &rule.backends[0];
    assert_eq!(backend.host.as_ref().unwrap().as_str(), "cart.default.svc.cluster.local");
    assert_eq!((backend.port, backend.weight, backend.filters.len()), (80, 3, 1));
    assert_eq!(rule.backends[1].host, None);
}

#[test]
fn it_hangs_on_the_listeners_that_take_it() {
    let check = |parent: &str, hostnames: &str, expected: &[&str]| {
        let mut world = world(EDGE);
        let spec = format!("parentRefs: [{{name: edge{parent}}}], hostnames: [{hostnames}], rules: [{{}}]");
        add(&mut world, &route("GRPCRoute", "r", 0, &spec));
        let keys: Vec<String> =
            rules(&world).iter().map(|rule| ResourceKey::of_rule(rule).to_string()).collect();
        let expected: Vec<String> = expected
            .iter()
            .map(|listener| format!("rule/g:default:edge:{listener}/GRPCRoute/default/r/0"))
            .collect();
        assert_eq!(keys, expected, "{parent} {hostnames}");
        assert_eq!(told(&mut world, Code::ParentNotFound).len(), usize::from(expected.is_empty()));
    };
    check("", "", &["more", "web"]);
    check("", "b.com", &["web"]);
    check(", sectionName: more", "b.com", &[]);
    check(", port: 81", "x.a.com", &["more"]);
    check(", sectionName: none", "", &[]);
    check(", sectionName: db", "", &[]);
}

#[test]
fn at_a_listener_the_older_route_counts_and_the_other_is_told() {
    let mut world = world(EDGE);
    let at = |listener: &str, host: &str| {
        format!("parentRefs: [{{name: edge{listener}}}], hostnames: [{host}], rules: [{{}}]")
    };
    add(&mut world, &route("GRPCRoute", "calls", 1, &at(", sectionName: more", "x.a.com")));
    assert_eq!(told(&mut world, Code::RouteConflict), [""; 0]);
    add(&mut world, &route("HTTPRoute", "pages", 2, &at("", "'*.a.com'")));
    let cause = "has no effect at listener more of Gateway/edge.default: GRPCRoute/calls.default is for the same hosts \
                 there and older, and a listener has an HTTPRoute or a GRPCRoute for a host, not both";
    assert_eq!(told(&mut world, Code::RouteConflict), [format!("HTTPRoute/pages.default: {cause}")]);
    add(&mut world, &route("GRPCRoute", "late", 3, &at(", sectionName: web", "y.a.com")));
    let late = told(&mut world, Code::RouteConflict).remove(0);
    assert!(late.starts_with("GRPCRoute/late.default: has no effect at listener web"), "{late}");
    world.apply(WorldChange::ObjectGone(ObjectRef::new("HTTPRoute", "default", "pages")));
    assert_eq!(told(&mut world, Code::RouteConflict), [""; 0]);
}

#[test]
fn at_a_service_an_http_route_beside_a_grpc_route_is_told() {
    let check = |of_calls: &str, of_pages: &str, expected: &[&str]| {
        let mut world = world(EDGE);
        let at = |port: &str| {
            format!("parentRefs: [{{group: '', kind: Service, name: cart{port}}}], rules: [{{}}]")
        };
        add(&mut world, &route("HTTPRoute", "pages", 1, &at(of_pages)));
        add(&mut world, &route("GRPCRoute", "calls", 2, &at(of_calls)));
        let told = told(&mut world, Code::RouteConflict);
        let places: Vec<&str> =
            told.iter().filter_map(|said| said.split(" at ").nth(1)?.split(':').next()).collect();
        assert_eq!(places, expected, "{of_calls} {of_pages}");
    };
    check("", "", &["cart.default.svc.cluster.local"]);
    check(", port: 80", "", &["port 80 of cart.default.svc.cluster.local"]);
    check("", ", port: 80", &["port 80 of cart.default.svc.cluster.local"]);
    check(", port: 80", ", port: 81", &[]);
}

#[test]
fn a_virtual_service_has_no_effect_beside_it() {
    let mut world = world(EDGE);
    let parent = "parentRefs: [{group: '', kind: Service, name: cart}], rules: [{}]";
    add(&mut world, &route("GRPCRoute", "calls", 1, parent));
    add(
        &mut world,
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}\n",
    );
    let told = told(&mut world, Code::RouteConflict);
    assert!(told[0].contains("GRPCRoute/calls.default is attached to it"), "{told:?}");
}

#[test]
fn a_backend_that_is_declared_as_http1_is_told() {
    let check = |port: u16, expected: usize| {
        let mut world = world(EDGE);
        let spec =
            format!("parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: cart, port: {port}}}]}}]");
        add(&mut world, &route("GRPCRoute", "r", 0, &spec));
        assert_eq!(told(&mut world, Code::ProtocolConflict).len(), expected, "{port}");
    };
    check(80, 0);
    check(81, 1);
    check(82, 0);
}

#[test]
fn the_example_of_the_page_is_good() {
    const PAGE: &str = include_str!("../../../../../docs/gateway-api.md");
    let example = PAGE.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut world = world(example);
    assert_eq!(world.findings(), []);
    assert_eq!(rules(&world)[0].backends.len(), 2);
}
