#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::PolicyAction;
use crate::kinds::Spec;
use crate::object::Object;
use crate::parse::{DOCUMENT_BYTES_MAX, FILE_BYTES_MAX, FINDINGS_MAX, documents, documents_fail_closed};
use model::Code;

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: n}}\nspec: {spec}\n"
    )
}

#[test]
fn a_policy_that_is_understood_in_part_is_kept() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec:\n  rules:\n    - when:\n        - key: request.auth.claims[iss]\n          values: [a]\n";
    let (objects, findings) = documents(text, "f.yaml");
    assert_eq!(objects.len(), 1);
    assert_eq!(
        findings.iter().map(|f| (f.code, f.origin.line)).collect::<Vec<_>>(),
        [(Code::Unsupported, 7)]
    );
}

#[test]
fn a_refused_policy_denies_where_nothing_better_is_known() {
    let closed = |spec: &str| {
        let text = policy(spec);
        assert!(documents(&text, "f").0.is_empty(), "{spec}");
        let (objects, findings) = documents_fail_closed(&text, "f");
        assert!(!findings.is_empty());
        let [Object { spec: Spec::AuthorizationPolicy(found), .. }] = &objects[..] else {
            panic!("{spec}: {objects:?}")
        };
        assert_eq!((found.action, found.rules.len()), (Some(PolicyAction::Deny), 1));
        let labels = found.selector.as_ref().map(|s| format!("{:?}", s.match_labels));
        let targets: Vec<_> = found.target_refs.iter().map(|target| target.name.as_str()).collect();
        format!("{} {}", labels.unwrap_or_default(), targets.join(" ")).trim().to_owned()
    };
    assert_eq!(
        closed("{selector: {matchLabels: {app: x}}, action: DENY, rules: [{fron: []}]}"),
        "{\"app\": \"x\"}"
    );
    assert_eq!(closed("{targetRefs: [{kind: Gateway, name: g}], ruls: []}"), "g");
    // Whom it selects is not known: the whole namespace.
    assert_eq!(closed("{selector: {matchLabel: {app: x}}}"), "");
    assert_eq!(closed("{targetRefs: [{kind: Service, name: s}]}"), "");
    assert_eq!(closed("{selector: {matchLabels: {app: x}}, targetRef: {kind: Gateway, name: g}}"), "");
    // Others of that name are not ours, and what can be read stays as it is.
    let other = policy("{}").replace("security.istio.io/v1", "policy.linkerd.io/v1alpha1");
    assert!(documents_fail_closed(&other, "f").0.is_empty());
    let good = policy("{action: ALLOW}");
    assert_eq!(documents_fail_closed(&good, "f"), documents(&good, "f"));
}

#[test]
fn a_policy_in_what_is_no_yaml_denies_to_its_namespace() {
    let closed = |text: &str| {
        assert!(documents(text, "f").0.is_empty(), "{text}");
        let (objects, findings) = documents_fail_closed(text, "f");
        assert!(!findings.is_empty(), "{text}");
        let told = objects.iter().map(|object| {
            let Spec::AuthorizationPolicy(spec) = &object.spec else { panic!("{object:?}") };
            assert!(spec.selector.is_none() && spec.action == Some(PolicyAction::Deny));
            format!("{}:{}", object.object, object.origin.line)
        });
        told.collect::<Vec<_>>().join(" ")
    };
    let block =
        policy("{action: DENY, rules: [}").replace("{name: p, namespace: n}", "\n  name: p\n  namespace: n");
    assert_eq!(closed(&block), "AuthorizationPolicy/p.n:1");
    assert_eq!(closed(&policy("{action: DENY, rules: [}")), "AuthorizationPolicy/p.n:1");
    // Once more for JSON, and behind another broken document.
    let json =
        r#"{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "q"},"#;
    assert_eq!(closed(&format!("a: [\n---\n{json}")), "AuthorizationPolicy/q.default:3");
    // Neither name nor namespace, and those of others do not count.
    let bare = "spec: {rules: [{from: [{source: {namespaces: [x]}}]}\nkind: AuthorizationPolicy\napiVersion: security.istio.io/v1";
    assert_eq!(closed(bare), "AuthorizationPolicy/unreadable.default:1");
    // What only speaks of policies is none.
    for other in [
        "# kind: AuthorizationPolicy of security.istio.io\na: [",
        "kind: AuthorizationPolicy\napiVersion: policy.linkerd.io/v1alpha1\na: [",
        "kind: ConfigMap\nsecurity.istio.io: AuthorizationPolicy\na: [",
    ] {
        assert_eq!(closed(other), "", "{other}");
    }
    // Also in what is too large to be looked at.
    let large = format!("{block}#{}", "x".repeat(DOCUMENT_BYTES_MAX));
    assert_eq!(closed(&large), "AuthorizationPolicy/p.n:1");
    let file = format!("{block}#{}", "x".repeat(FILE_BYTES_MAX));
    assert_eq!(closed(&file), "AuthorizationPolicy/p.n:1");
    let late = format!("{}{block}", "a: [\n---\n".repeat(FINDINGS_MAX));
    assert_eq!(closed(&late), format!("AuthorizationPolicy/p.n:{}", 2 * FINDINGS_MAX + 1));
}

#[test]
fn conditions_that_could_never_match_are_found() {
    let bad = |spec: &str| {
        let (objects, findings) = documents(&policy(spec), "f");
        assert_eq!(objects.len(), 1, "kept, to fail closed: {spec}");
        assert_eq!(
            findings.iter().map(|f| f.code).collect::<Vec<_>>(),
            [Code::BadValue],
            "{spec} {findings:?}"
        );
    };
    let good = |spec: &str| assert!(documents(&policy(spec), "f").1.is_empty(), "{spec}");
    let from = |field: &str, value: &str| {
        format!("{{action: DENY, rules: [{{from: [{{source: {{{field}: ['{value}']}}}}]}}]}}")
    };
    let to = |field: &str, value: &str| {
        format!("{{action: DENY, rules: [{{to: [{{operation: {{{field}: ['{value}']}}}}]}}]}}")
    };
    let when = |key: &str, value: &str| {
        format!("{{action: DENY, rules: [{{when: [{{key: {key}, values: ['{value}']}}]}}]}}")
    };
    for value in ["spiffe://d/ns/n/sa/a", "d/ns/*/sa/a", "client", "*a*", "d/ns/n/sa/"] {
        bad(&from("principals", value));
        bad(&from("notPrincipals", value));
        bad(&when("source.principal", value));
    }
    for value in ["d/ns/n/sa/a", "*/sa/a", "cluster.local/ns/n/*", "*"] {
        good(&from("principals", value));
    }
    for (field, value) in [("namespaces", "a/b"), ("namespaces", "a*b"), ("ipBlocks", "::ffff:10.0.0.1")] {
        bad(&from(field, value));
    }
    for (field, value) in [
        ("methods", "get"),
        ("paths", "admin/*"),
        ("paths", "/a?b"),
        ("paths", "//a"),
        ("paths", "/a/../b"),
        ("paths", "/a/*/b"),
        ("hosts", "a*b"),
        ("ports", "+80"),
        ("ports", "080"),
    ] {
        bad(&to(field, value));
    }
    for (field, value) in
        [("methods", "GET"), ("paths", "/a/*"), ("paths", "*.png"), ("ports", "80"), ("hosts", "*.a.com")]
    {
        good(&to(field, value));
    }
    bad(&when("destination.port", "080"));
    good(&when("destination.port", "80"));
}
