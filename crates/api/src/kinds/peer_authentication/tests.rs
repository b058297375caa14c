#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::{MutualTlsMode, PeerAuthenticationSpec};
use crate::kinds::Spec;
use crate::parse::{documents, documents_fail_closed};

/// The policy with this `spec` in namespace `n`, and what is said of it, each without its object and file.
fn read(spec: &str) -> (Option<PeerAuthenticationSpec>, String) {
    read_in("n", spec)
}

fn read_in(namespace: &str, spec: &str) -> (Option<PeerAuthenticationSpec>, String) {
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {{name: p, namespace: {namespace}}}\n{spec}\n"
    );
    let (mut objects, mut findings) = documents(&text, "f");
    let object = objects.pop();
    findings.extend(object.iter().flat_map(|object| object.warnings.clone()));
    let said =
        findings.iter().map(|f| format!("{} {}: {}; {}", f.code.as_str(), f.origin.line, f.cause, f.fix));
    let said = said.collect::<Vec<_>>().join("\n");
    let spec = object.map(|object| match object.spec {
        Spec::PeerAuthentication(spec) => spec,
        other => unreachable!("{other:?}"),
    });
    (spec.map(|spec| *spec), said)
}

#[test]
fn what_holds_anyway_is_read_without_a_word() {
    for spec in [
        "",
        "spec: {}",
        "spec: {mtls: {}}",
        "spec: {mtls: {mode: UNSET}}",
        "spec: {mtls: {mode: STRICT}}",
        "spec: {selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: STRICT}, '9090': {}}}",
    ] {
        let (found, said) = read(spec);
        assert!(found.is_some() && said.is_empty(), "{spec}: {said}");
    }
    let (found, _) = read("spec: {selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: STRICT}}}");
    let ports = found.unwrap().port_level_mtls.unwrap();
    assert_eq!(ports["8080"].mode, Some(MutualTlsMode::Strict));
    assert_eq!(read_in("leno-system", "spec: {mtls: {mode: STRICT}}").1, "");
}

#[test]
fn a_mode_that_asks_for_less_than_strict_is_told_to_have_no_effect() {
    let why = "which has no effect yet: the mesh stays STRICT and refuses plaintext callers; write `STRICT`, and let \
               callers without a proxy come through a Gateway";
    let check = |spec: &str, expected: &str| {
        let (found, said) = read(spec);
        assert!(found.is_some(), "{spec}: it is used, for what it says besides");
        assert_eq!(said, format!("LENO0109 {expected}, {why}"));
    };
    check("spec:\n  mtls:\n    mode: PERMISSIVE", "6: `spec.mtls.mode` is PERMISSIVE");
    check("spec: {mtls: {mode: DISABLE}}", "4: `spec.mtls.mode` is DISABLE");
    check(
        "spec:\n  selector: {matchLabels: {app: a}}\n  mtls: {mode: STRICT}\n  portLevelMtls:\n    8080:\n      mode: DISABLE",
        "9: `spec.portLevelMtls.8080.mode` is DISABLE",
    );
}

#[test]
fn what_istio_refuses_is_refused() {
    let check = |spec: &str, expected: &str| {
        let (found, said) = read(spec);
        assert!(found.is_none(), "{spec}");
        assert!(said.contains(expected), "{spec}: {said}");
    };
    check("spec: {mtls: {mode: STRIC}}", "`spec.mtls.mode` cannot be `STRIC`; did you mean `STRICT`?");
    check("spec: {mtsl: {}}", "unknown field `spec.mtsl`; did you mean `mtls`?");
    check("spec: {portLevelMtls: {80: {mode: STRICT}}}", "`spec.portLevelMtls` stands without a selector");
    check("spec: {selector: {}, portLevelMtls: {80: {}}}", "`spec.portLevelMtls` stands without a selector");
    check("spec: {selector: {matchLabels: {a: b}}, portLevelMtls: {}}", "`spec.portLevelMtls` is empty");
    for port in ["0", "65536", "http"] {
        let spec = format!("spec: {{selector: {{matchLabels: {{a: b}}}}, portLevelMtls: {{{port}: {{}}}}}}");
        check(&spec, &format!("`spec.portLevelMtls.{port}` is no port; write a port from 1 to 65535"));
    }
    check("spec: {selector: {matchLabels: {a: 'b*'}}}", "which is no label value");
}

#[test]
fn a_selector_in_the_root_namespace_has_no_effect() {
    let (found, said) = read_in("leno-system", "spec: {selector: {matchLabels: {app: a}}}");
    assert!(found.is_some() && said.contains("`spec.selector` has no effect in leno-system"), "{said}");
}

#[test]
fn nothing_stands_for_one_that_is_refused() {
    let text =
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {x: 1}\n";
    let (objects, findings) = documents_fail_closed(text, "f");
    assert!(objects.is_empty() && findings.len() == 1, "plaintext is refused without it: {findings:?}");
}
