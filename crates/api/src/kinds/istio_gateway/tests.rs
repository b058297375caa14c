#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::parse::documents;

/// What is said of an Istio Gateway with this server.
fn check(server: &str, expected: &str) {
    let text = format!(
        "apiVersion: networking.istio.io/v1beta1\nkind: Gateway\nmetadata: {{name: g, namespace: n}}\nspec: {{selector: {{istio: ingressgateway}}, servers: [{{{server}}}]}}\n"
    );
    let (objects, findings) = documents(&text, "f");
    let warnings = objects.iter().flat_map(|object| object.warnings.iter());
    let found = findings
        .iter()
        .chain(warnings)
        .map(|f| format!("{}: {}", f.code.as_str(), f.cause))
        .collect::<Vec<_>>()
        .join("\n");
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
fn what_has_no_effect_in_tls_is_told() {
    for (says, expected) in [
        (
            "mode: PASSTHROUGH, credentialName: c",
            "`spec.servers[0].tls` names certificates, which have no effect",
        ),
        ("credentialName: c", "`spec.servers[0].tls` names certificates, which have no effect"),
        (
            "mode: SIMPLE, credentialName: c, subjectAltNames: [a]",
            "`spec.servers[0].tls.subjectAltNames` is about client",
        ),
        (
            "mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_0",
            "`spec.servers[0].tls.minProtocolVersion` is below",
        ),
        (
            "mode: SIMPLE, credentialName: c, cipherSuites: [AES128-SHA, ECDHE-RSA-AES128-GCM-SHA256]",
            "`spec.servers[0].tls.cipherSuites` has `AES128-SHA`",
        ),
        (
            "mode: MUTUAL, credentialName: c, insecureSkipVerify: true",
            "`spec.servers[0].tls.insecureSkipVerify` has no effect",
        ),
    ] {
        check(&format!("{TLS}, tls: {{{says}}}"), &format!("LENO0109: {expected}"));
    }
    check(&format!("{TLS}, tls: {{mode: OPTIONAL_MUTUAL, credentialName: c, insecureSkipVerify: true}}"), "");
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
    check(&format!("{TLS}, tls: {{mode: SIMPLE, credentialName: c, caCrl: /crl}}"), "LENO0103");
    for (says, expected) in [
        ("maxProtocolVersion: TLSV1_1", "LENO0004: `spec.servers[0].tls.maxProtocolVersion` leaves nothing"),
        (
            "minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2",
            "LENO0004: `spec.servers[0].tls.minProtocolVersion` is above",
        ),
        ("cipherSuites: [RC4-MD5]", "LENO0004: `spec.servers[0].tls.cipherSuites` names none"),
        (
            "verifyCertificateHash: [ab]",
            "LENO0004: `spec.servers[0].tls.verifyCertificateHash` cannot be `ab`",
        ),
        (
            "verifyCertificateSpki: [ab]",
            "LENO0004: `spec.servers[0].tls.verifyCertificateSpki` cannot be `ab`",
        ),
        ("caCertificates: ca.crt", "LENO0004: `spec.servers[0].tls` has `ca.crt`, which is no absolute path"),
        ("caCertCredentialName: a/b", "LENO0004: `spec.servers[0].tls.credentialName`"),
    ] {
        check(&format!("{TLS}, tls: {{mode: MUTUAL, credentialName: c, {says}}}"), expected);
    }
    check(&format!("{HTTP}, bind: a"), "LENO0004: `spec.servers[0].bind` cannot be `a`");
}
