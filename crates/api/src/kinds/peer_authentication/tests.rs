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
fn every_mode_is_read_without_a_word() {
    use MutualTlsMode::{Disable, Permissive, Strict, Unset};
    for (text, mode) in
        [("UNSET", Unset), ("STRICT", Strict), ("PERMISSIVE", Permissive), ("DISABLE", Disable)]
    {
        let (found, said) = read(&format!(
            "spec: {{selector: {{matchLabels: {{app: a}}}}, mtls: {{mode: {text}}}, portLevelMtls: {{8080: {{mode: {text}}}}}}}"
        ));
        let found = found.unwrap();
        assert_eq!(found.mtls.unwrap().mode, Some(mode));
        assert_eq!(found.port_level_mtls.unwrap()["8080"].mode, Some(mode));
        assert_eq!(said, "", "{text}");
    }
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

/// Its absence could let plaintext in that it was written to keep out.
#[test]
fn strict_stands_for_one_that_is_refused() {
    let check = |spec: &str, selected: Option<&str>| {
        let text = format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p}}\nspec: {spec}\n"
        );
        let (mut objects, findings) = documents_fail_closed(&text, "f");
        assert!(!findings.is_empty(), "{spec}");
        let Some(Spec::PeerAuthentication(found)) = objects.pop().map(|object| object.spec) else {
            unreachable!("{spec}: nothing stands for it")
        };
        assert_eq!(found.mtls.and_then(|mtls| mtls.mode), Some(MutualTlsMode::Strict), "{spec}");
        assert_eq!(found.port_level_mtls, None, "{spec}");
        let app = found.selector.and_then(|selector| selector.match_labels.get("app").cloned());
        assert_eq!(app.as_deref(), selected, "{spec}");
    };
    check("{x: 1}", None);
    check("{mtls: {mode: DISABEL}}", None);
    check("{selector: {matchLabels: {app: a}}, portLevelMtls: {x: {mode: DISABLE}}}", Some("a"));
    // Not to be read: it may mean anybody.
    check("{selector: {matchLabel: {app: a}}, mtls: {mode: DISABLE}}", None);
    check("{selector: [", None);
}
