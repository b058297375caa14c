#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What people type.

use super::{display, kinds, kinds_help, parse, path};
use crate::exit::USAGE;

/// The paths in namespace `n` that the words mean; an error is its exit code.
fn check(words: &str, expected: &[&str]) {
    let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
    let wanted = parse(&words).unwrap();
    let paths: Vec<_> = wanted.iter().map(|w| path(w.kind, Some("n"), w.name.as_deref())).collect();
    assert_eq!(paths, expected);
}

#[test]
fn kinds_have_many_names() {
    let routes = "/apis/gateway.networking.k8s.io/v1/namespaces/n/httproutes";
    for word in ["HTTPRoute", "httproutes", "httproute", "hr", "httproute.gateway.networking.k8s.io"] {
        check(word, &[routes]);
    }
    check("svc/web", &["/api/v1/namespaces/n/services/web"]);
    check("svc a b", &["/api/v1/namespaces/n/services/a", "/api/v1/namespaces/n/services/b"]);
    check("svc/a ns/b", &["/api/v1/namespaces/n/services/a", "/api/v1/namespaces/b"]);
    check("meshsettings", &["/apis/leno.dev/v1alpha1/meshsettings"]);
    let gateways = "/apis/gateway.networking.k8s.io/v1/namespaces/n/gateways";
    check("gateway/a", &[&format!("{gateways}/a")]);
    for word in ["gateways.networking.istio.io", "gateway.networking.istio.io", "gw"] {
        check(word, &["/apis/networking.istio.io/v1/namespaces/n/gateways"]);
    }
}

#[test]
fn nonsense_is_a_usage_error_with_a_hint() {
    for words in [vec![], vec!["httproutez"], vec!["svc/../x"], vec!["svc", "A"], vec!["svc/a", "b"]] {
        let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
        assert_eq!(parse(&words).unwrap_err().code, USAGE, "{words:?}");
    }
    let hint = parse(&["httproutez".to_owned()]).unwrap_err().cause.to_string();
    assert!(hint.contains("did you mean httproute"), "{hint}");
}

#[test]
fn names_are_printed_as_kubectl_does() {
    let of = |word: &str| display(parse(&[word.to_owned()]).unwrap()[0].kind, "x");
    assert_eq!(of("svc"), "service/x");
    assert_eq!(of("hr"), "httproute.gateway.networking.k8s.io/x");
    assert_eq!(of("gw"), "gateway.networking.istio.io/x");
}

#[test]
fn help_has_a_line_for_each_kind() {
    let help = kinds_help();
    assert_eq!(help.lines().count(), 1 + kinds::ALL.len());
    assert!(help.contains("\n  services               svc   A name and ports for"), "{help}");
    assert!(help.contains("\n  gateways.networking.istio.io gw    "), "{help}");
}
