#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::kinds;
use crate::kinds::tests::istio_fields;
use crate::parse::documents;
use model::{Code, Finding};
use std::path::Path;

/// The warnings of a document whose `spec` is this, from line 5 on; metadata is in flow style.
fn warnings(kind: &str, metadata: &str, spec: &str) -> Vec<Finding> {
    let api_version = kinds::by_kind(kind).unwrap().api_version();
    let spec = spec.replace('\n', "\n  ");
    let text = format!(
        "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x{metadata}}}\nspec:\n  {spec}\n"
    );
    let (objects, findings) = documents(&text, "f.yaml");
    assert_eq!(findings, [], "{text}");
    assert_eq!(objects.len(), 1, "{text}");
    objects[0].warnings.to_vec()
}

const SERVICE: &str = "ports: [{port: 80}]";
const ROUTE: &str = "parentRefs: [{name: g}]\nrules:";
const EAST_WEST: &str = "gatewayClassName: leno-east-west\nlisteners:";
const POLICY: &str = "rules: [{}]";

/// Every field that is accepted and has no effect: kind, what stands before it, the field, its path.
const NO_EFFECT: &[(&str, &str, &str, &str)] = &[
    ("Service", SERVICE, "type: NodePort", "spec.type"),
    ("Service", SERVICE, "type: LoadBalancer", "spec.type"),
    ("Service", SERVICE, "clusterIP: 10.0.0.1", "spec.clusterIP"),
    ("Service", SERVICE, "clusterIPs: [10.0.0.1]", "spec.clusterIPs"),
    ("Service", SERVICE, "externalIPs: [10.0.0.1]", "spec.externalIPs"),
    ("Service", SERVICE, "loadBalancerIP: 10.0.0.1", "spec.loadBalancerIP"),
    ("Service", SERVICE, "loadBalancerClass: a.b/c", "spec.loadBalancerClass"),
    ("Service", SERVICE, "loadBalancerSourceRanges: [10.0.0.0/8]", "spec.loadBalancerSourceRanges"),
    ("Service", SERVICE, "allocateLoadBalancerNodePorts: true", "spec.allocateLoadBalancerNodePorts"),
    ("Service", SERVICE, "healthCheckNodePort: 30000", "spec.healthCheckNodePort"),
    ("Service", SERVICE, "publishNotReadyAddresses: true", "spec.publishNotReadyAddresses"),
    ("Service", SERVICE, "sessionAffinity: ClientIP", "spec.sessionAffinity"),
    (
        "Service",
        SERVICE,
        "sessionAffinityConfig: {clientIP: {timeoutSeconds: 1}}",
        "spec.sessionAffinityConfig",
    ),
    ("Service", SERVICE, "internalTrafficPolicy: Local", "spec.internalTrafficPolicy"),
    ("Service", SERVICE, "externalTrafficPolicy: Local", "spec.externalTrafficPolicy"),
    ("Service", SERVICE, "trafficDistribution: PreferClose", "spec.trafficDistribution"),
    ("Service", SERVICE, "ipFamilies: [IPv6]", "spec.ipFamilies"),
    ("Service", SERVICE, "ipFamilies: [IPv4, IPv6]", "spec.ipFamilies"),
    ("Service", SERVICE, "ipFamilyPolicy: PreferDualStack", "spec.ipFamilyPolicy"),
    ("Service", "ports:", "- {port: 80, nodePort: 30000}", "spec.ports[0].nodePort"),
    ("Service", "ports:", "- {port: 53, protocol: UDP}", "spec.ports[0].protocol"),
    ("Service", "ports:", "- {port: 80, protocol: SCTP}", "spec.ports[0].protocol"),
    (
        "Gateway",
        "gatewayClassName: leno\nlisteners: [{name: a, port: 80, protocol: HTTP}]",
        "infrastructure: {labels: {a: b}}",
        "spec.infrastructure",
    ),
    (
        "Gateway",
        EAST_WEST,
        "- {name: a, port: 15008, protocol: HBONE, tls: {mode: Terminate}}",
        "spec.listeners[0].tls",
    ),
    (
        "Gateway",
        EAST_WEST,
        "- {name: a, port: 15008, protocol: HBONE, hostname: a.b}",
        "spec.listeners[0].hostname",
    ),
    (
        "Gateway",
        EAST_WEST,
        "- {name: a, port: 15008, protocol: HBONE, allowedRoutes: {}}",
        "spec.listeners[0].allowedRoutes",
    ),
    ("Gateway", EAST_WEST, "- {name: a, port: 15443, protocol: HBONE}", "spec.listeners[0].port"),
    ("Gateway", EAST_WEST, "- {name: a, port: 15008, protocol: TLS}", "spec.listeners[0].protocol"),
    ("HTTPRoute", "parentRefs: [{group: '', kind: Service, name: s}]", "hostnames: [a.b]", "spec.hostnames"),
    (
        "HTTPRoute",
        ROUTE,
        "- filters: [{type: RequestRedirect, requestRedirect: {port: 1}}, {type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}]",
        "spec.rules[0].filters[1]",
    ),
    (
        "HTTPRoute",
        ROUTE,
        "- filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}, {type: RequestRedirect, requestRedirect: {port: 1}}]",
        "spec.rules[0].filters[0]",
    ),
    ("WorkloadGroup", "template: {}", "metadata: {annotations: {a: b}}", "spec.metadata.annotations[a]"),
    ("WorkloadGroup", "template:", "  ports: {http: 80}", "spec.template.ports"),
    ("WorkloadGroup", "template:", "  address: 10.0.0.1", "spec.template.address"),
    ("WorkloadGroup", "template:", "  network: n", "spec.template.network"),
    ("WorkloadGroup", "template:", "  locality: region/zone/subzone", "spec.template.locality"),
    ("WorkloadGroup", "template:", "  weight: 0", "spec.template.weight"),
    ("AuthorizationPolicy", POLICY, "provider: {name: p}", "spec.provider"),
    (
        "AuthorizationPolicy",
        POLICY,
        "targetRef: {group: a.b, kind: Gateway, name: g}",
        "spec.targetRef.group",
    ),
    ("MeshSettings", "mtls: Strict", "telemetry: {accessLog: true}", "spec.telemetry.accessLog"),
    ("MeshSettings", "mtls: Strict", "telemetry: {accessLog: false}", "spec.telemetry.accessLog"),
    ("Cluster", "network: n", "type: Kubernetes", "spec.type"),
    ("GlobalService", "hosts: [a.b]\nports:", "- {port: 80, nodePort: 30000}", "spec.ports[0].nodePort"),
    ("GlobalService", "hosts: [a.b]\nports:", "- {port: 80, protocol: UDP}", "spec.ports[0].protocol"),
];

