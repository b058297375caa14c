#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

pub(crate) mod istio_fields;

use super::*;

#[test]
fn a_kind_is_found_by_every_name() {
    for name in ["HTTPRoute", "httproutes", "httproute", "hr", "HTTPROUTES"] {
        assert_eq!(by_any(name).map(|k| k.kind), Some("HTTPRoute"), "{name}");
    }
    assert_eq!(by_plural("", "services").map(|k| k.kind), Some("Service"));
    assert_eq!(by_plural("leno.dev", "services"), None);
}

#[test]
fn core_kinds_have_a_version_without_a_group() {
    assert_eq!(by_kind("Service").map(ObjectKind::api_version), Some("v1".to_owned()));
    assert_eq!(by_kind("Backend").map(ObjectKind::api_version), Some("leno.dev/v1alpha1".to_owned()));
}

#[test]
fn no_two_kinds_have_a_name_in_common() {
    let names = |kind: &ObjectKind| {
        let all = [kind.kind, kind.plural, kind.singular].into_iter().chain(kind.short.iter().copied());
        all.map(str::to_lowercase).collect::<Vec<_>>()
    };
    for (index, kind) in ALL.iter().enumerate() {
        let others = &ALL[..index];
        let is_alike = |other: &&ObjectKind| names(other).iter().any(|name| names(kind).contains(name));
        // Only kinds of one name share what is made of it, and the group tells them apart.
        for other in others.iter().filter(is_alike) {
            assert_eq!((kind.written(), kind.plural), (other.written(), other.plural));
            assert!(kind.group != other.group && kind.kind == format!("{}.{}", kind.written(), kind.group));
            assert!(kind.short.iter().all(|short| !other.short.contains(short)), "{}", kind.kind);
        }
        assert!(others.iter().all(|other| other.kind != kind.kind), "{}", kind.kind);
        assert!(!REPLACED.iter().any(|(group, name, _)| (*group, *name) == (kind.group, kind.written())));
    }
}

#[test]
fn kinds_of_one_name_are_told_apart_by_their_group() {
    let check =
        |text: &str, expected: &str| assert_eq!(by_any(text).map(|k| k.kind), Some(expected), "{text}");
    let istio = "Gateway.networking.istio.io";
    check("gateways", "Gateway");
    check("gateways.gateway.networking.k8s.io", "Gateway");
    for text in [istio, "gateways.networking.istio.io", "gateway.networking.istio.io", "gw"] {
        check(text, istio);
    }
    assert_eq!(by_any("gateways.example.com"), None);
    assert_eq!(by_written("networking.istio.io", "Gateway").map(|k| k.kind), Some(istio));
    assert_eq!(by_written("gateway.networking.k8s.io", "Gateway").map(|k| k.kind), Some("Gateway"));
    assert_eq!(by_kind(istio).map(ObjectKind::api_version), Some("networking.istio.io/v1".to_owned()));
}
