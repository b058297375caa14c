#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::parse::documents;

/// What is said of an Istio Gateway with this server.
fn check(server: &str, expected: &str) {
    let text = format!(
        "apiVersion: networking.istio.io/v1beta1\nkind: Gateway\nmetadata: {{name: g, namespace: n}}\nspec: {{selector: {{istio: ingressgateway}}, servers: [{{{server}}}]}}\n"
    );
    let (objects, findings) = documents(&text, "f");
    let found =
        findings.iter().map(|f| format!("{}: {}", f.code.as_str(), f.cause)).collect::<Vec<_>>().join("\n");
    assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{server}: {found}");
    assert!(objects.iter().all(|object| &*object.object.kind == "Gateway.networking.istio.io"));
}

const HTTP: &str = "port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']";
const TLS: &str = "port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*']";

#[test]
fn servers_are_read_as_istio_writes_them() {
    check(HTTP, "");
    check(&format!("{HTTP}, tls: {{httpsRedirect: true}}"), "");
    check(&format!("{TLS}, tls: {{mode: SIMPLE, credentialName: c}}"), "");
    check(&format!("{TLS}, tls: {{mode: PASSTHROUGH}}"), "");
    check("port: {number: 80, name: a, protocol: grpc}, hosts: [n/a.com, ./b.com, '*/c.com', '~/d.com']", "");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    check(
        "port: {number: 80, name: a, protocol: SCTP}, hosts: ['*']",
        "LENO0004: `spec.servers[0].port.protocol` cannot be `SCTP`",
    );
    check(
        "port: {number: 15001, name: a, protocol: HTTP}, hosts: ['*']",
        "LENO0004: `spec.servers[0].port.number` is one of",
    );
    check(
        "port: {number: 80, name: a, protocol: HTTP}, hosts: []",
        "LENO0005: `spec.servers[0].hosts` is empty",
    );
    check(
        "port: {number: 80, name: a, protocol: HTTP}, hosts: [a/b/c]",
        "LENO0004: `spec.servers[0].hosts[0]` cannot be",
    );
    check(
        "port: {number: 80, protocol: HTTP}, hosts: ['*']",
        "LENO0005: `spec.servers[0].port.name` is missing",
    );
    check(
        &format!("{HTTP}, tls: {{mode: SIMPLE, credentialName: c}}"),
        "LENO0004: `spec.servers[0].tls` does not belong",
    );
    check(TLS, "LENO0005: `spec.servers[0].tls` is missing");
    check(&format!("{TLS}, tls: {{mode: SIMPLE}}"), "LENO0005: `spec.servers[0].tls` names no certificate");
    check(
        &format!("{TLS}, tls: {{mode: AUTO_PASSTHROUGH}}"),
        "LENO0103: `spec.servers[0].tls.mode`: mode AUTO_PASSTHROUGH",
    );
    check(
        &format!("{TLS}, tls: {{mode: ISTIO_MUTUAL}}"),
        "LENO0103: `spec.servers[0].tls.mode`: mode ISTIO_MUTUAL",
    );
    check(
        &format!("{TLS}, tls: {{mode: SIMPLE, credentialName: c, credentialNames: [d]}}"),
        "LENO0004: `spec.servers[0].tls` sets more than one",
    );
    check(&format!("{HTTP}, bind: a"), "LENO0004: `spec.servers[0].bind` cannot be `a`");
}
