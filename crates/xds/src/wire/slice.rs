//! Endpoint slices, by columns: what endpoints share is written once, so that a full slice stays below 1 kB.

use super::{DecodeError, bad, hex, host, list, small, spiffe};
use crate::proto::leno::mesh::v1 as p;
use bytes::Bytes;
use model::service::{Endpoint, EndpointProfile, EndpointSlice, EndpointState, Reach, SLICE_ENDPOINTS_MAX};
use model::{Locality, SpiffeId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Where the common beginning of uids may end; cutting elsewhere would tear random digits apart.
const UID_SEPARATORS: &[char] = &['/', '-', '.', ':', '_'];

pub(crate) fn slice_out(slice: &EndpointSlice) -> p::EndpointSlice {
    let mut out = p::EndpointSlice {
        host: slice.host.to_string(),
        index: slice.index,
        count: u32::try_from(slice.endpoints.len()).unwrap_or(u32::MAX),
        ..p::EndpointSlice::default()
    };
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for endpoint in slice.endpoints.iter() {
        let profile = profile_out(endpoint, &mut out.texts);
        let index = out.profiles.iter().position(|known| *known == profile).unwrap_or_else(|| {
            out.profiles.push(profile);
            out.profiles.len() - 1
        });
        out.profile_of.push(index as u32);
        match endpoint.address {
            IpAddr::V4(ip) => ipv4.push(ip.octets()),
            IpAddr::V6(ip) => ipv6.extend_from_slice(&ip.octets()),
        }
    }
    if out.profiles.len() <= 1 {
        out.profile_of.clear();
    }
    let prefix = ipv4.first().map_or(&[][..], |first| &first[..shared_bytes(&ipv4)]);
    out.ipv4_prefix = Bytes::copy_from_slice(prefix);
    out.ipv4 = ipv4.iter().flat_map(|ip| &ip[prefix.len()..]).copied().collect::<Vec<u8>>().into();
    out.ipv6 = ipv6.into();
    uids_out(&slice.endpoints, &mut out);
    out
}

/// How many bytes all addresses begin with, at most 3, so that something is left of each.
fn shared_bytes(addresses: &[[u8; 4]]) -> usize {
    let is_shared = |at: &usize| addresses.windows(2).all(|pair| pair[0][*at] == pair[1][*at]);
    (0..3).take_while(is_shared).count()
}

fn text_index(texts: &mut Vec<String>, text: &str) -> u32 {
    let index = texts.iter().position(|known| known == text).unwrap_or_else(|| {
        texts.push(text.to_owned());
        texts.len() - 1
    });
    index as u32
}

fn profile_out(endpoint: &Endpoint, texts: &mut Vec<String>) -> p::EndpointProfile {
    let reach = match endpoint.reach {
        Reach::Native => p::Reach::Native,
        Reach::Hbone => p::Reach::Hbone,
        Reach::Plain => p::Reach::Plain,
        Reach::Gateway => p::Reach::Gateway,
    };
    let state = match endpoint.state {
        EndpointState::Ready => p::EndpointState::Ready,
        EndpointState::Draining => p::EndpointState::Draining,
        EndpointState::Unready => p::EndpointState::Unready,
    };
    let identity = |id: &SpiffeId, texts: &mut Vec<String>| text_index(texts, &id.to_string());
    p::EndpointProfile {
        reach: reach.into(),
        state: state.into(),
        port: endpoint.port.into(),
        weight: endpoint.weight,
        cluster_index: text_index(texts, &endpoint.cluster),
        region_index: text_index(texts, &endpoint.locality.region),
        zone_index: text_index(texts, &endpoint.locality.zone),
        identity_indexes: endpoint.identities.iter().map(|id| identity(id, texts)).collect(),
        gateway_identity_index: endpoint.gateway_identity.as_ref().map(|id| identity(id, texts)),
        ipv6: endpoint.address.is_ipv6(),
        plaintext_ports: endpoint.plaintext_ports.iter().map(|port| (*port).into()).collect(),
    }
}

fn uids_out(endpoints: &[Endpoint], out: &mut p::EndpointSlice) {
    let Some(first) = endpoints.first() else { return };
    let shared = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let common = endpoints.iter().map(|endpoint| shared(&first.uid, &endpoint.uid)).min().unwrap_or(0);
    // Separators are ASCII, so the cut never falls into a character.
    let common = first.uid.as_bytes().get(..common).unwrap_or_default();
    let is_separator = |byte: &u8| UID_SEPARATORS.contains(&char::from(*byte));
    let cut = common.iter().rposition(is_separator).map_or(0, |at| at + 1);
    out.uid_prefix = first.uid.get(..cut).unwrap_or_default().to_owned();
    let rests: Vec<&str> =
        endpoints.iter().map(|endpoint| endpoint.uid.get(cut..).unwrap_or_default()).collect();
    let digits = rests.first().map_or(0, |rest| rest.len());
    let packed: Option<Vec<Vec<u8>>> = match digits > 0 && rests.iter().all(|rest| rest.len() == digits) {
        true => rests.iter().map(|rest| unhex(rest)).collect(),
        false => None,
    };
    match packed {
        Some(packed) => {
            out.uid_hex_bytes = (digits / 2) as u32;
            out.uid_hex = packed.concat().into();
        }
        None => out.uids = rests.iter().map(|rest| rest.to_string()).collect(),
    }
}

/// Lower-case hex only, or it would not come back as it was.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    text.len().is_multiple_of(2).then_some(())?;
    text.as_bytes().chunks(2).map(|pair| Some((nibble(pair[0])? << 4) | nibble(pair[1])?)).collect()
}

