//! Whom a policy concerns.

use super::*;
use model::Code;

const GATEWAYS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: a}
spec: {gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: a}
spec: {gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: between, namespace: a}
spec: {gatewayClassName: leno-east-west, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: foreign, namespace: a}
spec: {gatewayClassName: nginx, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: edge, namespace: a}
spec: {metadata: {labels: {app: edge}}, template: {}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: between, namespace: a}
spec: {metadata: {labels: {app: between}}, template: {}}
---
";

/// Keys of policies in what these get: a proxy of group `edge`, of group `between`, and the gateway `other`.
fn policies(world: &World) -> [Vec<String>; 3] {
    let of = |subscriptions: &[Subscription]| {
        let keys = subscriptions.iter().flat_map(|subscription| members(subscription, world));
        let policies = keys.filter(|key| key.policy().is_some());
        policies.map(|key| key.to_string().replace("policy/", "")).collect::<Vec<_>>()
    };
    let seen = |group: &str| visible(&ProxyKey { namespace: "a".into(), group: group.into() }, world);
    let other = Subscription::Gateway { namespace: "a".into(), name: "other".into() };
    [of(&seen("edge")), of(&seen("between")), of(&[other])]
}

#[test]
fn a_policy_applies_to_workloads_and_to_what_comes_in_at_gateways_apart() {
    let check = |namespace: &str, spec: &str, expected: [&[&str]; 3]| {
        let text = format!(
            "{GATEWAYS}apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {spec}\n"
        );
        assert_eq!(policies(&world(&text)), expected.map(|keys| keys.to_vec()), "{namespace} {spec}");
    };
    // Only what comes in at the gateway, and not the ports of the workload that serves it.
    check("a", "{targetRefs: [{kind: Gateway, name: edge}]}", [&["gateway-a/edge/a/p"], &[], &[]]);
    check("a", "{targetRef: {kind: Gateway, name: other}}", [&[], &[], &["gateway-a/other/a/p"]]);
    check("a", "{targetRefs: [{kind: Gateway, name: between}]}", [&[], &["gateway-a/between/a/p"], &[]]);
    check("b", "{targetRefs: [{kind: Gateway, name: edge}]}", [&[], &[], &[]]);
    check("a", "{targetRefs: [{kind: Gateway, name: foreign}]}", [&[], &[], &[]]);
    // Both.
    let edge: &[&str] = &["a/p", "gateway-a/edge/a/p"];
    check("a", "{selector: {matchLabels: {app: edge}}}", [edge, &[], &[]]);
    check("a", "{selector: {matchLabels: {app: between}}}", [&[], &["a/p", "gateway-a/between/a/p"], &[]]);
    check("a", "{selector: {matchLabels: {app: x}}}", [&[], &[], &[]]);
    // A gateway between networks is left out: the workload behind it asks these.
    check("a", "{}", [edge, &["a/p"], &["gateway-a/other/a/p"]]);
    check("b", "{}", [&[], &[], &[]]);
    let root: &[&str] = &["leno-system/p", "gateway-a/edge/leno-system/p"];
    check("leno-system", "{}", [root, &["leno-system/p"], &["gateway-a/other/leno-system/p"]]);
    check("leno-system", "{selector: {matchLabels: {app: edge}}}", [root, &[], &[]]);
    check("leno-system", "{targetRefs: [{kind: Gateway, name: edge}]}", [&[], &[], &[]]);
}

/// Both keys lead to the same content.
#[test]
fn a_policy_is_the_same_wherever_it_applies() {
    let world = world(&format!(
        "{GATEWAYS}apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: a}}\nspec: {{action: DENY, rules: [{{}}]}}\n"
    ));
    let get = |key: &str| resource(&ResourceKey::parse(key).unwrap(), &world).unwrap();
    assert_eq!(get("policy/a/p"), get("gateway-policy/a/edge/a/p"));
}

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: a}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 5432}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: shop, namespace: a}
spec: {metadata: {labels: {app: shop}}, template: {}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: a}
spec: {gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
";

/// What is said of a policy beside others.
fn said(documents: &str, name: &str) -> Vec<Finding> {
    let mut all = world(documents).findings();
    all.retain(|finding| &*finding.origin.object.kind == "AuthorizationPolicy");
    all.retain(|finding| &*finding.origin.object.name == name);
    all
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: a}}\nspec: {spec}\n---\n"
    )
}

