//! Each fix is followed to the letter: what was found is gone then, and nothing new is wrong.
//!
//! A fix that a program can follow says `remove it`, "remove `PATH`", "write `VALUE`", "did you mean `NAME`?",
//! `put it in quotes` or `... without quotes`; all others are advice, which only a person can follow.

use super::*;
use serde_json::Value;

/// Documents with one fault each, so that every fix of a check is followed.
const FAULTS: &str = r#"
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: a}, prots: [], ports: [{port: 80}]}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: a}, ports: [{port: 80, targetPort: http}]}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: a}, ports: [{port: "80"}]}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: a}, ports: [{port: 80, targetPort: "8080"}]}}
{apiVersion: leno.dev/v1alpha1, kind: MeshSettings, metadata: {name: default}, spec: {httpConnectionManager: {upgradeConfigs: [{upgradeType: h2c}]}}}
{apiVersion: leno.dev/v1alpha1, kind: MeshSettings, metadata: {name: default}, spec: {httpConnectionManager: {upgradeConfigs: [{upgradeType: CONNECT}]}}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: a}, sessionAffinity: ClientIP, ports: [{port: 80, nodePort: 30000}]}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {selector: {app: 1}, ports: [{port: 80}]}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, selector: {app: a}, ports: [{port: 80}]}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ClusterIp, selector: {app: a}, ports: [{port: 80}]}}
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: ExternalName, externalName: db.example.com}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno, listeners: [{name: a, port: 80, protocol: TCP}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno, listeners: [{name: a, port: 80, protocol: HTTP, tls: {}}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno, addresses: [{value: 10.0.0.1}], listeners: [{name: a, port: 80, protocol: HTTP}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno, listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno, listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{group: g, kind: HTTPRoute}]}}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno, listeners: [{name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: a, operator: Exists}]}}}}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: g}, spec: {gatewayClassName: leno-east-west, listeners: [{name: a, port: 80, protocol: HTTP, hostname: a.example.com}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: a, port: 80, weight: "1"}]}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: a, port: 80, filters: [{type: ExtensionRef, extensionRef: {}}]}]}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{kind: Service, name: a}], rules: []}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{kind: GlobalService, name: a}], rules: []}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{group: "", kind: Service, name: a, sectionName: s}], hostnames: [a.example.com], rules: []}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: g}], rules: [{filters: [{type: ExtensionRef, extensionRef: {name: b}}]}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: g}], rules: [{filters: [{type: ExternalAuth, externalAuth: {}}]}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: g}], rules: [{filters: [{type: RequestRedirect, requestRedirect: {port: 8080}, cors: {}, urlRewrite: {}}]}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: g}], useDefaultGateways: All, rules: [{sessionPersistence: {sessionName: s}, matches: [{method: post}]}]}}
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: g}], rules: [{matches: [{method: POST}], retry: {codes: [503]}}]}}
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {targetRefs: [{group: "", kind: Service, name: web}], action: DENY, rules: [{}]}}
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {targetRefs: [{kind: Gateway, group: g, name: web, namespace: other}], action: DENY, rules: [{}]}}
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: CUSTOM, provider: {name: x}, rules: [{}]}}
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: DENY, rules: [{from: [{source: {requestPrincipals: ["*"]}}], to: [{operation: {paths: ["/{a}"], methods: [get]}}], when: [{key: request.auth.claims[a], values: [b]}]}]}}
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {rules: [{from: [{source: {ipBlocks: [10.0.0.0/99], serviceAccounts: [A]}}], when: [{key: nothing, values: [b]}]}]}}
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p}, spec: {mtls: {mode: PERMISIVE}}}
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p}, spec: {selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: DISABEL}}}}
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p}, spec: {mtls: {mode: strict}}}
{apiVersion: networking.istio.io/v1, kind: WorkloadGroup, metadata: {name: w}, spec: {metadata: {labels: {app: a}, annotations: {a: b}}, probe: {}, template: {serviceAccount: a, locality: a/b/c, weight: 0, network: n}}}
{apiVersion: leno.dev/v1alpha1, kind: MeshSettings, metadata: {name: default}, spec: {mtls: Permissive}}
{apiVersion: leno.dev/v1alpha1, kind: MeshSettings, metadata: {name: default}, spec: {telemetry: {accessLog: true}}}
{apiVersion: leno.dev/v1alpha1, kind: Cluster, metadata: {name: west}, spec: {type: Kubernetes}}
{apiVersion: leno.dev/v1alpha1, kind: Backend, metadata: {name: b}, spec: {type: Static, addresses: [{host: db.example.com, port: 80}]}}
{apiVersion: leno.dev/v1alpha1, kind: Backend, metadata: {name: b}, spec: {type: Static, adresses: [{host: 10.0.0.1, port: 80}], addresses: [{host: 10.0.0.1, port: 80}]}}
"#;

