//! Servers of Istio's `Gateway` in TLS.

use super::*;
use model::listener::{Gateway, ListenerProtocol};
use model::listener_tls::{CaBundle, CertificateRef, ClientMode, ListenerTls, TlsMode, TlsVersion};
use model::route::Parent;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const KEY: &str = "-----BEGIN PRIVATE KEY-----";

fn gateway(name: &str, servers: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{selector: {{istio: ingress}}, servers: [{servers}]}}\n"
    )
}

/// The proxies of the gateways, in a namespace of their own.
const INGRESS: &str = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: ingress, namespace: edge}\nspec: {metadata: {labels: {istio: ingress}}, template: {serviceAccount: edge}}\n";

fn https(tls: &str) -> String {
    format!("{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [a.example.com], tls: {{{tls}}}}}")
}

fn secret(name: &str, data: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: edge}}\ntype: Opaque\nstringData: {{{data}}}\n"
    )
}

fn pair(name: &str) -> String {
    secret(name, &format!("tls.crt: '{CERTIFICATE} {name}', tls.key: '{KEY} {name}'"))
}

fn opened(world: &World) -> Gateway {
    match resource(&ResourceKey::Gateway("edge".into(), "ingress".into()), world) {
        Some(Resource::Gateway(gateway)) => gateway,
        other => panic!("{other:?}"),
    }
}

fn only(world: &World) -> ListenerTls {
    let gateway = opened(world);
    assert_eq!(gateway.listeners.len(), 1);
    (**gateway.listeners[0].tls.as_ref().unwrap()).clone()
}

fn edge(documents: &str) -> World {
    shop(&format!("{INGRESS}{documents}"))
}

fn named(name: &str) -> CertificateRef {
    CertificateRef::Secret { namespace: "edge".into(), name: name.into() }
}

#[test]
fn credentials_are_secrets_of_the_proxies_namespace_under_either_names() {
    for (data, certificate) in [
        (format!("tls.crt: '{CERTIFICATE} k', tls.key: '{KEY}'"), format!("{CERTIFICATE} k")),
        (format!("cert: '{CERTIFICATE} g', key: '{KEY}'"), format!("{CERTIFICATE} g")),
        // As in Istio its own names count first.
        (
            format!("cert: '{CERTIFICATE} g', key: '{KEY}', tls.crt: '{CERTIFICATE} k', tls.key: '{KEY}'"),
            format!("{CERTIFICATE} g"),
        ),
    ] {
        let servers = https("mode: SIMPLE, credentialName: c");
        let mut world = edge(&format!("{}{}", gateway("g", &servers), secret("c", &data)));
        assert_eq!(world.findings(), []);
        let tls = only(&world);
        assert_eq!(
            (tls.mode, &tls.certificates[..], &tls.client),
            (TlsMode::Terminate, &[named("c")][..], &None)
        );
        let key = ResourceKey::KeyPair("edge".into(), "c".into());
        let subscription = Subscription::Gateway { namespace: "edge".into(), name: "ingress".into() };
        assert!(members(&subscription, &world).contains(&key));
        let Some(Resource::KeyPair(pair)) = resource(&key, &world) else { panic!("no pair") };
        assert_eq!(*pair.certificate, *certificate);
    }
    // One of the gateway's own namespace is another one.
    let elsewhere = pair("c").replace("namespace: edge", "namespace: shop");
    let mut world = edge(&format!("{}{elsewhere}", gateway("g", &https("mode: SIMPLE, credentialName: c"))));
    assert_eq!(
        said(&mut world, Code::ReferenceNotFound),
        ["Gateway.networking.istio.io/g.shop: credential `c` leads nowhere: Secret/c.edge does not exist"]
    );
    assert_eq!(only(&world).certificates, [named("c")], "it may come");
    let broken =
        edge(&format!("{}{}", gateway("g", &https("mode: SIMPLE, credentialName: c")), secret("c", "a: b")))
            .findings();
    assert!(broken[0].cause.contains("has no certificate and key in PEM"), "{broken:?}");
}

#[test]
fn every_mode_asks_of_callers_what_it_asks_in_istio() {
    let documents = [
        pair("c"),
        pair("d"),
        secret("c-cacert", &format!("cacert: '{CERTIFICATE} apart'")),
        secret("own", &format!("cert: '{CERTIFICATE}', key: '{KEY}', cacert: '{CERTIFICATE} own'")),
        secret("other", &format!("ca.crt: '{CERTIFICATE} other'")),
    ]
    .concat();
    let inline = |text: &str| CaBundle::Inline(format!("{CERTIFICATE} {text}").as_str().into());
    for (says, mode, authorities) in [
        ("mode: MUTUAL, credentialName: c", ClientMode::Required, vec![inline("apart")]),
        ("mode: MUTUAL, credentialName: own", ClientMode::Required, vec![inline("own")]),
        (
            "mode: MUTUAL, credentialName: c, caCertCredentialName: other",
            ClientMode::Required,
            vec![inline("other")],
        ),
        (
            "mode: OPTIONAL_MUTUAL, credentialNames: [d, c], caCertificates: /ca",
            ClientMode::Optional,
            vec![CaBundle::File("/ca".into())],
        ),
        (
            "mode: OPTIONAL_MUTUAL, credentialName: c, insecureSkipVerify: true",
            ClientMode::InsecureFallback,
            vec![inline("apart")],
        ),
    ] {
        let mut world = edge(&format!("{}{documents}", gateway("g", &https(says))));
        assert_eq!(world.findings(), [], "{says}");
        let client = only(&world).client.unwrap();
        assert_eq!((client.mode, client.authorities), (mode, authorities), "{says}");
    }
    // Without an authority nobody is let in.
    let mut world = edge(&format!("{}{documents}", gateway("g", &https("mode: MUTUAL, credentialName: d"))));
    assert!(world.findings()[0].cause.contains("Secret/d.edge has no authorities"), "{:?}", world.findings());
    let client = only(&world).client.unwrap();
    assert_eq!((client.mode, client.authorities.len()), (ClientMode::Required, 0));
}