pub(crate) fn slice_in(slice: p::EndpointSlice) -> Result<EndpointSlice, DecodeError> {
    let count: usize = small("count", slice.count)?;
    if count > SLICE_ENDPOINTS_MAX {
        return Err(bad("count", format!("more than {SLICE_ENDPOINTS_MAX} endpoints")));
    }
    let texts: Vec<Arc<str>> = slice.texts.iter().map(|text| text.as_str().into()).collect();
    let profiles = list("profiles", &slice.profiles, |profile| profile_in(profile, &texts))?;
    let profile_of = match slice.profile_of.is_empty() {
        true => vec![0; count],
        false => slice.profile_of.clone(),
    };
    let uids = uids_in(&slice, count)?;
    if profile_of.len() != count || uids.len() != count {
        return Err(bad("count", "columns of different length"));
    }
    let prefix = &slice.ipv4_prefix;
    if prefix.len() > 3 {
        return Err(bad("ipv4_prefix", "longer than 3 bytes"));
    }
    let mut ipv4 = slice.ipv4.chunks(4 - prefix.len());
    let mut ipv6 = slice.ipv6.chunks(16);
    let mut endpoints = Vec::with_capacity(count);
    for (uid, index) in uids.into_iter().zip(profile_of) {
        let (profile, is_ipv6) =
            profiles.get(index as usize).ok_or_else(|| bad("profile_of", "no such profile"))?;
        let address = match is_ipv6 {
            false => ipv4
                .next()
                .and_then(|rest| <[u8; 4]>::try_from([prefix, rest].concat()).ok())
                .map(IpAddr::from),
            true => {
                ipv6.next().and_then(|ip| <[u8; 16]>::try_from(ip).ok()).map(|ip| Ipv6Addr::from(ip).into())
            }
        };
        let address = address.ok_or_else(|| bad("ipv4", "too few addresses"))?;
        endpoints.push(Endpoint { uid, address, ..profile.clone() });
    }
    if ipv4.next().is_some() || ipv6.next().is_some() {
        return Err(bad("ipv4", "too many addresses"));
    }
    Ok(EndpointSlice { host: host("host", &slice.host)?, index: slice.index, endpoints: endpoints.into() })
}

/// An endpoint without uid and address, and whether its address is IPv6.
fn profile_in(profile: &p::EndpointProfile, texts: &[Arc<str>]) -> Result<(Endpoint, bool), DecodeError> {
    let text = |field: &str, index: u32| {
        texts.get(index as usize).cloned().ok_or_else(|| bad(field, format!("no text {index}")))
    };
    let identity = |field: &str, index: u32| spiffe(field, &text(field, index)?);
    let reach = match p::Reach::try_from(profile.reach) {
        Ok(p::Reach::Native) => Reach::Native,
        Ok(p::Reach::Hbone) => Reach::Hbone,
        Ok(p::Reach::Plain) => Reach::Plain,
        Ok(p::Reach::Gateway) => Reach::Gateway,
        Ok(p::Reach::Unspecified) | Err(_) => {
            return Err(bad("reach", format!("unknown value {}", profile.reach)));
        }
    };
    let state = match p::EndpointState::try_from(profile.state) {
        Ok(p::EndpointState::Ready) => EndpointState::Ready,
        Ok(p::EndpointState::Draining) => EndpointState::Draining,
        Ok(p::EndpointState::Unready) => EndpointState::Unready,
        _ => return Err(bad("state", format!("unknown value {}", profile.state))),
    };
    let endpoint = Endpoint {
        uid: "".into(),
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: small("port", profile.port)?,
        weight: profile.weight,
        state,
        profile: Arc::new(EndpointProfile {
            reach,
            cluster: text("cluster_index", profile.cluster_index)?,
            locality: Locality {
                region: text("region_index", profile.region_index)?,
                zone: text("zone_index", profile.zone_index)?,
            },
            identities: list("identity_indexes", &profile.identity_indexes, |index| identity("", *index))?,
            gateway_identity: match profile.gateway_identity_index {
                Some(index) => Some(identity("gateway_identity_index", index)?),
                None => None,
            },
            plaintext_ports: list("plaintext_ports", &profile.plaintext_ports, |port| {
                small("plaintext_ports", *port)
            })?,
        }),
    };
    Ok((endpoint, profile.ipv6))
}

fn uids_in(slice: &p::EndpointSlice, count: usize) -> Result<Vec<Arc<str>>, DecodeError> {
    let prefix = &slice.uid_prefix;
    let bytes: usize = small("uid_hex_bytes", slice.uid_hex_bytes)?;
    if bytes == 0 {
        return Ok(slice.uids.iter().map(|rest| format!("{prefix}{rest}").into()).collect());
    }
    let hex_bytes: &Bytes = &slice.uid_hex;
    if Some(hex_bytes.len()) != bytes.checked_mul(count) {
        return Err(bad("uid_hex", "length does not fit the number of endpoints"));
    }
    Ok(hex_bytes.chunks(bytes).map(|rest| format!("{prefix}{}", hex(rest)).into()).collect())
}
