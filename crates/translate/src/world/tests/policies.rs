//! Whom a policy concerns.

use super::*;

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
    let get = |key: &str| resource(&ResourceKey::parse(key).unwrap(), &world).unwrap().resource;
    assert_eq!(get("policy/a/p"), get("gateway-policy/a/edge/a/p"));
}
