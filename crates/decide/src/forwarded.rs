//! Which entries of `x-forwarded-for` are trusted, where other proxies stand in front of a gateway: fields
//! `xff_num_trusted_hops` and Envoy's `xff_trusted_cidrs` (its `use_remote_address` is always on here).

#[cfg(test)]
mod tests;

use crate::Headers;
use model::Reason;
use model::authz::Cidr;
use model::client_traffic::{ClientAddressHeader, ClientIpDetection};
use model::settings::HttpConnections;
use std::net::{IpAddr, SocketAddr};

/// Longest `x-forwarded-for` that is kept, in bytes, without the address that is added to it; a longer one is
/// overwritten. The most hops that may be trusted need 1,300.
pub const FORWARDED_FOR_BYTES_MAX: usize = 2048;
/// By which a gateway tells whom it takes for the caller, where proxies stand in front of it (Envoy; it leaves private
/// addresses out).
pub const EXTERNAL_ADDRESS: &str = "x-envoy-external-address";
/// Longest address that a gateway adds to it, with what separates it.
const ADDRESS_BYTES_MAX: usize = 48;

/// What is made of the word of a trusted peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The caller, as far back as addresses are trusted.
    pub client: IpAddr,
    /// `x-forwarded-for` as it is sent on: what came, and the peer.
    pub forwarded_for: Vec<u8>,
    /// By which it called, as `x-forwarded-proto` says; `None`: nothing usable.
    pub scheme: Option<Scheme>,
}

/// By which a caller calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plaintext.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As it is written in front of `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Where a request comes into the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPoint {
    /// At a gateway's listener.
    Gateway,
    /// At a workload that takes plaintext. The number of hops says what stands in front of the gateways, so only
    /// proxies in the list are trusted here.
    Workload,
}

/// What is believed of a request's `x-forwarded-for` and `x-forwarded-proto`, which `peer` sent over its
/// connection. `None`: nothing, and the peer is the caller.
pub fn believe(
    settings: &HttpConnections,
    at: EntryPoint,
    peer: IpAddr,
    headers: &dyn Headers,
) -> Option<Forwarded> {
    match (Trust::of(settings)?, at) {
        (Trust::Hops(_), EntryPoint::Workload) => None,
        (trust, _) => believe_list(trust, peer, headers),
    }
}

/// The same by what is said of the callers of one listener, which then counts alone.
///
/// # Errors
/// [`Reason::ClientAddressUnknown`]: who is trusted to say who called did not say it, and must.
pub fn detect(
    detection: &ClientIpDetection,
    peer: IpAddr,
    headers: &dyn Headers,
) -> Result<Option<Forwarded>, Reason> {
    match detection {
        ClientIpDetection::TrustedHops(hops) => Ok(believe_list(Trust::Hops(*hops), peer, headers)),
        ClientIpDetection::TrustedCidrs(blocks) => Ok(believe_list(Trust::Cidrs(blocks), peer, headers)),
        ClientIpDetection::CustomHeader(header) => believe_header(header, peer, headers),
    }
}

/// By a header that has the caller's address, and nothing else, and stands once.
fn believe_header(
    header: &ClientAddressHeader,
    peer: IpAddr,
    headers: &dyn Headers,
) -> Result<Option<Forwarded>, Reason> {
    let peer = peer.to_canonical();
    if !Trust::Cidrs(&header.trusted_cidrs).covers(peer) {
        return Ok(None);
    }
    match only_address(&header.name, headers) {
        Some(client) => {
            let forwarded_for = client.to_string().into_bytes();
            Ok(Some(Forwarded { client, forwarded_for, scheme: scheme(headers) }))
        }
        None if header.fail_closed => Err(Reason::ClientAddressUnknown),
        None => Ok(None),
    }
}

fn only_address(name: &str, headers: &dyn Headers) -> Option<IpAddr> {
    let (mut found, mut count) = (None, 0);
    headers.visit(name, &mut |value| {
        found = address(value.trim_ascii());
        count += 1;
    });
    found.filter(|_| count == 1)
}