/// Code, and words of cause and fix; empty: nothing is said. Then the spec that the fix makes of it, of which
/// nothing is said any more.
fn check(spec: &str, expected: Option<(Code, &[&str])>, mended: Option<&str>) {
    let found = said(&format!("{SHOP}{}", policy("p", spec)), "p");
    let codes: Vec<Code> = found.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, expected.iter().map(|(code, _)| *code).collect::<Vec<_>>(), "{spec}: {found:?}");
    for word in expected.iter().flat_map(|(_, words)| *words) {
        let text = found[0].to_string();
        assert!(text.contains(word), "{word}: {text}");
    }
    if let Some(mended) = mended {
        assert_eq!(said(&format!("{SHOP}{}", policy("p", mended)), "p"), [], "{mended}");
    }
}

const APP: &str = "selector: {matchLabels: {app: shop}}";
const EDGE: &str = "targetRefs: [{kind: Gateway, name: edge}]";

#[test]
fn an_http_condition_that_closes_a_tcp_port_is_told() {
    let deny = |to: &str| format!("{{{APP}, action: DENY, rules: [{{{to}}}]}}");
    let closed = "port 5432 of WorkloadGroup/shop.a is TCP, and closed to";
    let ports = "add `ports: ['8080']` to each operation";
    check(
        &deny("to: [{operation: {paths: [/x]}}]"),
        Some((Code::TcpClosed, &[closed, "everybody", ports])),
        Some(&deny("to: [{operation: {paths: [/x], ports: ['8080']}}]")),
    );
    check(
        &deny("from: [{source: {namespaces: [b]}}], to: [{operation: {methods: [GET], notPorts: ['8080']}}]"),
        Some((Code::TcpClosed, &["closed to all callers that `from` names"])),
        None,
    );
    let header = "when: [{key: 'request.headers[x]', values: [a]}]";
    check(
        &deny(header),
        Some((Code::TcpClosed, &["add `to: [{operation: {ports: ['8080']}}]` to the rule"])),
        Some(&deny(&format!("to: [{{operation: {{ports: ['8080']}}}}], {header}"))),
    );
    // These are about HTTP ports alone, or mean the TCP port.
    check(&deny("to: [{operation: {paths: [/x], ports: ['8080']}}]"), None, None);
    check(&deny("to: [{operation: {paths: [/x], notPorts: ['5432']}}]"), None, None);
    check(&deny("to: [{operation: {ports: ['5432']}}]"), None, None);
    check(
        &deny("to: [{operation: {paths: [/x]}}], when: [{key: destination.port, values: ['8080']}]"),
        None,
        None,
    );
    check(&deny("from: [{source: {namespaces: [b]}}]"), None, None);
    // A gateway's listeners read HTTP.
    check(
        &format!("{{{EDGE}, action: DENY, rules: [{{to: [{{operation: {{paths: [/x]}}}}]}}]}}"),
        None,
        None,
    );

    let allow =
        |rules: &str| format!("{{{APP}, rules: [{{to: [{{operation: {{methods: [GET]}}}}]}}{rules}]}}");
    let opened = ", {to: [{operation: {ports: ['5432']}}]}";
    check(
        &allow(""),
        Some((Code::TcpClosed, &["no other ALLOW policy lets anybody in: port 5432 of", "ports: ['5432']"])),
        Some(&allow(opened)),
    );
    let other = policy("q", &format!("{{{APP}, rules: [{{to: [{{operation: {{ports: ['5432']}}}}]}}]}}"));
    assert_eq!(said(&format!("{SHOP}{}{other}", policy("p", &allow(""))), "p"), []);
}

