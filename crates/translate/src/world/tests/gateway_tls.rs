//! What listeners in TLS become, and who gets a key.

use super::world;
use crate::resources::{ProxyKey, members, resource, visible};
use crate::world::World;
use model::listener_tls::{CaBundle, CertificateRef, ClientMode, ListenerTls, TlsMode, TlsVersion};
use model::{Code, Resource, ResourceKey, Subscription};
use std::sync::Arc;

fn keys(subscription: &Subscription, world: &World) -> Vec<String> {
    members(subscription, world).iter().map(ToString::to_string).collect()
}

fn find(key: &str, world: &World) -> Option<Resource> {
    resource(&ResourceKey::parse(key).unwrap(), world)
}

/// What the one listener of the gateway does.
fn listener(world: &World) -> Arc<ListenerTls> {
    let Some(Resource::Gateway(gateway)) = find("gateway/default/edge", world) else { panic!("kind") };
    gateway.listeners[0].tls.clone().unwrap()
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----";

/// A Secret `NAME` of namespace `default`.
fn secret(name: &str, rest: &str) -> String {
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n{rest}\n")
}

fn pair(name: &str) -> String {
    let data = format!("stringData: {{tls.crt: '{CERTIFICATE}', tls.key: '{KEY}'}}");
    secret(name, &format!("type: kubernetes.io/tls\n{data}"))
}

/// A gateway with one listener in HTTPS.
fn gateway(tls: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\n\
         spec:\n  gatewayClassName: leno\n  listeners: [{{name: https, port: 443, protocol: HTTPS, tls: {{{tls}}}}}]\n{rest}"
    )
}

fn edge() -> Subscription {
    Subscription::Gateway { namespace: "default".into(), name: "edge".into() }
}

#[test]
fn a_secret_goes_to_the_gateway_that_names_it_and_to_nobody_else() {
    let named = gateway("certificateRefs: [{name: used}]", "");
    let world = world(&format!("{named}{}{}", pair("used"), pair("other")));
    assert_eq!(keys(&edge(), &world), ["gateway/default/edge", "key-pair/default/used"]);
    let Some(Resource::KeyPair(pair)) = find("key-pair/default/used", &world) else { panic!("kind") };
    assert_eq!((&*pair.certificate, pair.key.expose()), (CERTIFICATE, KEY));
    assert_eq!(find("key-pair/default/other", &world), None);
    // Only the proxies of the gateway have that subscription, and nobody can ask for a key by itself.
    let proxy = |group: &str| ProxyKey { namespace: "default".into(), group: group.into() };
    assert!(visible(&proxy("edge"), &world).contains(&edge()));
    assert!(!visible(&proxy("shop"), &world).contains(&edge()));
    assert_eq!(Subscription::parse("key-pair/default/used"), None);
}

#[test]
fn options_files_and_client_certificates_are_taken_over() {
    let options = "leno.dev/certificate-file: /c, leno.dev/private-key-file: /k, leno.dev/min-tls-version: '1.3', \
                   leno.dev/cipher-suites: 'TLS_AES_128_GCM_SHA256, ECDHE-RSA-AES128-GCM-SHA256'";
    let frontend = "  tls: {frontend: {default: {validation: {caCertificateRefs: [{kind: Secret, group: '', name: ca}], \
                    mode: AllowInsecureFallback}}}}\n";
    let ca = secret("ca", &format!("stringData: {{ca.crt: '{CERTIFICATE}'}}"));
    let mut world = world(&format!("{}{ca}", gateway(&format!("options: {{{options}}}"), frontend)));
    assert_eq!(world.findings(), []);
    let tls = listener(&world);
    let files = CertificateRef::Files { certificate: "/c".into(), key: "/k".into() };
    assert_eq!((tls.mode, &tls.certificates[..]), (TlsMode::Terminate, &[files][..]));
    assert_eq!((tls.versions.min, tls.versions.max), (TlsVersion::V1_3, TlsVersion::V1_3));
    let suites: Vec<&str> = tls.cipher_suites.iter().map(|suite| &**suite).collect();
    assert_eq!(suites, ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
    let client = tls.client.clone().unwrap();
    assert_eq!(client.mode, ClientMode::InsecureFallback);
    assert_eq!(client.authorities, [CaBundle::Inline(CERTIFICATE.into())]);
}

#[test]
fn a_reference_that_leads_nowhere_closes_and_is_told() {
    let check = |text: &str, code: Code, cause: &str| {
        let mut world = world(text);
        let found = world.findings();
        assert!(found.iter().any(|found| found.code == code && found.cause.contains(cause)), "{found:?}");
        listener(&world)
    };
    let named = |name: &str| gateway(&format!("certificateRefs: [{{name: {name}}}]"), "");
    let missing = check(&named("none"), Code::ReferenceNotFound, "Secret/none.default does not exist");
    // It may come: until then nothing is shown, and nothing is served in plaintext.
    assert_eq!(missing.certificates.len(), 1);
    let opaque = format!("{}{}", named("o"), secret("o", "data: {}"));
    check(&opaque, Code::BadValue, "a Secret of type `Opaque`");
    let garbage = secret("g", "type: kubernetes.io/tls\nstringData: {tls.crt: Hello, tls.key: world}");
    check(&format!("{}{garbage}", named("g")), Code::BadValue, "whose `tls.crt` is not PEM");
    let validation = |reference: &str| {
        let rest = format!(
            "  tls: {{frontend: {{perPort: [{{port: 443, tls: {{validation: {{caCertificateRefs: [{reference}]}}}}}}]}}}}\n"
        );
        format!("{}{}", gateway("certificateRefs: [{name: s}]", &rest), pair("s"))
    };
    let closed = check(&validation("{kind: Secret, name: none}"), Code::ReferenceNotFound, "does not exist");
    let client = closed.client.clone().unwrap();
    assert_eq!((client.mode, client.authorities.len()), (ClientMode::Required, 0), "nobody is let in");
    let map = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca}}\ndata: {{ca.crt: '{CERTIFICATE}'}}\n"
    );
    let by_map = format!("{}{map}", validation("{kind: ConfigMap, group: '', name: ca}"));
    let mut known = world(&by_map);
    assert_eq!(known.findings(), []);
    let authorities = listener(&known).client.clone().unwrap().authorities;
    assert_eq!(authorities, [CaBundle::Inline(CERTIFICATE.into())]);
    check(&validation("{kind: Pod, name: s}"), Code::Unsupported, "holds no authorities");
    check(&validation("{kind: Secret, name: s}"), Code::BadValue, "without certificates in PEM");
}
