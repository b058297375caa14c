use crate::Spec;
use crate::kinds::grpc_route::GrpcRouteSpec;
use crate::parse::documents;

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: r}
spec:
  rules:
    - ";

fn parse(rule: &str) -> (Option<GrpcRouteSpec>, Vec<String>) {
    let text = format!("{ROUTE}{}\n", rule.replace('\n', "\n      "));
    let (objects, findings) = documents(&text, "f.yaml");
    let spec = objects.into_iter().next().map(|object| match object.spec {
        Spec::GrpcRoute(spec) => *spec,
        other => panic!("{other:?}"),
    });
    (spec, findings.iter().map(|finding| format!("{}: {finding}", finding.origin.line)).collect())
}

#[test]
fn every_field_of_a_route_is_read() {
    let (spec, findings) = parse(
        "name: first
matches:
  - method: {type: Exact, service: shop.v1.Cart, method: Get}
    headers: [{type: RegularExpression, name: Version, value: 'v.+'}]
  - method: {type: RegularExpression, service: 'shop\\..*'}
filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: a, value: b}]}
  - type: ResponseHeaderModifier
    responseHeaderModifier: {remove: [c]}
  - type: RequestMirror
    requestMirror: {backendRef: {name: copy, port: 1}, percent: 5}
backendRefs:
  - name: s
    namespace: other
    port: 80
    weight: 3
    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: d, value: e}]}}]",
    );
    assert_eq!(findings, [""; 0]);
    let rule = &spec.unwrap().rules[0];
    let method = rule.matches[0].method.as_ref().unwrap();
    assert_eq!((method.service.as_deref(), method.method.as_deref()), (Some("shop.v1.Cart"), Some("Get")));
    assert_eq!(rule.matches[0].headers[0].value, "v.+");
    assert_eq!(rule.matches[1].method.as_ref().unwrap().method, None);
    assert_eq!(rule.filters.len(), 3);
    let backend = &rule.backend_refs[0];
    assert_eq!((&*backend.name, backend.namespace.as_deref()), ("s", Some("other")));
    assert_eq!((backend.port, backend.weight, backend.filters.len()), (Some(80), Some(3), 1));
}

#[test]
fn fields_of_a_route_are_checked() {
    let bad = |rule: &str, line: u32, cause: &str| {
        let (spec, findings) = parse(rule);
        assert!(spec.is_none(), "{rule}");
        let wanted = format!("{line}: ");
        let is_said = |said: &String| said.starts_with(&wanted) && said.contains(cause);
        assert!(findings.iter().any(is_said), "{rule}: {findings:?}");
    };
    bad("matches:\n  - method: {service: 'a..b'}", 7, "cannot be `a..b`");
    bad("matches:\n  - method: {service: '1a'}", 7, "cannot be `1a`");
    bad("matches:\n  - method: {service: ''}", 7, "cannot be ``");
    bad("matches:\n  - method: {method: a.b}", 7, "cannot be `a.b`");
    bad("matches:\n  - method: {type: Exact}", 7, "is missing");
    bad("matches:\n  - method: {type: RegularExpression, method: 'a('}", 7, "regular expression");
    bad("matches:\n  - method: {type: Prefix, method: a}", 7, "Prefix");
    bad("matches:\n  - headers: [{name: a, value: b}, {name: A, value: c}]", 7, "occurs twice");
    bad("matches:\n  - path: {value: /a}", 7, "unknown field");
    bad("filters:\n  - type: RequestMirror", 7, "missing");
    bad(
        "filters:\n  - type: ExtensionRef\n    extensionRef: {group: a.b, kind: C, name: d}",
        7,
        "not supported",
    );
    bad("filters:\n  - type: URLRewrite", 7, "URLRewrite");
    bad("filters:\n  - type: RequestMirror\n    requestHeaderModifier: {remove: [a]}", 8, "does not belong");
    let edit = "  - type: RequestHeaderModifier\n    requestHeaderModifier: {remove: [a]}\n";
    bad(&format!("filters:\n{edit}{}", edit.trim_end()), 9, "occurs twice");
    bad("backendRefs:\n  - name: s", 7, "missing");
    bad("backendRefs:\n  - {name: s, port: 1, weight: 1000001}", 7, "more than");
    bad("sessionPersistence: {type: Cookie}", 6, "not supported");
    bad("name: a_b", 6, "name");
    bad("timeouts: {request: 1s}", 6, "unknown field");
}

#[test]
fn a_service_may_begin_with_a_dot() {
    let (spec, findings) = parse("matches:\n  - method: {service: .a.B_c}");
    assert!(spec.is_some(), "{findings:?}");
}

#[test]
fn a_backend_of_a_copy_takes_no_filters() {
    let (spec, findings) = parse(
        "filters:\n  - type: RequestMirror\n    requestMirror: {backendRef: {name: s, port: 1, filters: [{type: RequestMirror}]}}",
    );
    assert!(spec.is_none() && findings.iter().any(|said| said.contains("takes no filters")), "{findings:?}");
}