#[test]
fn a_port_that_nothing_has_is_told() {
    let deny = |to: &str| format!("{{{APP}, action: DENY, rules: [{{to: [{{operation: {{{to}}}}}]}}]}}");
    check(
        &deny("ports: ['80']"),
        Some((Code::NoSuchPort, &["denies nothing", "write 8080", "port 80 of shop.a.svc.cluster.local"])),
        Some(&deny("ports: ['8080']")),
    );
    check(&deny("ports: ['9999']"), Some((Code::NoSuchPort, &["write one of 5432, 8080"])), None);
    check(&deny("notPorts: ['80']"), Some((Code::NoSuchPort, &["excepts nothing"])), None);
    let when = |values: &str| {
        format!("{{{APP}, action: DENY, rules: [{{when: [{{key: destination.port, {values}}}]}}]}}")
    };
    check(&when("values: ['80']"), Some((Code::NoSuchPort, &["denies nothing"])), None);
    check(&when("values: ['8080']"), None, None);
    // At a gateway it is the listener's, and a policy for both has both.
    let edge = |port: u16| {
        format!("{{{EDGE}, action: DENY, rules: [{{to: [{{operation: {{ports: ['{port}']}}}}]}}]}}")
    };
    check(&edge(80), None, None);
    check(&edge(8080), Some((Code::NoSuchPort, &["write one of 80"])), Some(&edge(80)));
    check("{action: DENY, rules: [{to: [{operation: {ports: ['80', '8080']}}]}]}", None, None);
}

#[test]
fn a_condition_on_identity_is_told_where_nobody_has_one() {
    let from = "rules: [{from: [{source: {principals: ['*']}}]}]";
    check(
        &format!("{{{EDGE}, action: DENY, {from}}}"),
        Some((Code::NoIdentity, &["denies nobody", "ipBlocks"])),
        None,
    );
    check(&format!("{{{EDGE}, {from}}}"), Some((Code::NoIdentity, &["Gateway/edge.a is closed"])), None);
    // Whose workloads are meant is not said, so the gateway's callers are asked as well.
    check(
        &format!("{{{from}}}"),
        Some((Code::NoIdentity, &["Gateway/edge.a is closed", "`selector`", "`targetRefs`"])),
        Some(&format!("{{{APP}, {from}}}")),
    );
    check(&format!("{{action: DENY, {from}}}"), None, None);
    check("{rules: [{from: [{source: {notPrincipals: [a/ns/b/sa/c]}}]}]}", None, None);
    let open = policy("q", &format!("{{{EDGE}, rules: [{{}}]}}"));
    assert_eq!(said(&format!("{SHOP}{}{open}", policy("p", &format!("{{{from}}}"))), "p"), []);
}

#[test]
fn callers_of_a_gateway_that_asks_for_client_certificates_may_have_an_identity() {
    let asks = "gatewayClassName: leno, tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: ConfigMap, group: '', name: ca}]}}}}, listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}}]";
    let shop =
        SHOP.replace("gatewayClassName: leno, listeners: [{name: http, port: 80, protocol: HTTP}]", asks);
    assert_ne!(shop, SHOP);
    let from = "rules: [{from: [{source: {principals: [x/ns/b/sa/c]}}]}]";
    let ca = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca, namespace: a}\ndata: {ca.crt: x}\n---\n";
    for spec in [format!("{{{EDGE}, action: DENY, {from}}}"), format!("{{{EDGE}, {from}}}")] {
        assert_eq!(said(&format!("{shop}{ca}{}", policy("p", &spec)), "p"), [], "{spec}");
    }
}

/// No unit makes anything of it: it is reported and taken back all the same.
#[test]
fn an_object_that_is_only_read_is_told_of_while_it_is_there() {
    let text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: leno-system}\n\
                spec:\n  selector: {matchLabels: {app: a}}\n";
    let mut world = world(text);
    let told = world.findings();
    assert_eq!((told.len(), told[0].code, told[0].origin.line), (1, Code::Ignored, 5), "{told:?}");
    assert!(told[0].cause.contains("whose policies are for the whole mesh"), "{told:?}");
    let touched =
        world.apply(WorldChange::ObjectGone(ObjectRef::new("PeerAuthentication", "leno-system", "p")));
    assert!(world.findings().is_empty() && touched.is_empty(), "{touched:?}");
}
