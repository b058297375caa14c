#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! What the nouns promise about their text forms.

use crate::address::{MeshPrefix, is_mesh_only, mesh_only_candidate};
use crate::authz::{Cidr, Glob};
use crate::route::Parent;
use crate::{Code, Hostname, Reason, ResourceKey, SpiffeId, Subscription, TrustDomain};
use std::collections::HashSet;

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

#[test]
fn host_names_are_canonical_or_refused() {
    assert_eq!(host("Web-API.Mesh.Internal.").as_str(), "web-api.mesh.internal");
    for bad in ["", ".", "a..b", "a b", "a/b", "-%", &"x".repeat(64), &"a.".repeat(128)] {
        assert_eq!(Hostname::parse(bad), None, "{bad:?}");
    }
    assert!(host("a.mesh.internal").is_within("mesh.internal"));
    assert!(host("mesh.internal").is_within("mesh.internal"));
    assert!(!host("amesh.internal").is_within("mesh.internal"));
}

#[test]
fn identities_have_one_shape() {
    let text = "spiffe://leno.demo/ns/default/sa/web-api";
    let id = SpiffeId::parse(text).unwrap();
    assert_eq!(id.to_string(), text);
    assert_eq!(id.principal(), "leno.demo/ns/default/sa/web-api");
    for bad in [
        "spiffe://leno.demo/ns/default/sa/",
        "spiffe://leno.demo/ns/default/sa/a/b",
        "spiffe://leno.demo/sa/a/ns/default",
        "spiffe://Leno.demo/ns/default/sa/a",
        "spiffe:///ns/default/sa/a",
        "https://leno.demo/ns/default/sa/a",
        "spiffe://leno.demo/ns/../sa/a",
        "spiffe://leno.demo/ns/default/sa/a?x",
    ] {
        assert_eq!(SpiffeId::parse(bad), None, "{bad}");
    }
    assert_eq!(TrustDomain::parse("a/b"), None);
}

#[test]
fn subscriptions_and_keys_survive_their_text_form() {
    let subscriptions = [
        Subscription::Mesh,
        Subscription::Host(host("a.mesh.internal")),
        Subscription::Address([240, 1, 2, 3].into()),
        Subscription::Inbound { namespace: "default".into(), group: "web".into() },
        Subscription::Gateway { namespace: "default".into(), name: "edge".into() },
        Subscription::Exports,
        Subscription::Clusters,
    ];
    for subscription in subscriptions {
        assert_eq!(Subscription::parse(&subscription.to_string()), Some(subscription));
    }
    let service = Parent::Service { host: host("a.mesh.internal"), port: 80 };
    let gateway = Parent::Gateway { namespace: "default".into(), name: "edge".into(), listener: "".into() };
    let rule = |parent| ResourceKey::Rule {
        parent,
        route: crate::ObjectRef::new("HTTPRoute", "default", "r"),
        index: 3,
    };
    let traffic_policy = |kind: &str| ResourceKey::TrafficPolicy {
        host: host("a.mesh"),
        kind: kind.into(),
        namespace: "n".into(),
        name: "p".into(),
    };
    let keys = [
        ResourceKey::Names,
        ResourceKey::Settings,
        traffic_policy("TrafficPolicy"),
        traffic_policy("BackendTLSPolicy"),
        ResourceKey::Trust("leno.demo".into()),
        ResourceKey::Service(host("a.mesh.internal")),
        ResourceKey::Slice(host("a.mesh.internal"), 7),
        rule(service),
        rule(gateway.clone()),
        ResourceKey::L4Rule {
            parent: gateway,
            route: crate::ObjectRef::new("TCPRoute", "default", "r"),
            index: 2,
        },
        ResourceKey::Address([240, 1, 2, 3].into()),
        ResourceKey::Inbound("default".into(), "web".into()),
        ResourceKey::Policy("default".into(), "deny".into()),
        ResourceKey::GatewayPolicy {
            gateway: ("default".into(), "edge".into()),
            namespace: "leno-system".into(),
            name: "deny".into(),
        },
        ResourceKey::Gateway("default".into(), "edge".into()),
        ResourceKey::KeyPair("default".into(), "edge-cert".into()),
        ResourceKey::Exports,
        ResourceKey::Cluster("west".into()),
    ];
    for key in keys {
        assert_eq!(ResourceKey::parse(&key.to_string()), Some(key));
    }
    for bad in ["", "mesh/x", "host/", "host/a b", "address/x", "inbound/a", "what/ever"] {
        assert_eq!(Subscription::parse(bad), None, "{bad}");
    }
}

