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

#[test]
fn what_is_said_of_callers_is_checked() {
    let client = |what: &str| {
        format!(
            "{{targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: g}}], client: {what}}}"
        )
    };
    let (spec, said) = read(&client(
        "{clientIPDetection: {customHeader: {name: True-Client-IP, trustedCIDRs: [10.0.0.1]}}}",
    ));
    assert_eq!(said, "");
    let detection = spec.unwrap().client.unwrap().model().client_ip_detection.unwrap();
    let model::client_traffic::ClientIpDetection::CustomHeader(header) = detection else { unreachable!() };
    assert_eq!((&*header.name, header.fail_closed), ("true-client-ip", false));
    let check = |what: &str, expected: &str| {
        let (found, said) = read(&client(what));
        assert!(found.is_none() && said.starts_with(expected), "{what}: {said}");
    };
    check("{proxyProtocol: {}}", "LENO0005: `spec.client.proxyProtocol.trustedCIDRs` is empty");
    check(
        "{proxyProtocol: {trustedCIDRs: [x]}}",
        "LENO0004: `spec.client.proxyProtocol.trustedCIDRs[0]` cannot be `x`",
    );
    check("{clientIPDetection: {}}", "LENO0005: `spec.client.clientIPDetection` says nothing");
    let detection = |what: &str| format!("{{clientIPDetection: {{{what}}}}}");
    check(
        &detection("xForwardedFor: {}"),
        "LENO0005: `spec.client.clientIPDetection.xForwardedFor` says nothing",
    );
    check(&detection("xForwardedFor: {numTrustedHops: 0}"), "LENO0004");
    check(&detection("xForwardedFor: {numTrustedHops: 1, trustedCIDRs: [10.0.0.1]}"), "LENO0004");
    check(
        &detection("xForwardedFor: {numTrustedHops: 1}, customHeader: {name: a, trustedCIDRs: [::1]}"),
        "LENO0004",
    );
    for name in ["''", "'a b'", "x-forwarded-for", "x-leno-a", "connection", "host"] {
        let header = detection(&format!("customHeader: {{name: {name}, trustedCIDRs: ['::1']}}"));
        check(&header, "LENO0004: `spec.client.clientIPDetection.customHeader.name` cannot be");
    }
    check("{headers: {withUnderscoresAction: Some}}", "LENO0004");
    check("{timeouts: {}}", "LENO0003");
    for time in ["0s", "25h", "soon"] {
        let idle = format!("{{timeout: {{http: {{streamIdleTimeout: {time}}}}}}}");
        check(&idle, "LENO0004: `spec.client.timeout.http.streamIdleTimeout` cannot be");
    }
    let other = "{targetRefs: [{kind: Service, name: a, sectionName: b}], backend: {loadBalancer: {simple: ROUND_ROBIN}}}";
    let (found, said) = read(other);
    assert!(found.is_none() && said.contains("sectionName of a Service is not supported"), "{said}");
}

#[test]
fn a_section_without_a_target_that_it_is_about_is_told() {
    let told = |spec: &str| {
        let text = format!(
            "apiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
        );
        let (objects, findings) = documents(&text, "f");
        assert_eq!(findings, [], "{spec}");
        objects[0].warnings.iter().map(ToString::to_string).collect::<String>()
    };
    let gateway = "{group: gateway.networking.k8s.io, kind: Gateway, name: g}";
    let backend = "backend: {loadBalancer: {simple: ROUND_ROBIN}}";
    let client = "client: {headers: {requestID: Disable}}";
    let of_gateway = told(&format!("{{targetRefs: [{gateway}], {backend}}}"));
    assert!(of_gateway.contains("`spec.backend` is about services"), "{of_gateway}");
    let of_service = told(&format!("{{targetRefs: [{{kind: Service, name: a}}], {client}, {backend}}}"));
    assert!(of_service.contains("`spec.client` is about Gateways"), "{of_service}");
    assert_eq!(
        told(&format!("{{targetRefs: [{gateway}, {{kind: Service, name: a}}], {client}, {backend}}}")),
        ""
    );
    let open = "client: {headers: {xForwardedClientCert: {mode: AlwaysForwardOnly}}}";
    assert!(
        told(&format!("{{targetRefs: [{gateway}], {open}}}")).contains("passes on what any caller writes")
    );
}
