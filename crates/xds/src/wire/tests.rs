#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod any;
mod observed;

use super::{Any, Combined, Encoded, decode, encode};
use crate::TYPE_URL;
use crate::proto::leno::mesh::v1 as p;
use crate::proto::{DeltaDiscoveryResponse, Resource as WireResource};
use bytes::Bytes;
use model::service::{Endpoint, EndpointProfile, EndpointSlice, EndpointState, Reach, SLICE_ENDPOINTS_MAX};
use model::{Hostname, Locality, Resource, ResourceKey, SpiffeId};
use proptest::prelude::*;
use prost::Message;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read(resource in any::resource()) {
        let encoded = encode(&ResourceKey::Names, &resource);
        prop_assert_eq!(decode(&sent(&encoded)), Ok(resource.clone()));
        prop_assert_eq!(decode(&encoded.any), Ok(resource), "within the process");
        prop_assert_eq!(&sent(&encoded), &encoded.any);
    }

    #[test]
    fn noise_never_panics(kind in 0..12_usize, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let kinds = ["Names", "TrustBundle", "Service", "EndpointSlice", "RouteRule", "Address", "Inbound",
            "Policy", "Gateway", "Exports", "RemoteCluster", "MeshSettings"];
        let type_url = format!("type.googleapis.com/leno.mesh.v1.{}", kinds[kind]);
        let _ = decode(&Any::Received { type_url, value: bytes.into() });
    }

    #[test]
    fn damaged_resources_never_panic(resource in any::resource(), at in any::<prop::sample::Index>(), bits in 1..=255_u8) {
        let encoded = encode(&ResourceKey::Names, &resource);
        let mut value = encoded.any.value().to_vec();
        if !value.is_empty() {
            let at = at.index(value.len());
            value[at] ^= bits;
        }
        let _ = decode(&Any::Received { type_url: encoded.any.type_url().into(), value: value.into() });
    }
}

/// What arrives over a network.
fn sent(encoded: &Encoded) -> Any {
    let bytes = encoded.any.encode_to_vec();
    assert_eq!(bytes.len(), encoded.any.encoded_len());
    Any::decode(&*bytes).unwrap()
}

fn any_of(kind: &str, message: &impl Message) -> Any {
    Any::Received {
        type_url: format!("type.googleapis.com/leno.mesh.v1.{kind}"),
        value: message.encode_to_vec().into(),
    }
}

/// The error names the field.
fn refused(kind: &str, message: &impl Message, field: &str) {
    let error = decode(&any_of(kind, message)).unwrap_err();
    assert_eq!(error.field, field, "{error}");
}

fn origin() -> Option<p::Origin> {
    Some(p::Origin { kind: "AuthorizationPolicy".into(), ..p::Origin::default() })
}

#[test]
fn unknown_values_refuse_the_resource_and_name_the_field() {
    refused("Policy", &p::Policy { origin: origin(), action: 9, ..p::Policy::default() }, "action");
    refused("Policy", &p::Policy { origin: origin(), ..p::Policy::default() }, "action");
    refused("Policy", &p::Policy { action: 1, ..p::Policy::default() }, "origin");
    let when = |condition| p::Policy {
        origin: origin(),
        action: 1,
        rules: vec![p::Rule::default(), p::Rule { when: vec![condition], ..p::Rule::default() }],
        ..p::Policy::default()
    };
    refused("Policy", &when(p::Condition { kind: 77, ..p::Condition::default() }), "rules[1].when[0].kind");
    let value = p::Condition { kind: 2, values: vec![p::Glob::default()], ..p::Condition::default() };
    refused("Policy", &when(value), "rules[1].when[0].values[0].match");
    let cidr = p::Cidr { address: Bytes::from_static(&[10, 0, 0, 0]), prefix: 33 };
    let source = p::Source { ip_blocks: vec![cidr], ..p::Source::default() };
    let policy = p::Policy {
        origin: origin(),
        action: 2,
        rules: vec![p::Rule { from: vec![source], ..p::Rule::default() }],
        ..p::Policy::default()
    };
    refused("Policy", &policy, "rules[0].from[0].ip_blocks[0].prefix");
}