#[test]
fn each_field_without_effect_is_told_with_its_line() {
    for (kind, before, field, path) in NO_EFFECT {
        let found = warnings(kind, "", &format!("{before}\n{field}"));
        let [Finding { code: Code::Ignored, origin, cause, fix }] = &found[..] else {
            panic!("{kind} {field}: {found:?}");
        };
        assert!(cause.starts_with(&format!("`{path}`")) && cause.contains("effect"), "{field}: {cause}");
        assert!(!fix.is_empty(), "{field}");
        assert_eq!(
            (&*origin.file, &*origin.object.kind, origin.line),
            ("f.yaml", *kind, 5 + before.lines().count() as u32),
            "{field}"
        );
    }
    let found = warnings(
        "Gateway",
        ", annotations: {leno.dev/bind-address: 10.0.0.1}",
        &format!("{EAST_WEST} [{{name: a, port: 15008, protocol: HBONE}}]"),
    );
    assert!(found.len() == 1 && found[0].cause.contains("bind-address"), "{found:?}");
    let session = warnings("Service", "", &format!("{SERVICE}\nsessionAffinity: ClientIP"));
    assert_eq!(
        session[0].to_string(),
        "warning[LENO0109] Service/x.default (f.yaml:6): `spec.sessionAffinity` is not supported yet and has no effect; remove it: each request chooses its endpoint anew"
    );
}

#[test]
fn no_ignored_field_of_the_types_is_forgotten_here() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let types: Vec<String> =
        ["kinds", "fields"].iter().flat_map(|folder| sources(&source.join(folder))).collect();
    let mut fields = 0;
    for line in types.iter().flat_map(|text| text.lines()) {
        let Some(name) = line.trim().strip_suffix(": Option<Ignored>,") else { continue };
        let name = name.trim_start_matches("pub ").replace('_', "");
        let is_there = |path: &str| path.to_ascii_lowercase().ends_with(&format!(".{name}"));
        let is_istios =
            || istio_fields::told().any(|path| format!(".{path}.").contains(&format!(".{name}.")));
        assert!(NO_EFFECT.iter().any(|(_, _, _, path)| is_there(path)) || is_istios(), "{name}");
        fields += 1;
    }
    assert!(fields > 20, "{fields}");
}