fn believe_list(trust: Trust<'_>, peer: IpAddr, headers: &dyn Headers) -> Option<Forwarded> {
    let peer = peer.to_canonical();
    if !trust.covers(peer) {
        return None;
    }
    let mut forwarded_for = came(headers, FORWARDED_FOR_BYTES_MAX);
    let client = trust.client(peer, &forwarded_for);
    if !forwarded_for.is_empty() {
        forwarded_for.extend_from_slice(b", ");
    }
    forwarded_for.extend_from_slice(peer.to_string().as_bytes());
    Some(Forwarded { client, forwarded_for, scheme: scheme(headers) })
}

/// The original caller of a request that came from `peer` within the mesh: as the gateway that let it in decided,
/// which says so by [`EXTERNAL_ADDRESS`], or comes last in `x-forwarded-for`. Without any, the peer.
pub fn original(settings: &HttpConnections, peer: Option<IpAddr>, headers: &dyn Headers) -> Option<IpAddr> {
    if let Some(decided) = only_address(EXTERNAL_ADDRESS, headers) {
        return Some(decided);
    }
    let came = came(headers, FORWARDED_FOR_BYTES_MAX + ADDRESS_BYTES_MAX);
    let mut parts = came.rsplitn(2, |byte| *byte == b',');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some(at_gateway) = address(last.trim_ascii()) else { return peer };
    Some(match Trust::of(settings).filter(|trust| trust.covers(at_gateway)) {
        Some(trust) => trust.client(at_gateway, before),
        None => at_gateway,
    })
}

/// Which proxies in front are believed.
#[derive(Clone, Copy)]
enum Trust<'a> {
    /// This many, whatever their addresses.
    Hops(u32),
    /// Those whose addresses are in this list.
    Cidrs(&'a [Cidr]),
}

impl<'a> Trust<'a> {
    /// `None`: none.
    fn of(settings: &'a HttpConnections) -> Option<Self> {
        match (&settings.xff_trusted_cidrs[..], settings.xff_num_trusted_hops) {
            ([], 0) => None,
            ([], hops) => Some(Self::Hops(hops)),
            (blocks, _) => Some(Self::Cidrs(blocks)),
        }
    }

    fn covers(self, ip: IpAddr) -> bool {
        match self {
            Self::Hops(_) => true,
            Self::Cidrs(blocks) => blocks.iter().any(|block| block.contains(ip)),
        }
    }

    /// From the right: the address at the last trusted hop, or the first that is not trusted. An entry that is
    /// no address ends the walk.
    fn client(self, peer: IpAddr, came: &[u8]) -> IpAddr {
        // An empty element of a list says nothing (RFC 9110 section 5.6.1.2).
        let entries = came.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty());
        let mut client = peer;
        let mut seen = 0;
        for entry in entries {
            let Some(ip) = address(entry) else { return client };
            client = ip;
            seen += 1;
            let is_last = match self {
                Self::Hops(hops) => seen == hops,
                Self::Cidrs(_) => !self.covers(ip),
            };
            if is_last {
                return client;
            }
        }
        match self {
            // The request went past a proxy that should have seen it.
            Self::Hops(_) => peer,
            // It was made by one of the trusted.
            Self::Cidrs(_) => client,
        }
    }
}

/// Some load balancers add the port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    text.parse().or_else(|_| with_port()).ok().map(|ip: IpAddr| ip.to_canonical())
}

/// All lines of `x-forwarded-for` as one; empty when there is none or too much.
fn came(headers: &dyn Headers, bytes_max: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut is_too_long = false;
    headers.visit("x-forwarded-for", &mut |value| {
        is_too_long |= all.len() + value.len() + 2 > bytes_max;
        if is_too_long || value.is_empty() {
            return;
        }
        if !all.is_empty() {
            all.extend_from_slice(b", ");
        }
        all.extend_from_slice(value);
    });
    if is_too_long { Vec::new() } else { all }
}

/// One value, and a scheme that there is; anything else is as if it had not come.
fn scheme(headers: &dyn Headers) -> Option<Scheme> {
    let (mut scheme, mut count) = (None, 0);
    headers.visit("x-forwarded-proto", &mut |value| {
        let known = [Scheme::Http, Scheme::Https];
        scheme = known.into_iter().find(|known| value.eq_ignore_ascii_case(known.as_str().as_bytes()));
        count += 1;
    });
    scheme.filter(|_| count == 1)
}