#[test]
fn mesh_only_addresses_stay_in_their_range_and_spread() {
    let mut seen = HashSet::new();
    for n in 0..10_000 {
        let address = mesh_only_candidate(&format!("service-{n}.mesh.internal"), 0);
        assert!(is_mesh_only(address.into()), "{address}");
        assert!(!matches!(address.octets()[3], 0 | 255), "{address}");
        seen.insert(address);
    }
    assert!(seen.len() > 9_950, "{} distinct of 10,000", seen.len());
    assert_ne!(mesh_only_candidate("a", 0), mesh_only_candidate("a", 1));
    assert!(!is_mesh_only([255, 0, 0, 1].into()));
    assert!(!is_mesh_only([10, 0, 0, 1].into()));
}

#[test]
fn blocks_and_globs() {
    let inside = |block: &str, ip: &str| Cidr::parse(block).unwrap().contains(ip.parse().unwrap());
    assert!(inside("10.0.0.0/8", "10.9.9.9"));
    assert!(!inside("10.0.0.0/8", "11.0.0.0"));
    assert!(inside("0.0.0.0/0", "1.2.3.4"));
    assert!(!inside("0.0.0.0/0", "::1"));
    assert!(inside("::/0", "::1"));
    assert!(inside("10.0.0.1", "10.0.0.1"));
    assert_eq!(Cidr::parse("10.0.0.0/33"), None);
    assert_eq!(Glob::parse("a*"), Glob::Prefix("a".into()));
    assert_eq!(Glob::parse("*a"), Glob::Suffix("a".into()));
    assert_eq!(Glob::parse("*"), Glob::Present);
}

#[test]
fn tables_have_unique_codes() {
    let reasons: HashSet<_> = Reason::ALL.iter().map(|r| r.row().code).collect();
    assert_eq!(reasons.len(), Reason::ALL.len());
    let codes: HashSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
    assert_eq!(codes.len(), Code::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(Reason::by_code(reason.row().code), Some(*reason));
        assert!(reason.row().advice.ends_with('.'));
    }
}

#[test]
fn a_uid_tells_its_workload_group() {
    let uid = crate::id::uid("west", "shop", "purchase-history", "0a1b2c");
    assert_eq!(
        (uid.as_str(), crate::id::group_of(&uid)),
        ("west/shop/purchase-history-0a1b2c", Some("purchase-history"))
    );
    for other in ["", "west/shop", "west/shop/bare", "west/shop/-1", "west/shop/a/b-1"] {
        assert_eq!(crate::id::group_of(other), None, "{other}");
    }
}

#[test]
fn a_mesh_only_address_of_ipv6_is_made_of_that_of_ipv4() {
    let prefix = MeshPrefix::parse("fd12:3456:789a::/48").unwrap();
    for n in 0..2000 {
        let v4 = mesh_only_candidate(&format!("service-{n}.mesh.internal"), 0);
        assert_eq!(prefix.embedded(prefix.address(v4)), Some(v4));
        assert_eq!(MeshPrefix::DEFAULT.embedded(prefix.address(v4)), None);
    }
    assert_eq!(
        prefix.address([240, 0, 0, 1].into()),
        "fd12:3456:789a::f000:1".parse::<std::net::Ipv6Addr>().unwrap()
    );
    assert_eq!(prefix.embedded("fd12:3456:789a::10.0.0.1".parse().unwrap()), None);
    assert_eq!(MeshPrefix::parse(&MeshPrefix::DEFAULT.to_string()), Some(MeshPrefix::DEFAULT));
    for none in ["fd12:3456:789a::", "fd12::/47", "fc00::/48", "fd12:3456:789a:1::/48", "fd12::1/48", "x/48"]
    {
        assert_eq!(MeshPrefix::parse(none), None, "{none}");
    }
}
