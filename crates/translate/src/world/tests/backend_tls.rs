//! TLS to endpoints outside the mesh: what policies say of it arrives at the host, and what cannot be meant closes it.

use super::*;
use decide::attach;
use model::Code;
use model::backend_tls::{Authorities, BackendTls};

const BACKEND: &str = "apiVersion: leno.dev/v1alpha1\nkind: Backend\nmetadata: {name: b}\nspec: {type: Static, addresses: [{host: 192.0.2.1, port: 443}]}\n---\n";
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ca}\ndata:\n  ca.crt: |\n    -----BEGIN CERTIFICATE-----\n    AA==\n    -----END CERTIFICATE-----\n---\n";

fn policy(name: &str, created: &str, validation: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: {name}, creationTimestamp: '{created}'}}\nspec: {{targetRefs: [{{group: leno.dev, kind: Backend, name: b}}], validation: {validation}}}\n---\n"
    )
}

const OLD: &str = "2026-01-01T00:00:00Z";
const NEW: &str = "2026-01-02T00:00:00Z";
const BY_MAP: &str = "{hostname: a.example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}";
const BY_SYSTEM: &str = "{hostname: b.example.com, wellKnownCACertificates: System}";

/// TLS of the backend, and the codes of what is found.
fn tls(documents: &str) -> (Option<BackendTls>, Vec<Code>) {
    let mut world = world(documents);
    let host = model::Hostname::parse("b.default.backend.leno").unwrap();
    let attached: Vec<_> = members(&Subscription::Host(host), &world)
        .iter()
        .filter_map(|key| match resource(key, &world) {
            Some(Resource::TrafficPolicy(attached)) => Some(attached),
            _ => None,
        })
        .collect();
    let found = world.findings().into_iter().map(|finding| finding.code).collect();
    (attach::merge(&attached).tls_at(443).map(|field| field.value.clone()), found)
}

#[test]
fn authorities_come_from_a_config_map_or_from_the_host() {
    let (found, findings) = tls(&[BACKEND, MAP, &policy("p", OLD, BY_MAP)].concat());
    assert_eq!(findings, []);
    let Some(BackendTls::Originate(found)) = found else { panic!("{found:?}") };
    assert_eq!(found.server_name.as_deref(), Some("a.example.com"));
    assert!(matches!(&found.authorities, Authorities::Pem(text) if text.contains("AA==")), "{found:?}");
    let (found, findings) = tls(&[BACKEND, &policy("p", OLD, BY_SYSTEM)].concat());
    assert_eq!(findings, []);
    assert!(matches!(found, Some(BackendTls::Originate(tls)) if tls.authorities == Authorities::System));
}

#[test]
fn authorities_that_are_not_there_close_the_backend() {
    let closed = |documents: &str, code| {
        let (found, findings) = tls(documents);
        assert!(matches!(found, Some(BackendTls::Unusable(_))), "{found:?}");
        assert_eq!(findings, [code]);
    };
    closed(&[BACKEND, &policy("p", OLD, BY_MAP)].concat(), Code::ReferenceNotFound);
    let empty = MAP.replace("ca.crt", "other");
    closed(&[BACKEND, &empty, &policy("p", OLD, BY_MAP)].concat(), Code::ReferenceNotFound);
}

#[test]
fn of_two_the_older_counts_and_the_other_is_told() {
    let (found, findings) =
        tls(&[BACKEND, MAP, &policy("a", NEW, BY_SYSTEM), &policy("b", OLD, BY_MAP)].concat());
    assert_eq!(findings, [Code::Outvoted]);
    assert!(matches!(found, Some(BackendTls::Originate(tls)) if tls.authorities != Authorities::System));
}

#[test]
fn a_target_that_is_not_there_is_told() {
    let (found, findings) = tls(&policy("p", OLD, BY_SYSTEM));
    assert_eq!((found, findings), (None, vec![Code::ReferenceNotFound]));
}

#[test]
fn a_traffic_policy_says_it_in_istios_words() {
    let check = |text: &str, is_it: fn(&BackendTls) -> bool| {
        let policy = format!(
            "apiVersion: leno.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec: {{targetRefs: [{{group: leno.dev, kind: Backend, name: b}}], backend: {{tls: {text}}}}}\n"
        );
        let (found, findings) = tls(&[BACKEND, &policy].concat());
        assert!(findings.is_empty() && found.as_ref().is_some_and(is_it), "{text}: {found:?} {findings:?}");
    };
    check("{mode: DISABLE}", |tls| *tls == BackendTls::Disable);
    check(
        "{mode: SIMPLE, sni: a.b}",
        |tls| matches!(tls, BackendTls::Originate(tls) if tls.server_name.as_deref() == Some("a.b")),
    );
    check(
        "{mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /ca}",
        |tls| matches!(tls, BackendTls::Originate(tls) if tls.client_certificate.is_some() && tls.authorities == Authorities::File("/ca".into())),
    );
    check(
        "{mode: SIMPLE, insecureSkipVerify: true}",
        |tls| matches!(tls, BackendTls::Originate(tls) if tls.authorities == Authorities::Unchecked),
    );
}

#[test]
fn a_refused_rule_closes_the_hosts_that_it_means() {
    let entry = |host: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: '{host}', namespace: a}}\nspec: {{hosts: [{host}], ports: [{{number: 80, name: http}}], resolution: DNS}}\n---\n"
        )
    };
    let good = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: good, namespace: a}\nspec: {host: a.example.com, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}\n---\n";
    let closed = |refused: &str| {
        let mut world = world(&[entry("a.example.com"), entry("b.example.com"), good.into()].concat());
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: refused, namespace: a}}\nspec: {refused}\n"
        );
        let (objects, findings) = api::parse::documents_fail_closed(&text, "f");
        assert_eq!((objects.len(), findings.is_empty()), (1, false));
        let touched = world.apply(WorldChange::Object(Arc::new(objects[0].clone())));
        let hosts = ["a.example.com", "b.example.com"].map(|host| {
            let host = Hostname::parse(host).unwrap();
            let keys = members(&Subscription::Host(host.clone()), &world);
            let is_closed = keys.iter().any(|key| {
                matches!(resource(key, &world), Some(Resource::TrafficPolicy(attached))
                    if matches!(attached.policy.tls, Some(BackendTls::Unusable(_))))
            });
            assert!(!is_closed || touched.contains(&Subscription::Host(host)), "{refused}: {touched:?}");
            is_closed
        });
        (hosts[0], hosts[1])
    };
    assert_eq!(closed("{host: b.example.com, x: 1, trafficPolicy: {tls: {mode: SIMPLE}}}"), (false, true));
    // It is not known which host is meant: a rule of its own is more specific.
    assert_eq!(closed("{hots: b.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}"), (false, true));
    assert_eq!(closed("{host: '*.example.com', x: 1, trafficPolicy: {tls: {mode: SIMPLE}}}"), (false, true));
}