#[test]
fn every_fix_that_can_be_followed_mends_what_was_found() {
    let mut followed = 0;
    for line in FAULTS.lines().filter(|line| !line.is_empty()) {
        followed += follow(line);
    }
    assert!(followed >= 22, "only {followed} fixes were followed");
}

#[test]
fn every_fix_of_the_corpus_that_can_be_followed_mends_what_was_found() {
    let Some(root) = corpus() else { return };
    let mut followed = 0;
    for folder in ["gateway-conformance", "istio-authz", "istio-samples", "istio-analyze", "istio-gateway"] {
        for path in yaml_files(&root.join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap().replace("{GATEWAY_CLASS_NAME}", "leno");
            followed +=
                crate::scan::documents(&text).iter().map(|document| follow(document.text)).sum::<usize>();
        }
    }
    // The more is read, the fewer there are; none would mean that nothing is followed.
    assert!(followed > 30, "only {followed} fixes were followed");
}

/// Follows each fix of the one document in `text`, and looks again. How many could be followed.
fn follow(text: &str) -> usize {
    let found = findings(text);
    let Ok(document) = serde_saphyr::from_str::<Value>(text) else { return 0 };
    let mut followed = 0;
    for finding in &found {
        let Some(mended) = apply(&document, finding) else { continue };
        let is_policy = &*finding.origin.object.kind == "AuthorizationPolicy";
        assert!(
            !is_policy || !finding.fix.starts_with("remove"),
            "less in a policy can deny more or allow more: {finding}\n{text}"
        );
        let again = findings(&mended.to_string());
        let count = |list: &[Finding], one: &Finding| list.iter().filter(|other| is_same(other, one)).count();
        assert!(
            count(&again, finding) < count(&found, finding),
            "followed to the letter, it is still there: {finding}\n{text}\n{mended}"
        );
        let new: Vec<_> = again.iter().filter(|one| count(&found, one) == 0).collect();
        assert!(new.is_empty(), "followed to the letter: {finding}\n{text}\n{mended}\nnow: {new:?}");
        followed += 1;
    }
    followed
}

/// Whether two findings say the same of fields of one name: what is behind a removed entry moves up.
fn is_same(one: &Finding, other: &Finding) -> bool {
    let without_indices = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    one.code == other.code && without_indices(&one.cause) == without_indices(&other.cause)
}

/// What is wrong, and what in an object that is used has no effect.
fn findings(text: &str) -> Vec<Finding> {
    let (objects, mut findings) = documents(text, "f");
    findings.extend(objects.into_iter().flat_map(|object| object.warnings));
    findings
}

/// The document with the fix in it; `None`: it is advice for a person.
fn apply(document: &Value, finding: &Finding) -> Option<Value> {
    let path = quoted(&finding.cause)?;
    let mut mended = document.clone();
    let (parent, last) = match path.rfind(['.', '[']) {
        Some(at) => (&path[..at], &path[at..]),
        None => ("", path),
    };
    let parent = find(&mut mended, parent)?;
    let last = last.trim_start_matches(['.', '[']).trim_end_matches(']');
    let fix = finding.fix.as_str();
    let is_removal = fix == "remove it" || fix.starts_with("remove it:") || fix.starts_with("remove it;");
    if is_removal || (fix.starts_with("remove `") && quoted(fix) == Some(path)) {
        match parent {
            Value::Object(fields) => drop(fields.remove(last)?),
            Value::Array(items) => drop(items.remove(last.parse().ok()?)),
            _ => return None,
        }
        return Some(mended);
    }
    if let (true, Value::Object(fields)) = (finding.code == Code::UnknownField, &mut *parent) {
        let value = fields.remove(last)?;
        let near = quoted(fix.strip_prefix("did you mean ")?)?;
        // With both there, one of them has to go, which only a person can tell.
        return fields.insert(near.to_owned(), value).is_none().then_some(mended);
    }
    let target = match parent {
        Value::Object(fields) => fields.get_mut(last)?,
        Value::Array(items) => items.get_mut(last.parse::<usize>().ok()?)?,
        _ => return None,
    };
    if fix == "put it in quotes" {
        *target = Value::String(target.to_string());
    } else if fix.ends_with("without quotes") {
        *target = serde_json::from_str(target.as_str()?).ok()?;
    } else if fix.starts_with("write `") || fix.starts_with("did you mean `") {
        *target = Value::String(quoted(fix)?.to_owned());
    } else {
        return None;
    }
    Some(mended)
}

/// The first text in backticks, without the kind of the node before a colon.
fn quoted(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('`')?;
    Some(rest.split_once('`')?.0)
}

fn find<'a>(document: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).try_fold(document, |value, part| {
        match part.strip_suffix(']') {
            Some(index) => value.get_mut(index.parse::<usize>().ok()?),
            None => value.get_mut(part),
        }
    })
}
