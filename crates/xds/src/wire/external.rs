//! What is said of services outside the mesh, and by what they are meant.

use super::policy::{cidr_in, cidr_out};
use super::route::{host_match_in, host_match_out};
use super::{DecodeError, arcs, bad, host, list, needed, small, strings, within};
use crate::proto::leno::mesh::v1 as p;
use bytes::Bytes;
use model::Locality;
use model::external::{AddressClaim, ExternalService, NameClaim, NamedEndpoint, Resolution};
use std::net::{IpAddr, SocketAddr};

pub(super) fn external_out(external: &ExternalService) -> p::ExternalService {
    let resolution = match external.resolution {
        Resolution::Static => p::Resolution::Static,
        Resolution::Dns => p::Resolution::Dns,
        Resolution::DnsRoundRobin => p::Resolution::DnsRoundRobin,
        Resolution::None => p::Resolution::None,
        Resolution::DynamicDns => p::Resolution::DynamicDns,
    };
    p::ExternalService {
        resolution: resolution.into(),
        names: external.names.iter().map(named_out).collect(),
        resolvers: external.resolvers.iter().map(socket_out).collect(),
        addresses: external.addresses.iter().map(cidr_out).collect(),
        visible_in: strings(&external.visible_in),
        subject_alt_names: strings(&external.subject_alt_names),
        tls_ports: ports_out(&external.tls_ports),
    }
}

pub(super) fn external_in(external: p::ExternalService) -> Result<ExternalService, DecodeError> {
    let resolution = match p::Resolution::try_from(external.resolution) {
        Ok(p::Resolution::Static) => Resolution::Static,
        Ok(p::Resolution::Dns) => Resolution::Dns,
        Ok(p::Resolution::DnsRoundRobin) => Resolution::DnsRoundRobin,
        Ok(p::Resolution::None) => Resolution::None,
        Ok(p::Resolution::DynamicDns) => Resolution::DynamicDns,
        Ok(p::Resolution::Unspecified) | Err(_) => {
            return Err(bad("resolution", format!("unknown value {}", external.resolution)));
        }
    };
    Ok(ExternalService {
        resolution,
        names: list("names", &external.names, named_in)?,
        resolvers: list("resolvers", &external.resolvers, socket_in)?,
        addresses: list("addresses", &external.addresses, cidr_in)?,
        visible_in: arcs(external.visible_in),
        subject_alt_names: arcs(external.subject_alt_names),
        tls_ports: ports_in(&external.tls_ports)?,
    })
}

fn named_out(named: &NamedEndpoint) -> p::NamedEndpoint {
    p::NamedEndpoint {
        host: named.host.to_string(),
        port: named.port.into(),
        weight: named.weight,
        region: named.locality.region.to_string(),
        zone: named.locality.zone.to_string(),
    }
}

fn named_in(named: &p::NamedEndpoint) -> Result<NamedEndpoint, DecodeError> {
    Ok(NamedEndpoint {
        host: host("host", &named.host)?,
        port: small("port", named.port)?,
        weight: named.weight,
        locality: Locality { region: named.region.as_str().into(), zone: named.zone.as_str().into() },
    })
}

fn socket_out(address: &SocketAddr) -> p::SocketAddress {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    };
    p::SocketAddress { ip, port: address.port().into() }
}

fn socket_in(address: &p::SocketAddress) -> Result<SocketAddr, DecodeError> {
    let v4 = <[u8; 4]>::try_from(&address.ip[..]).map(IpAddr::from);
    let ip = v4.or_else(|_| <[u8; 16]>::try_from(&address.ip[..]).map(IpAddr::from));
    let ip = ip.map_err(|_| bad("ip", "neither 4 nor 16 bytes"))?;
    Ok(SocketAddr::new(ip, small("port", address.port)?))
}

pub(super) fn address_claim_out(claim: &AddressClaim) -> p::AddressClaim {
    let (block, ports) = (Some(cidr_out(&claim.block)), ports_out(&claim.ports));
    p::AddressClaim { block, ports, host: claim.host.to_string(), visible_in: strings(&claim.visible_in) }
}

pub(super) fn address_claim_in(claim: &p::AddressClaim) -> Result<AddressClaim, DecodeError> {
    Ok(AddressClaim {
        block: within("block", cidr_in(needed("block", &claim.block)?))?,
        ports: ports_in(&claim.ports)?,
        host: host("host", &claim.host)?,
        visible_in: arcs(claim.visible_in.clone()),
    })
}

pub(super) fn name_claim_out(claim: &NameClaim) -> p::NameClaim {
    let (name, ports) = (Some(host_match_out(&claim.name)), ports_out(&claim.ports));
    p::NameClaim { name, ports, host: claim.host.to_string(), visible_in: strings(&claim.visible_in) }
}

pub(super) fn name_claim_in(claim: &p::NameClaim) -> Result<NameClaim, DecodeError> {
    Ok(NameClaim {
        name: within("name", host_match_in(needed("name", &claim.name)?))?,
        ports: ports_in(&claim.ports)?,
        host: host("host", &claim.host)?,
        visible_in: arcs(claim.visible_in.clone()),
    })
}

fn ports_out(ports: &[u16]) -> Vec<u32> {
    ports.iter().map(|port| (*port).into()).collect()
}

fn ports_in(ports: &[u32]) -> Result<Vec<u16>, DecodeError> {
    list("ports", ports, |port| small("ports", *port))
}