#[test]
fn files_versions_suites_and_names_are_taken_over() {
    let hash = "ab".repeat(32);
    let says = format!(
        "mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /ca, minProtocolVersion: TLSV1_2, \
         maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384], subjectAltNames: [known], \
         verifyCertificateHash: ['{hash}'], verifyCertificateSpki: ['{}=']",
        "A".repeat(43)
    );
    let mut world = edge(&gateway("g", &https(&says)));
    assert_eq!(world.findings(), []);
    let tls = only(&world);
    assert_eq!(tls.certificates, [CertificateRef::Files { certificate: "/c".into(), key: "/k".into() }]);
    assert_eq!((tls.versions.min, tls.versions.max), (TlsVersion::V1_2, TlsVersion::V1_2));
    let suites: Vec<&str> = tls.cipher_suites.iter().map(|name| &**name).collect();
    // Those of TLS 1.3 are no matter of Istio's list.
    assert_eq!((suites.len(), suites[3]), (4, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"));
    let client = tls.client.unwrap();
    assert_eq!((&*client.subject_alt_names[0], &*client.certificate_hashes[0]), ("known", &*hash));
    assert_eq!((client.public_key_hashes.len(), client.authorities), (1, vec![CaBundle::File("/ca".into())]));
}

#[test]
fn what_is_passed_on_goes_by_server_name_and_what_ends_here_by_port() {
    let tls = |mode: &str, host: &str| {
        format!("{{port: {{number: 443, name: tls, protocol: TLS}}, hosts: [{host}], tls: {{mode: {mode}}}}}")
    };
    let servers =
        [tls("PASSTHROUGH", "p.example.com"), tls("SIMPLE, credentialName: c", "e.example.com")].join(", ");
    let to = |port: u16| format!("route: [{{destination: {{host: reviews, port: {{number: {port}}}}}}}]");
    let virtual_service = route(
        "r",
        "shop",
        &format!(
            "{{hosts: [p.example.com, e.example.com], gateways: [g], tls: [{{match: [{{sniHosts: [p.example.com, e.example.com]}}], {}}}], tcp: [{{{}}}]}}",
            to(9080),
            to(9080)
        ),
    );
    let mut world = edge(&format!("{}{}{virtual_service}", gateway("g", &servers), pair("c")));
    assert_eq!(world.findings(), []);
    let gateway = opened(&world);
    let listeners: Vec<_> =
        gateway.listeners.iter().map(|one| (one.protocol, one.tls.as_ref().unwrap().mode)).collect();
    assert_eq!(
        listeners,
        [(ListenerProtocol::Tls, TlsMode::Passthrough), (ListenerProtocol::Tls, TlsMode::Terminate)]
    );
    let subscription = Subscription::Gateway { namespace: "edge".into(), name: "ingress".into() };
    let rules = members(&subscription, &world).into_iter().filter_map(|key| match resource(&key, &world) {
        Some(Resource::L4Rule(rule)) => Some(rule),
        _ => None,
    });
    let rules: Vec<_> = rules
        .map(|rule| match &rule.parent {
            Parent::Gateway { listener, .. } => (listener.to_string(), !rule.matches.is_empty()),
            other => panic!("{other:?}"),
        })
        .collect();
    // The first by server name, the second whatever is said in it.
    assert_eq!(rules, [("shop.g.0.0".to_owned(), true), ("shop.g.1.0".to_owned(), false)]);
}

#[test]
fn a_server_that_says_something_else_of_tls_is_not_opened_and_told() {
    let (one, other) = (https("mode: SIMPLE, credentialName: c"), https("mode: SIMPLE, credentialName: d"));
    let plain = "{port: {number: 443, name: http, protocol: HTTP}, hosts: [b.example.com]}";
    let documents = [
        gateway("a", &one),
        gateway("b", &one),
        gateway("c", &other),
        gateway("d", plain),
        pair("c"),
        pair("d"),
    ]
    .concat();
    let mut world = edge(&documents);
    assert_eq!(only(&world).certificates, [named("c")]);
    let said = said(&mut world, Code::ListenerConflict);
    assert_eq!(
        said,
        [
            "Gateway.networking.istio.io/c.shop: the server on port 443 is not opened for a.example.com: another one there says something else of TLS",
            "Gateway.networking.istio.io/d.shop: the server on port 443 is not opened for b.example.com: another one there says something else of TLS",
        ]
    );
}

#[test]
fn a_redirect_is_for_plaintext_alone() {
    let plain = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com], tls: {httpsRedirect: true}}";
    let servers =
        [plain.to_owned(), https("mode: SIMPLE, credentialName: c, httpsRedirect: true")].join(", ");
    let virtual_service = route(
        "r",
        "shop",
        "{hosts: [a.example.com], gateways: [g], http: [{route: [{destination: {host: reviews}}]}]}",
    );
    let world = edge(&format!("{}{}{virtual_service}", gateway("g", &servers), pair("c")));
    let subscription = Subscription::Gateway { namespace: "edge".into(), name: "ingress".into() };
    let backends: Vec<_> = members(&subscription, &world)
        .into_iter()
        .filter_map(|key| match resource(&key, &world) {
            Some(Resource::Rule(rule)) => Some(rule.backends.len()),
            _ => None,
        })
        .collect();
    assert_eq!(backends, [0, 1], "plaintext is redirected, TLS is served");
}
