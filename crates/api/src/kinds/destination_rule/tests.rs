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
    let refused = |text: &str| {
        let (objects, findings) = crate::parse::documents_fail_closed(text, "f");
        assert!(!findings.is_empty(), "{text}");
        let stand_ins = objects.into_iter().map(|object| match object.spec {
            Spec::DestinationRule(spec) if spec.is_unreadable => {
                format!("{} {}", object.object.name, spec.host)
            }
            other => unreachable!("{other:?}"),
        });
        stand_ins.collect::<Vec<_>>().join(", ")
    };
    let document = |meta: &str, spec: &str| {
        format!("apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {meta}\nspec: {spec}\n")
    };
    let read = |spec: &str| refused(&document("{name: d, namespace: n}", spec));
    for mode in ["SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] {
        let tls = format!("{{mode: {mode}}}");
        // A field that nobody knows: beside the policy, in it, in TLS, in a port's, in a subset; a value that is none.
        assert_eq!(read(&format!("{{host: a, x: 1, trafficPolicy: {{tls: {tls}}}}}")), "d a");
        assert_eq!(read(&format!("{{host: a, trafficPolicy: {{x: 1, tls: {tls}}}}}")), "d a");
        assert_eq!(read(&format!("{{host: a, trafficPolicy: {{tls: {{x: 1, mode: {mode}}}}}}}")), "d a");
        assert_eq!(
            read(&format!(
                "{{host: a, trafficPolicy: {{portLevelSettings: [{{port: {{number: 0}}, tls: {tls}}}]}}}}"
            )),
            "d a"
        );
        assert_eq!(
            read(&format!("{{host: a, subsets: [{{nam: v1, trafficPolicy: {{tls: {tls}}}}}]}}")),
            "d a"
        );
        assert_eq!(read(&format!("{{host: a, subsets: 3, trafficPolicy: {{tls: {tls}}}}}")), "d a");
        assert_eq!(read(&format!("{{host: a, trafficPolicy: [{{tls: {tls}}}]}}")), "d a");
        assert_eq!(read(&format!("{{host: a, trafficPolicy: {{tunnel: {{}}, tls: {tls}}}}}")), "d a");
        assert_eq!(
            read(&format!("{{host: a, workloadSelector: {{}}, trafficPolicy: {{tls: {tls}}}}}")),
            "d a"
        );
        // TLS itself is written wrongly.
        assert_eq!(read(&format!("{{host: a, trafficPolicy: {{tsl: {tls}}}}}")), "d a");
        assert_eq!(read(&format!("{{host: a, trafficPolicy: {{TLS: {tls}}}}}")), "d a");
        assert_eq!(read(&format!("{{host: a, trafficPolicy: {{tls: {{Mode: {mode}}}}}}}")), "d a");
        assert_eq!(read(&format!("{{host: a, trafficPolicy: {{tls: {{mode: [{mode}]}}}}}}")), "d a");
        assert_eq!(
            read(&format!("{{host: a, trafficPolicy: {{tls: {{mode: {mode}, credentialName: c}}}}}}")),
            "d a"
        );
        // The host is not there, or is none: all hosts of the namespace without a rule of their own.
        assert_eq!(read(&format!("{{trafficPolicy: {{tls: {tls}}}}}")), "d *");
        assert_eq!(read(&format!("{{host: 'https://a/', trafficPolicy: {{tls: {tls}}}}}")), "d *");
        assert_eq!(read(&format!("{{host: [a], trafficPolicy: {{tls: {tls}}}}}")), "d *");
        assert_eq!(
            read(&format!("{{host: ' A.Example.com', x: 1, trafficPolicy: {{tls: {tls}}}}}")),
            "d a.example.com"
        );
        // So is `spec`, or the name of the object.
        let good = format!("{{host: a, trafficPolicy: {{tls: {tls}}}}}");
        assert_eq!(refused(&document("{name: d}", &good).replace("spec:", "sepc:")), "d *");
        assert_eq!(refused(&document("{generateName: d}", &good)), "unreadable a");
        assert_eq!(refused(&document("{name: D_1}", &good)), "unreadable a");
        assert_eq!(refused(&document("{name: d, namespace: N_1}", &good)), "d a");
        let two =
            [document("{}", &good), "---\n".into(), document("{}", &good.replace("host: a", "host: b"))];
        assert_eq!(refused(&two.concat()), "unreadable a, unreadable-2 b");
        // No such version of the kind.
        assert_eq!(refused(&document("{name: d}", &good).replace("/v1", "/v9")), "d a");
        // No YAML: a bracket, a tab, a key that occurs twice, too deep.
        let block = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: d\nspec:\n  host: api.example.com\n  trafficPolicy:\n    tls:\n      mode: {mode}\n"
        );
        assert_eq!(refused(&format!("{block}  subsets: [\n")), "d api.example.com");
        assert_eq!(refused(&format!("{block}\tx: 1\n")), "d api.example.com");
        assert_eq!(refused(&format!("{block}  host: b\n")), "d api.example.com");
        assert_eq!(refused(&format!("{block}  x: {}\n", "[".repeat(40))), "d api.example.com");
        assert_eq!(refused(&block.replace("  host: api.example.com\n", "  x: [\n")), "d *");
        assert_eq!(refused(&block.replace("tls:", "tsl: [")), "d api.example.com");
        // Beside a policy in the same text.
        let list = format!("kind: AuthorizationPolicy\napiVersion: security.istio.io/v1\n{block}  x: [\n");
        let (objects, _) = crate::parse::documents_fail_closed(&list, "f");
        assert_eq!(objects.len(), 2, "{objects:?}");
    }
    assert_eq!(read("{host: a, trafficPolicy: {tls: {mode: SIMPEL}}}"), "d a");
    assert_eq!(read("{host: a, trafficPolicy: {x: 1}}"), "");
    assert_eq!(read("{host: a, trafficPolicy: {x: 1, loadBalancer: {simple: ROUND_ROBIN}}}"), "");
}
