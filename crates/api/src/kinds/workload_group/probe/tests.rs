#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::loopback;
use crate::kinds::Spec;
use crate::parse::documents;

/// What is said of a group with this probe: line, cause and fix; empty: nothing, and it is in force.
fn said_of(probe: &str) -> String {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {{name: w}}\nspec:\n  template: {{}}\n  \
         probe: {probe}\n"
    );
    let (objects, mut findings) = documents(&text, "f.yaml");
    findings.extend(objects.iter().flat_map(|object| object.warnings.clone()));
    assert_eq!(objects.len(), usize::from(findings.is_empty()), "{probe}");
    let said =
        findings.iter().map(|f| format!("{} {}: {}; {}", f.code.as_str(), f.origin.line, f.cause, f.fix));
    said.collect::<Vec<_>>().join("\n")
}

#[test]
fn probes_of_istio_are_read_without_a_word() {
    for probe in [
        "{httpGet: {port: 8080}}",
        "{httpGet: {path: /foo/bar?x=1, host: 127.0.0.1, port: 3100, scheme: HTTPS, httpHeaders: [{name: Lit-Header, \
         value: Im-The-Best}]}, initialDelaySeconds: 5, timeoutSeconds: 3, periodSeconds: 4, successThreshold: 3, \
         failureThreshold: 3}",
        "{httpGet: {path: healthz, host: localhost, port: 80, scheme: https}, periodSeconds: 0}",
        "{tcpSocket: {port: 5432, host: '::1'}}",
        "{exec: {command: [/usr/bin/true, '']}}",
        "{grpc: {port: 9090, service: shop.Cart}}",
    ] {
        assert_eq!(said_of(probe), "");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (probe, expected) in [
        ("{}", "LENO0004 6: `spec.probe` says nothing to probe"),
        ("{periodSeconds: 3}", "LENO0004 6: `spec.probe` says nothing to probe"),
        (
            "{tcpSocket: {port: 1}, exec: {command: [a]}, httpGet: {port: 1}}",
            "LENO0004 6: `spec.probe` has tcpSocket, exec beside `httpGet`, and takes one; keep one of them",
        ),
        ("\n    httpGet:\n      port: 0", "LENO0004 8: `spec.probe.httpGet.port` cannot be 0"),
        ("\n    httpGet: {}", "LENO0005 7: `spec.probe.httpGet.port` is missing"),
        (
            "{httpGet: {port: 1, host: db.internal}}",
            "LENO0004 6: `spec.probe.httpGet.host` cannot be `db.internal`: only `localhost`",
        ),
        (
            "{tcpSocket: {port: 1, host: 169.254.169.254}}",
            "LENO0004 6: `spec.probe.tcpSocket.host` cannot be `169.254.169.254`",
        ),
        ("{httpGet: {port: 1, path: 'a b'}}", "LENO0004 6: `spec.probe.httpGet.path` is no path"),
        ("{httpGet: {port: 1, path: 'http://x/'}}", "LENO0004 6: `spec.probe.httpGet.path` is no path"),
        ("{httpGet: {port: 1, scheme: ftp}}", "LENO0004 6: `spec.probe.httpGet.scheme` cannot be `ftp`"),
        (
            "{httpGet: {port: 1, httpHeaders: [{name: 'a b', value: c}]}}",
            "LENO0004 6: `spec.probe.httpGet.httpHeaders[0].name` cannot be `a b`",
        ),
        (
            "{httpGet: {port: 1, httpHeaders: [{name: Host, value: a}, {name: Content-Length, value: '9'}]}}",
            "LENO0004 6: `spec.probe.httpGet.httpHeaders[1].name` cannot be `Content-Length`, which is for proxies",
        ),
        (
            "{httpGet: {port: 1, httpHeaders: [{name: a, value: \"secret\\n\"}]}}",
            "LENO0004 6: `spec.probe.httpGet.httpHeaders[0].value` has other characters",
        ),
        ("{exec: {command: []}}", "LENO0004 6: `spec.probe.exec.command` names no program"),
        ("{grpc: {port: 1, service: ä}}", "LENO0004 6: `spec.probe.grpc.service` has other characters"),
        (
            "{grpc: {port: 1}, periodSeconds: 86401}",
            "LENO0004 6: `spec.probe.periodSeconds` is more than a day",
        ),
        (
            "{grpc: {port: 1}, failureThreshold: 1001}",
            "LENO0004 6: `spec.probe.failureThreshold` is more than",
        ),
    ] {
        let said = said_of(probe);
        assert!(said.starts_with(expected), "{probe}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert!(!said_of("{grpc: {port: 1}, timeoutSeconds: -1}").is_empty());
}

#[test]
fn a_secret_in_a_header_is_not_for_debug() {
    let text = "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: w}\nspec: {template: {}, \
                probe: {httpGet: {port: 1, httpHeaders: [{name: Authorization, value: Basic c2VjcmV0}]}}}\n";
    let (mut objects, _) = documents(text, "f.yaml");
    let Spec::WorkloadGroup(spec) = objects.pop().unwrap().spec else { unreachable!() };
    let shown = format!("{spec:?}");
    assert!(shown.contains("Authorization") && !shown.contains("c2VjcmV0"), "{shown}");
}

#[test]
fn only_this_host_is_probed() {
    for (host, expected) in [
        ("localhost", Some("127.0.0.1")),
        ("127.0.0.9", Some("127.0.0.9")),
        ("::1", Some("::1")),
        ("10.0.0.1", None),
        ("localhost.", None),
        ("", None),
    ] {
        assert_eq!(loopback(host).map(|ip| ip.to_string()).as_deref(), expected, "{host}");
    }
}
