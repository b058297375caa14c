#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::kinds::Spec;
use crate::parse::{documents, documents_fail_closed};

fn text(spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: p}}\nspec: {spec}\n"
    )
}

/// What is said of a policy with this target and `validation`.
fn check(target: &str, validation: &str, expected: &str) {
    let text = text(&format!("{{targetRefs: [{target}], validation: {validation}}}"));
    let (objects, findings) = documents(&text, "f");
    let said: Vec<String> = findings.iter().map(|f| format!("{}; {}", f.cause, f.fix)).collect();
    let said = said.join("\n");
    assert_eq!(objects.is_empty(), !expected.is_empty(), "{validation}: {said}");
    assert!(
        if expected.is_empty() { said.is_empty() } else { said.contains(expected) },
        "{validation}: {said}"
    );
}

const SERVICE: &str = "{group: '', kind: Service, name: s}";

#[test]
fn whom_to_believe_and_whom_to_expect() {
    let check = |validation, expected| check(SERVICE, validation, expected);
    check("{hostname: a.example.com, wellKnownCACertificates: System}", "");
    check("{hostname: a.example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: c}]}", "");
    check(
        "{hostname: a.b, wellKnownCACertificates: System, subjectAltNames: [{type: URI, uri: 'spiffe://x/y'}, {type: Hostname, hostname: '*.b'}]}",
        "",
    );
    check("{hostname: a.b}", "`spec.validation` does not say whom to believe");
    check(
        "{hostname: a.b, wellKnownCACertificates: System, caCertificateRefs: [{group: '', kind: ConfigMap, name: c}]}",
        "has both",
    );
    check(
        "{hostname: a.b, wellKnownCACertificates: Mozilla}",
        "`Mozilla` is not supported yet; write `System`",
    );
    check("{hostname: '*.b', wellKnownCACertificates: System}", "`spec.validation.hostname` cannot be `*.b`");
    check("{hostname: 10.0.0.1, wellKnownCACertificates: System}", "cannot be `10.0.0.1`");
    let mixed =
        "{hostname: a.b, wellKnownCACertificates: System, subjectAltNames: [{type: URI, hostname: a}]}";
    check(mixed, "`spec.validation.subjectAltNames[0]` does not say one name");
}

#[test]
fn what_it_can_be_attached_to() {
    let check = |target, expected| {
        check(target, "{hostname: a.example.com, wellKnownCACertificates: System}", expected);
    };
    check("{group: '', kind: Service, name: s, sectionName: https}", "");
    check("{group: leno.dev, kind: Backend, name: s}", "");
    check("{group: networking.istio.io, kind: ServiceEntry, name: s}", "");
    check(
        "{group: leno.dev, kind: Service, name: s}",
        "a target Service of group `leno.dev` is not supported",
    );
}

#[test]
fn one_that_was_refused_closes_its_targets() {
    let refused = text(&format!("{{targetRefs: [{SERVICE}], validation: {{hostname: a.b, wrong: 1}}}}"));
    let (objects, findings) = documents_fail_closed(&refused, "f");
    assert!(!findings.is_empty());
    let Spec::BackendTlsPolicy(spec) = &objects[0].spec else { panic!("{objects:?}") };
    assert!(spec.is_unreadable && spec.target_refs[0].name == "s");
}

#[test]
fn a_config_map_has_texts_and_no_spec() {
    let (objects, findings) =
        documents("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {ca.crt: x}\n", "f");
    assert_eq!(findings, []);
    let Spec::ConfigMap(map) = &objects[0].spec else { panic!("{objects:?}") };
    assert_eq!(map.data.get("ca.crt").map(String::as_str), Some("x"));
    let (objects, findings) =
        documents("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\nspec: {}\n", "f");
    assert!(objects.is_empty() && findings[0].cause.contains("spec"), "{findings:?}");
}
