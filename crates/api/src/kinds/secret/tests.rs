#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What a Secret gives away: its names, and nothing else.

use super::REDACTED;
use crate::kinds::Spec;
use crate::parse::{documents, holds_secret, value};

const KEY: &str = "LS0tS0VZLS0t"; // ---KEY---
const HEAD: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, annotations: {note: n, \
                    kubectl.kubernetes.io/last-applied-configuration: LS0tS0VZLS0t}}\n";

#[test]
fn a_pair_is_read_and_shown_without_its_content() {
    let text = format!(
        "{HEAD}type: kubernetes.io/tls\ndata: {{tls.crt: LS0t, tls.key: {KEY}}}\nstringData: {{x: y}}\n"
    );
    let (objects, findings) = documents(&text, "f");
    assert_eq!(findings, []);
    let Spec::Secret(secret) = &objects[0].spec else { unreachable!() };
    let texts: Vec<_> = secret.data.iter().map(|(key, text)| (key.as_str(), text.expose())).collect();
    assert_eq!(texts, [("tls.crt", "---"), ("tls.key", "---KEY---"), ("x", "y")]);
    let shown = format!("{:?}", objects[0]);
    assert!(!shown.contains(KEY) && !shown.contains("---KEY---"), "{shown}");
    let json = value(&objects[0]);
    assert_eq!((&json["data"]["tls.key"], &json["type"]), (&REDACTED.into(), &"kubernetes.io/tls".into()));
    assert_eq!(json["metadata"]["annotations"], serde_json::json!({ "note": "n" }));
    assert!(holds_secret(&text) && holds_secret(&format!("a: b\n---\n{text}")));
}

#[test]
fn what_is_wrong_is_told_without_what_it_is() {
    for (rest, expected) in [
        ("type: kubernetes.io/tls\ndata: {tls.key: LS0tS0VZLS0t}", "`data` has no `tls.crt`"),
        ("data: {tls.key: '***SECRET***'}", "`data[tls.key]` is not base64"),
        ("data: '***SECRET***'", "`data` is no mapping"),
        ("stringData: {tls.key: 31415926}", "`stringData.tls.key` is not a string"),
        ("data: {tls.key: [SECRET31415926]}", "not a string"),
        ("data: {tls.key: \"***SECRET***", "the document is no YAML"),
    ] {
        let (objects, findings) = documents(&format!("{HEAD}{rest}\n"), "f");
        assert_eq!(objects.len(), 0, "{rest}");
        let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains(expected)), "{rest}: {told:?}");
        let shown = told.concat();
        assert!(!shown.contains("SECRET") && !shown.contains("31415926"), "{shown}");
    }
}

#[test]
fn secrets_of_other_types_are_not_kept() {
    let text = format!("{HEAD}type: kubernetes.io/dockerconfigjson\ndata: {{.dockerconfigjson: {KEY}}}\n");
    let (objects, findings) = documents(&text, "f");
    assert_eq!(findings, []);
    assert!(matches!(&objects[0].spec, Spec::Secret(secret) if secret.data.is_empty()));
}

#[test]
fn a_file_that_only_names_a_secret_holds_none() {
    let gateway = "kind: Gateway\nspec: {listeners: [{tls: {certificateRefs: [{kind: Secret, name: s}]}}]}\n";
    assert!(!holds_secret(gateway));
    assert!(holds_secret("{\"kind\": \"List\", \"items\": [{\"kind\": \"Secret\"}]}"));
    assert!(holds_secret("kind: Secret\n  broken: ["));
    assert!(!holds_secret("broken: ["));
    assert!(holds_secret("{kind: List, items: [{kind: List, items: [{kind: Secret}]}]}"));
    for spelt in ["kind: \"\\x53ecret\"", "{\"kind\": \"\\u0053ecret\"}", "kind: \"Sec\\\n  ret\""] {
        assert!(holds_secret(spelt), "{spelt}");
    }
    assert!(!holds_secret("kind: ConfigMap\ndata: {pattern: \"a\\\\d\"}"));
}
