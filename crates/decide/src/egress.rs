//! What an application may call outside the mesh, and which described service it means where it called some address: by
//! that address, or by the name that it says in TLS or HTTP.

use crate::listener::host_rank;
use model::address::{METADATA, is_mesh_only};
use model::external::NameClaim;
use model::names::Names;
use model::service::Service;
use model::settings::{Egress, EgressMode};
use model::{Hostname, Reason};
use std::net::{IpAddr, SocketAddr};

/// Whether an address is that of a cloud's metadata service.
pub fn is_metadata(ip: IpAddr) -> bool {
    METADATA.contains(&ip.to_canonical())
}

/// Whether an address outside the mesh may be called, whatever else is said.
///
/// # Errors
/// [`Reason::MetadataBlocked`].
pub fn may_call(ip: IpAddr, egress: &Egress) -> Result<(), Reason> {
    let ip = ip.to_canonical();
    match is_metadata(ip) && !egress.allowed_metadata.iter().any(|block| block.contains(ip)) {
        true => Err(Reason::MetadataBlocked),
        false => Ok(()),
    }
}

/// Whether an address may be the answer for a name that somebody described. What a metadata service, the proxy's own host
/// or the mesh has is open to no name server, unless it is allowed; private addresses are what such names are for.
pub fn may_stand_for_name(ip: IpAddr, egress: &Egress) -> bool {
    let ip = ip.to_canonical();
    let is_closed = is_metadata(ip) || is_mesh_only(ip) || ip.is_loopback() || ip.is_unspecified();
    !is_closed || egress.allowed_metadata.iter().any(|block| block.contains(ip))
}

/// Whether an address may be the answer for a name that an application chose: one of the world outside. With others a
/// name server that the name's owner runs would lead the proxy to what only the proxy's host reaches (DNS rebinding).
pub fn is_of_the_world(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            // 100.64.0.0/10 is shared within a provider (RFC 6598), 0.0.0.0/8 means this host.
            let is_shared = first == 100 && (64..128).contains(&second);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast())
                && !(is_shared || first == 0 || first >= 240)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // fc00::/7, fe80::/10, ff00::/8, and 64:ff9b::/96 which leads to IPv4.
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast())
                && first & 0xfe00 != 0xfc00
                && first & 0xffc0 != 0xfe80
                && v6.segments()[..6] != [0x64, 0xff9b, 0, 0, 0, 0]
        }
    }
}

/// The described service that an address means.
pub fn by_address(names: &Names, called: SocketAddr) -> Option<&Hostname> {
    let ip = called.ip().to_canonical();
    let claims = names.addresses.iter();
    let mut claims = claims.filter(|claim| claim.block.contains(ip) && claim.ports.contains(&called.port()));
    claims.next().map(|claim| &claim.host)
}

/// Whether some described service may be meant at a port by the name that a client says.
pub fn is_named_at(names: &Names, port: u16) -> bool {
    names.claims.iter().any(|claim| claim.ports.contains(&port))
}

/// The described service that a name means at a port.
pub fn by_name<'n>(names: &'n Names, name: &str, port: u16) -> Option<&'n NameClaim> {
    // The order of the claims is that of how exact they are.
    names
        .claims
        .iter()
        .find(|claim| claim.ports.contains(&port) && host_rank(Some(&claim.name), name).is_some())
}

/// Whether a request to a described service may say this authority, at a port: where only what is described may be called,
/// one host must not stand for another behind the same addresses.
///
/// # Errors
/// [`Reason::EgressDenied`].
pub fn may_say(names: &Names, egress: &Egress, authority: &str, port: u16) -> Result<(), Reason> {
    if egress.mode != EgressMode::RegistryOnly {
        return Ok(());
    }
    let is_described = match said_host(authority) {
        SaidHost::Address(ip) => by_address(names, SocketAddr::new(ip, port)).is_some(),
        SaidHost::Name(host) => by_name(names, host, port).is_some(),
    };
    if is_described { Ok(()) } else { Err(Reason::EgressDenied) }
}

/// What an authority names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidHost<'a> {
    /// An address.
    Address(IpAddr),
    /// Anything else.
    Name(&'a str),
}

/// The host of an authority, without its port.
pub fn said_host(authority: &str) -> SaidHost<'_> {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().map_or(SaidHost::Name(host), SaidHost::Address)
}

/// Whether clients must say a described name in TLS at this port of a service: where only what is described may be called,
/// and somebody declared TLS there, a server that many share must not be reached by the address of one and for another.
pub fn must_name_in_tls(service: &Service, egress: &Egress, port: u16) -> bool {
    let begins_with_tls = || service.external.as_ref().is_some_and(|it| it.tls_ports.contains(&port));
    egress.mode == EgressMode::RegistryOnly && begins_with_tls()
}

#[cfg(test)]
mod tests;