/// The texts of all files of Rust below a folder, tests apart.
fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            texts.push(std::fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

#[test]
fn what_holds_anyway_or_says_nothing_is_not_told() {
    for (kind, spec) in [
        (
            "Service",
            "ports: [{port: 80, protocol: TCP}]\ntype: ClusterIP\nsessionAffinity: None\ninternalTrafficPolicy: Cluster\n\
             externalTrafficPolicy: Cluster\npublishNotReadyAddresses: false\nipFamilies: [IPv4]\n\
             ipFamilyPolicy: SingleStack\nexternalIPs: []\nclusterIP: ''\nallocateLoadBalancerNodePorts: false",
        ),
        ("Gateway", "gatewayClassName: leno-east-west\nlisteners: [{name: a, port: 15008, protocol: HBONE}]"),
        (
            "Gateway",
            "gatewayClassName: leno\ninfrastructure: {}\nlisteners: [{name: a, port: 80, protocol: HTTP, hostname: a.b, allowedRoutes: {kinds: [{group: gateway.networking.k8s.io, kind: HTTPRoute}]}}]",
        ),
        ("HTTPRoute", "parentRefs: [{name: g}]\nhostnames: [a.b]"),
        ("HTTPRoute", "parentRefs: [{name: g}, {group: '', kind: Service, name: s}]\nhostnames: [a.b]"),
        (
            "WorkloadGroup",
            "metadata: {labels: {a: b}}\ntemplate: {serviceAccount: a, locality: r/z, weight: 2}",
        ),
        ("AuthorizationPolicy", "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]"),
        (
            "MeshSettings",
            "mtls: Strict\noutbound: AllowAny\ndns: {suffixes: [a.b], ipv6Prefix: \"fd12:3456:789a::/48\"}",
        ),
        (
            "MeshSettings",
            "pathNormalization: {normalization: NONE, pathWithEscapedSlashesAction: REJECT_REQUEST}\nhttpConnectionManager: {xffNumTrustedHops: 0, idleTimeout: 1h, streamIdleTimeout: 5m}",
        ),
        ("MeshSettings", "httpConnectionManager: {xffNumTrustedHops: 1}"),
        (
            "MeshSettings",
            "httpConnectionManager: {upgradeIdleTimeout: 2h, upgradeConfigs: [{upgradeType: SPDY/3.1, enabled: true}]}",
        ),
        ("MeshSettings", "httpConnectionManager: {xffTrustedCidrs: [10.0.0.0/8]}"),
        ("Cluster", "type: Hosts\nnetwork: n\nregion: r\nzone: z\ngateways: [10.0.0.1]"),
        ("Backend", "type: Static\naddresses: [{host: 10.0.0.1, port: 80}]\nprotocol: http"),
        ("Namespace", "finalizers: [kubernetes]"),
    ] {
        let metadata = ", uid: u, resourceVersion: '7', annotations: {a: b}";
        assert_eq!(warnings(kind, metadata, spec), [], "{spec}");
    }
}

#[test]
fn edits_of_headers_that_the_proxy_does_not_touch_are_told() {
    let edit = |filter: &str, field: &str, edit: &str| {
        warnings(
            "HTTPRoute",
            "",
            &format!("{ROUTE}\n- filters:\n  - type: {filter}\n    {field}:\n      {edit}"),
        )
    };
    let request = |text: &str| edit("RequestHeaderModifier", "requestHeaderModifier", text);
    let response = |text: &str| edit("ResponseHeaderModifier", "responseHeaderModifier", text);
    let host = request("set: [{name: Host, value: a.b}]");
    assert_eq!(
        host[0].to_string(),
        "warning[LENO0109] HTTPRoute/x.default (f.yaml:10): `spec.rules[0].filters[0].requestHeaderModifier.set[0].name` is `Host`, which names the request's host, so the edit has no effect; use a URLRewrite filter with `hostname`"
    );
    for (name, why) in [
        ("content-length", "says where the message ends"),
        ("Transfer-Encoding", "says where the message ends"),
        ("Connection", "is for one hop only"),
        ("keep-alive", "is for one hop only"),
        ("TE", "is for one hop only"),
        ("upgrade", "is for one hop only"),
        ("expect", "is for one hop only"),
        ("X-Forwarded-Client-Cert", "is written by proxies only"),
        ("x_leno_a", "is written by proxies only"),
    ] {
        for text in [format!("add: [{{name: {name}, value: a}}]"), format!("remove: [a, {name}]")] {
            for found in [request(&text), response(&text)] {
                assert!(
                    found.len() == 1
                        && found[0].cause.contains(&format!("`{name}`"))
                        && found[0].cause.contains(why),
                    "{text}: {found:?}"
                );
            }
        }
    }
    assert!(response("remove: [host]")[0].cause.contains("no header of a response"));
    assert_eq!(
        request("set: [{name: X-Forwarded-For, value: a}]\n      remove: [te2, hosts, authorization]"),
        []
    );
}
