#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::TrafficPolicySpec;
use crate::kinds::Spec;
use crate::parse::documents;

/// The policy with this `spec`, and what is said of it.
fn read(spec: &str) -> (Option<TrafficPolicySpec>, String) {
    let text = format!(
        "apiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p, namespace: n}}\nspec: {spec}\n"
    );
    let (mut objects, findings) = documents(&text, "f");
    let said = findings.iter().map(|f| format!("{}: {}; {}", f.code.as_str(), f.cause, f.fix));
    let spec = objects.pop().map(|object| match object.spec {
        Spec::TrafficPolicy(spec) => spec,
        other => unreachable!("{other:?}"),
    });
    (spec.map(|spec| *spec), said.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_load_balancer_is_written_as_in_a_destination_rule() {
    let (spec, said) =
        read("{targetRefs: [{kind: Service, name: a}], backend: {loadBalancer: {simple: LEAST_REQUEST}}}");
    assert_eq!(said, "");
    let chosen = spec.unwrap().backend.unwrap().load_balancer.unwrap().chosen();
    assert_eq!(chosen, Some(model::traffic::LoadBalancer::default()));
    let by_user = "{targetRefs: [{kind: Service, name: a}], backend: {loadBalancer: {consistentHash: {httpHeaderName: X-User}}}}";
    let (spec, said) = read(by_user);
    assert_eq!(said, "");
    let chosen = spec.unwrap().backend.unwrap().load_balancer.unwrap().chosen();
    let by = model::traffic::ConsistentHash { http_header_name: "x-user".into() };
    assert_eq!(chosen, Some(model::traffic::LoadBalancer::ConsistentHash(by)));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let check = |spec: &str, expected: &str| {
        let (found, said) = read(spec);
        assert!(found.is_none() && said.starts_with(expected), "{spec}: {said}");
    };
    check("{}", "LENO0005: `spec.targetRefs` is empty");
    check(
        "{targetRefs: [{kind: HTTPRoute, name: a}]}",
        "LENO0103: `spec.targetRefs[0].kind`: target kind HTTPRoute",
    );
    check(
        "{targetRefs: [{kind: GlobalService, name: a}]}",
        "LENO0004: `spec.targetRefs[0].group` is not that of",
    );
    check(
        "{targetRefs: [{kind: Service, name: a, namespace: b}]}",
        "LENO0004: `spec.targetRefs[0].namespace`",
    );
    let balanced =
        |how: &str| format!("{{targetRefs: [{{kind: Service, name: a}}], backend: {{loadBalancer: {how}}}}}");
    check(&balanced("{}"), "LENO0005: `spec.backend.loadBalancer` says nothing");
    check(&balanced("{simple: SOMEHOW}"), "LENO0004");
    check(
        &balanced("{simple: ROUND_ROBIN, consistentHash: {httpHeaderName: x}}"),
        "LENO0004: `spec.backend.loadBalancer` sets both",
    );
    check(
        &balanced("{consistentHash: {httpHeaderName: 'x y'}}"),
        "LENO0004: `spec.backend.loadBalancer.consistentHash.httpHeaderName` cannot be `x y`",
    );
    check(&balanced("{warmup: 1s}"), "LENO0003");
}

#[test]
fn a_policy_that_says_nothing_is_told_to_have_no_effect() {
    let text = "apiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: p}\nspec: {targetRefs: [{kind: Service, name: a}]}\n";
    let (objects, findings) = documents(text, "f");
    assert_eq!(findings, []);
    let said = objects[0].warnings.iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("`spec` says nothing of its targets"), "{said}");
}