#[test]
fn other_nonsense_is_refused_too() {
    let port = p::ServicePort { port: 70_000, protocol: 1, ..p::ServicePort::default() };
    let service = |ports| p::Service { host: "a.b".into(), ports, ..p::Service::default() };
    refused("Service", &service(vec![port]), "ports[0].port");
    refused("Service", &p::Service::default(), "host");
    refused("RouteRule", &p::RouteRule::default(), "parent");
    refused("EndpointSlice", &p::EndpointSlice { count: 49, ..p::EndpointSlice::default() }, "count");
    refused("EndpointSlice", &p::EndpointSlice { count: 1, ..p::EndpointSlice::default() }, "count");
    refused("TrustBundle", &p::TrustBundle { trust_domain: "A/b".into(), roots: vec![] }, "trust_domain");
    let path = Some(p::PathNormalization { normalization: 2, escaped_slashes: 1 });
    let settings = |path, http| p::MeshSettings { path, http, ..Default::default() };
    refused("MeshSettings", &settings(None, None), "path");
    refused("MeshSettings", &settings(path, None), "http");
    let unknown = Some(p::PathNormalization { normalization: 5, escaped_slashes: 1 });
    refused("MeshSettings", &settings(unknown, Some(Default::default())), "path.normalization");
    let never = p::HttpConnectionManager { idle_timeout: Some(p::Duration::default()), ..Default::default() };
    refused("MeshSettings", &settings(path, Some(never)), "http.idle_timeout");
    let http = p::HttpConnectionManager {
        idle_timeout: Some(p::Duration { seconds: 1, nanos: 0 }),
        stream_idle_timeout: Some(p::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    let foreign = "2001:db8::".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for ipv6_prefix in [vec![0xfd; 4], vec![0xfd; 16], foreign.to_vec()] {
        let settings =
            p::MeshSettings { ipv6_prefix: ipv6_prefix.into(), ..settings(path, Some(http.clone())) };
        refused("MeshSettings", &settings, "ipv6_prefix");
    }
    let mtls = |mode, ports| Some(p::InboundMtls { mode, ports });
    let inbound = |mtls| p::Inbound { mtls, ..p::Inbound::default() };
    refused("Inbound", &inbound(mtls(0, vec![])), "mtls.mode");
    refused("Inbound", &inbound(mtls(4, vec![])), "mtls.mode");
    let twice = vec![p::PortMtls { port: 80, mode: 1 }, p::PortMtls { port: 80, mode: 3 }];
    refused("Inbound", &inbound(mtls(2, twice)), "mtls.ports");
    refuse_probes();
    refused("Nothing", &p::Names::default(), "type_url");
}

/// A proxy probes its own host alone, whatever it is told, and never without a pause.
fn refuse_probes() {
    let seconds = |seconds| Some(p::Duration { seconds, nanos: 0 });
    let good = p::ReadinessProbe {
        action: Some(p::readiness_probe::Action::TcpSocket(p::TcpSocketProbe {
            port: 80,
            host: Bytes::from_static(&[127, 0, 0, 1]),
        })),
        initial_delay: seconds(0),
        timeout: seconds(1),
        period: seconds(1),
        success_threshold: 1,
        failure_threshold: 1,
    };
    let inbound = |probe| p::Inbound { probe: Some(probe), ..p::Inbound::default() };
    assert!(decode(&any_of("Inbound", &inbound(good.clone()))).is_ok());
    let at = |host: &'static [u8], port| {
        let host = Bytes::from_static(host);
        let action = p::readiness_probe::Action::TcpSocket(p::TcpSocketProbe { port, host });
        inbound(p::ReadinessProbe { action: Some(action), ..good.clone() })
    };
    refused("Inbound", &at(&[169, 254, 169, 254], 80), "probe.host");
    refused("Inbound", &at(&[], 0), "probe.port");
    refused("Inbound", &inbound(p::ReadinessProbe { action: None, ..good.clone() }), "probe.action");
    refused("Inbound", &inbound(p::ReadinessProbe { period: seconds(0), ..good.clone() }), "probe.period");
    refused("Inbound", &inbound(p::ReadinessProbe { timeout: None, ..good.clone() }), "probe.timeout");
    let never = p::ReadinessProbe { success_threshold: 0, ..good.clone() };
    refused("Inbound", &inbound(never), "probe.success_threshold");
    let exec = p::readiness_probe::Action::Exec(p::ExecProbe::default());
    refused("Inbound", &inbound(p::ReadinessProbe { action: Some(exec), ..good }), "probe.command");
}

/// Proxies that do not know modes yet get nothing new as long as nothing but the default is asked for.
#[test]
fn a_workload_of_which_nobody_says_a_mode_is_strict() {
    let resource = decode(&any_of("Inbound", &p::Inbound::default())).unwrap();
    let Resource::Inbound(inbound) = &resource else { panic!("{resource:?}") };
    assert_eq!(inbound.mtls.at(80), model::mtls::MtlsMode::Strict);
    let key = ResourceKey::Inbound("".into(), "".into());
    let sent = encode(&key, &resource).any.value().to_vec();
    assert_eq!(p::Inbound::decode(&*sent).unwrap(), p::Inbound::default());
}

#[test]
fn an_unknown_field_refuses_the_resource() {
    let resource = Resource::Address(Ipv4Addr::new(240, 0, 0, 1), Hostname::parse("a.b").unwrap());
    let encoded = encode(&ResourceKey::Names, &resource);
    let mut value = encoded.any.value().to_vec();
    // Field 15, varint 1: what a newer control plane might add.
    value.extend([15 << 3, 1]);
    let error =
        decode(&Any::Received { type_url: encoded.any.type_url().into(), value: value.into() }).unwrap_err();
    assert!(error.what.contains("unknown fields"), "{error}");
}

/// A full slice as a registry makes it: three zones, some draining, uids of 16 hex digits.
fn full_slice(uid: impl Fn(usize) -> String) -> EndpointSlice {
    let endpoint = |i: usize| Endpoint {
        uid: uid(i).into(),
        address: IpAddr::V4(Ipv4Addr::new(10, 244, 3, i as u8)),
        port: 0,
        profile: Arc::new(EndpointProfile {
            reach: Reach::Native,
            cluster: "west".into(),
            locality: Locality {
                region: "eu-west".into(),
                zone: format!("eu-west-1{}", ["a", "b", "c"][i % 3]).into(),
            },
            identities: vec![SpiffeId::parse("spiffe://leno.demo/ns/checkout/sa/payments").unwrap()],
            gateway_identity: None,
            plaintext_ports: Vec::new(),
        }),
        weight: 1,
        state: if i == 7 { EndpointState::Draining } else { EndpointState::Ready },
    };
    EndpointSlice {
        host: Hostname::parse("payments.checkout.svc.cluster.local").unwrap(),
        index: 12,
        endpoints: (0..SLICE_ENDPOINTS_MAX).map(endpoint).collect(),
    }
}

#[test]
fn one_change_in_a_full_slice_is_a_message_below_1_kb() {
    let slice = full_slice(|i| format!("{:016x}", (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let key = ResourceKey::Slice(slice.host.clone(), slice.index);
    let encoded = encode(&key, &Resource::Slice(slice.clone()));
    assert_eq!(decode(&sent(&encoded)), Ok(Resource::Slice(slice)));
    let response = DeltaDiscoveryResponse {
        resources: vec![WireResource {
            name: encoded.name.to_string(),
            version: encoded.version.to_string(),
            resource: Some(encoded.any.clone()),
            aliases: vec![],
        }],
        type_url: TYPE_URL.into(),
        nonce: "12345".into(),
        applied: Combined::default().to_bytes(),
        ..DeltaDiscoveryResponse::default()
    };
    assert!(response.encoded_len() <= 1024, "{} bytes", response.encoded_len());
}

#[test]
fn uids_of_any_shape_come_back() {
    let shapes: [fn(usize) -> String; 6] = [
        |i| format!("west/shop/{i:016x}"),
        |i| format!("pod-{i}"),
        |i| format!("{i:04X}"),
        |i| format!("ä-{i:02x}"),
        |_| String::new(),
        |i| format!("{i:03x}"),
    ];
    for uid in shapes {
        let slice = full_slice(uid);
        let encoded = encode(&ResourceKey::Names, &Resource::Slice(slice.clone()));
        assert_eq!(decode(&sent(&encoded)), Ok(Resource::Slice(slice)));
    }
}

#[test]
fn the_combined_hash_knows_no_order_and_forgets_what_is_taken_out() {
    let (mut one, mut other) = (Combined::default(), Combined::default());
    one.toggle("a", "1");
    one.toggle("b", "2");
    other.toggle("b", "2");
    other.toggle("x", "9");
    other.toggle("a", "1");
    other.toggle("x", "9");
    assert_eq!(one, other);
    assert_ne!(one, Combined::default());
    assert_eq!(Combined::from_bytes(&one.to_bytes()), Some(one));
    assert_eq!(one.to_string().len(), 64);
}

/// A proxy that does not know them would read a source without them, which matches everybody.
#[test]
fn remote_blocks_are_marked_so_that_who_does_not_know_them_refuses_the_policy() {
    use model::authz::{Action, Cidr, Policy, Rule, Source};
    let object = model::ObjectRef::new("AuthorizationPolicy", "a", "p");
    let remote =
        |text: &str| Source { remote_ip_blocks: vec![Cidr::parse(text).unwrap()], ..Source::default() };
    let rules = vec![Rule::default(), Rule { from: vec![remote("10.0.0.0/8")], ..Rule::default() }];
    let origin = model::Origin { object, file: "".into(), line: 1 };
    let policy = Policy { origin, action: Action::Allow, rules, dry_run: false };
    let sent = super::policy::policy_out(&policy);
    assert!(sent.rules[0].when.is_empty());
    assert_eq!(sent.rules[1].when[0].kind, p::ConditionKind::RemoteIpBlocks as i32);
    assert_eq!(super::policy::policy_in(sent).unwrap(), policy);
}
