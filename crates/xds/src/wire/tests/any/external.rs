//! What is outside the mesh.

use super::{host, locality, text};
use model::authz::Cidr;
use model::external::{AddressClaim, ExternalService, NameClaim, NamedEndpoint, Resolution};
use model::route::HostMatch;
use model::settings::{Egress, EgressMode};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

fn block() -> impl Strategy<Value = Cidr> {
    any::<IpAddr>().prop_map(|address| Cidr { address, prefix: 24 })
}

fn ports() -> impl Strategy<Value = Vec<u16>> {
    vec(any::<u16>(), 0..3)
}

pub(super) fn service() -> impl Strategy<Value = ExternalService> {
    let resolution = prop_oneof![
        Just(Resolution::Static),
        Just(Resolution::Dns),
        Just(Resolution::DnsRoundRobin),
        Just(Resolution::None),
        Just(Resolution::DynamicDns),
    ];
    let name = (host(), any::<u16>(), any::<u32>(), locality())
        .prop_map(|(host, port, weight, locality)| NamedEndpoint { host, port, weight, locality });
    let resolver = (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    let where_to = (vec(resolver, 0..3), vec(block(), 0..3), vec(text(), 0..3), vec(text(), 0..3), ports());
    (resolution, vec(name, 0..3), where_to).prop_map(
        |(resolution, names, (resolvers, addresses, visible_in, subject_alt_names, tls_ports))| {
            ExternalService {
                resolution,
                names,
                resolvers,
                addresses,
                visible_in,
                subject_alt_names,
                tls_ports,
            }
        },
    )
}

pub(super) fn address_claim() -> impl Strategy<Value = AddressClaim> {
    (block(), ports(), host(), vec(text(), 0..3)).prop_map(|(block, ports, host, visible_in)| AddressClaim {
        block,
        ports,
        host,
        visible_in,
    })
}

pub(super) fn name_claim() -> impl Strategy<Value = NameClaim> {
    let name = prop_oneof![host().prop_map(HostMatch::Exact), host().prop_map(HostMatch::Suffix)];
    (name, ports(), host(), vec(text(), 0..3)).prop_map(|(name, ports, host, visible_in)| NameClaim {
        name,
        ports,
        host,
        visible_in,
    })
}

pub(super) fn egress() -> impl Strategy<Value = Egress> {
    let mode = prop_oneof![
        Just(EgressMode::AllowAny),
        Just(EgressMode::RegistryOnly),
        Just(EgressMode::AllowAnyDynamicDns),
    ];
    (mode, vec(block(), 0..3)).prop_map(|(mode, allowed_metadata)| Egress { mode, allowed_metadata })
}
