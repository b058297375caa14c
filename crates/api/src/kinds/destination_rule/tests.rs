#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::kinds::Spec;
use crate::parse::documents;
use model::traffic::{LoadBalancer, SimpleLoadBalancer};

/// What is said of a DestinationRule with this `spec`, and how it balances.
fn read(spec: &str) -> (String, Option<LoadBalancer>) {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d, namespace: n}}\nspec: {spec}\n"
    );
    let (objects, mut findings) = documents(&text, "f");
    findings.extend(objects.iter().flat_map(|object| object.warnings.to_vec()));
    let said = findings.iter().map(|f| format!("{}: {}", f.code.as_str(), f.cause));
    let chosen = objects.first().and_then(|object| match &object.spec {
        Spec::DestinationRule(spec) => spec.traffic_policy.as_ref()?.load_balancer.as_ref()?.chosen(),
        _ => None,
    });
    (said.collect::<Vec<_>>().join("\n"), chosen)
}

#[test]
fn balancers_are_called_as_in_istio() {
    let check = |text: &str, expected: Option<SimpleLoadBalancer>, said: &str| {
        let (found, chosen) =
            read(&format!("{{host: a, trafficPolicy: {{loadBalancer: {{simple: {text}}}}}}}"));
        assert_eq!(chosen, expected.map(LoadBalancer::Simple), "{text}");
        assert!(found.starts_with(said) && found.is_empty() == said.is_empty(), "{text}: {found}");
    };
    check("ROUND_ROBIN", Some(SimpleLoadBalancer::RoundRobin), "");
    check("LEAST_REQUEST", Some(SimpleLoadBalancer::LeastRequest), "");
    check("LEAST_CONN", Some(SimpleLoadBalancer::LeastRequest), "");
    check("UNSPECIFIED", None, "");
    check("RANDOM", None, "LENO0109: `spec.trafficPolicy.loadBalancer.simple` is RANDOM");
    check("PASSTHROUGH", None, "LENO0109: `spec.trafficPolicy.loadBalancer.simple` is PASSTHROUGH");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let check = |spec: &str, expected: &str| {
        let (found, _) = read(spec);
        assert!(found.starts_with(expected), "{spec}: {found}");
    };
    check("{}", "LENO0005: `spec.host` is missing");
    check("{host: 'a b'}", "LENO0004: `spec.host` cannot be `a b`");
    check(
        "{host: a, subsets: [{name: v1}, {name: v1}]}",
        "LENO0004: `spec.subsets[1].name` `v1` occurs twice",
    );
    check("{host: a, subsets: [{name: ''}]}", "LENO0005: `spec.subsets[0].name` is empty");
    check("{host: a, subsets: [{name: v.1}]}", "LENO0004: `spec.subsets[0].name` cannot be `v.1`");
    check(
        "{host: a, subsets: [{name: a, labels: {version: 'v 1'}}]}",
        "LENO0004: `spec.subsets[0].labels` has",
    );
    check(
        "{host: a, trafficPolicy: {tls: {mode: MUTUAL}}}",
        "LENO0005: `spec.trafficPolicy.tls.clientCertificate` is missing in mode MUTUAL",
    );
    let settings = "{port: {number: 80}, loadBalancer: {simple: ROUND_ROBIN}}";
    check(
        &format!("{{host: a, trafficPolicy: {{portLevelSettings: [{settings}, {settings}]}}}}"),
        "LENO0004: `spec.trafficPolicy.portLevelSettings[1].port.number` 80 occurs twice",
    );
    check("{host: a}", "LENO0109: `spec` says nothing of its host");
}

#[test]
fn one_that_is_refused_and_speaks_of_tls_lets_nothing_out_in_plaintext() {
    let read = |spec: &str| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d, namespace: n}}\nspec: {spec}\n"
        );
        let (objects, findings) = crate::parse::documents_fail_closed(&text, "f");
        assert!(!findings.is_empty(), "{spec}");
        objects.into_iter().next().map(|object| match object.spec {
            Spec::DestinationRule(spec) => (spec.host.clone(), spec.is_unreadable),
            other => unreachable!("{other:?}"),
        })
    };
    let closed = Some(("a".to_owned(), true));
    assert_eq!(read("{host: a, trafficPolicy: {tls: {mode: SIMPEL}}}"), closed);
    assert_eq!(read("{host: a, subsets: [{nam: v1, trafficPolicy: {tls: {mode: SIMPLE}}}]}"), closed);
    assert_eq!(read("{host: a, trafficPolicy: {x: 1}}"), None);
}
