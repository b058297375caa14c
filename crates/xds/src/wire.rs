//! Nouns of `model` to protobuf and back: lossless, total, and strict when reading.
//!
//! Reading refuses what it does not know (unknown enum values, unknown fields, missing parts), so an old
//! proxy never acts on half a policy. The error names the field.

mod any;
mod external;
mod federation;
mod l4_route;
mod observed;
mod policy;
mod probe;
mod route;
mod service;
mod settings;
mod slice;
mod tls;
mod traffic;

use crate::proto::leno::mesh::v1 as p;
use aws_lc_rs::digest;
use bytes::Bytes;
use model::hex::hex;
use model::names::Names;
use model::trust::TrustBundle;
use model::{Hostname, Origin, Resource, ResourceKey, SpiffeId, TrustDomain};
use prost::Message;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

pub use any::{Any, PublishedContent};
pub(crate) use federation::{cluster_in, cluster_out};
pub use observed::{observed_in, observed_out};
pub use probe::{health_in, health_out};

/// Of the SHA-256 of a resource, this many bytes are its version.
const VERSION_BYTES: usize = 16;

/// A resource as it travels, shared by all streams.
#[derive(Debug, PartialEq)]
pub struct Encoded {
    /// Which resource.
    pub key: ResourceKey,
    /// The key as text.
    pub name: Arc<str>,
    /// Hash of the content, hex.
    pub version: Arc<str>,
    /// The content.
    pub any: Any,
}

/// Why a resource cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct DecodeError {
    /// Path of the field, for example `rules[2].from[0].ip_blocks[1]`.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
}

/// The hash of a set of resources: XOR of SHA-256 over name and version of each, so that order plays no
/// part and one change costs one step.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Combined([u8; 32]);

impl Combined {
    /// Adds a resource that is not in the set, or takes out one that is.
    pub fn toggle(&mut self, name: &str, version: &str) {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(name.as_bytes());
        context.update(&[0]);
        context.update(version.as_bytes());
        for (mine, theirs) in self.0.iter_mut().zip(context.finish().as_ref()) {
            *mine ^= theirs;
        }
    }

    /// Reads 32 bytes; `None` for any other number.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// 32 bytes.
    pub fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl fmt::Display for Combined {
    /// 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Combined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Puts a resource into its travelling form.
pub fn encode(key: &ResourceKey, resource: &Resource) -> Arc<Encoded> {
    // Only the hash is kept: whether the bytes ever go over a network is not known yet.
    let digest = digest::digest(&digest::SHA256, &write(resource));
    Arc::new(Encoded {
        key: key.clone(),
        name: key.to_string().into(),
        version: hex(digest.as_ref().get(..VERSION_BYTES).unwrap_or_default()).into(),
        any: Any::published(resource.clone()),
    })
}

/// The type URL of a message of ours.
macro_rules! type_url {
    ($message:literal) => {
        concat!("type.googleapis.com/leno.mesh.v1.", $message)
    };
}

fn type_url(resource: &Resource) -> &'static str {
    match resource {
        Resource::Names(_) => type_url!("Names"),
        Resource::Settings(_) => type_url!("MeshSettings"),
        Resource::Trust(_) => type_url!("TrustBundle"),
        Resource::Service(_) => type_url!("Service"),
        Resource::Slice(_) => type_url!("EndpointSlice"),
        Resource::Rule(_) => type_url!("RouteRule"),
        Resource::L4Rule(_) => type_url!("L4Rule"),
        Resource::TrafficPolicy(_) => type_url!("AttachedPolicy"),
        Resource::Address(..) => type_url!("Address"),
        Resource::Inbound(_) => type_url!("Inbound"),
        Resource::Policy(_) => type_url!("Policy"),
        Resource::Gateway(_) => type_url!("Gateway"),
        Resource::KeyPair(_) => type_url!("KeyPair"),
        Resource::Exports(_) => type_url!("Exports"),
        Resource::Cluster(_) => type_url!("RemoteCluster"),
    }
}

fn write(resource: &Resource) -> Bytes {
    let value = match resource {
        Resource::Names(names) => names_out(names).encode_to_vec(),
        Resource::Settings(own) => settings::settings_out(own).encode_to_vec(),
        Resource::Trust(bundle) => trust_out(bundle).encode_to_vec(),
        Resource::Service(service) => service::service_out(service).encode_to_vec(),
        Resource::Slice(slice) => slice::slice_out(slice).encode_to_vec(),
        Resource::Rule(rule) => route::rule_out(rule).encode_to_vec(),
        Resource::L4Rule(rule) => l4_route::l4_rule_out(rule).encode_to_vec(),
        Resource::TrafficPolicy(attached) => traffic::attached_out(attached).encode_to_vec(),
        Resource::Address(ip, host) => {
            p::Address { ip: u32::from(*ip), host: host.to_string() }.encode_to_vec()
        }
        Resource::Inbound(inbound) => service::inbound_out(inbound).encode_to_vec(),
        Resource::Policy(policy) => policy::policy_out(policy).encode_to_vec(),
        Resource::Gateway(gateway) => route::gateway_out(gateway).encode_to_vec(),
        Resource::KeyPair(pair) => tls::key_pair_out(pair).encode_to_vec(),
        Resource::Exports(exports) => service::exports_out(exports).encode_to_vec(),
        Resource::Cluster(cluster) => cluster_out(cluster).encode_to_vec(),
    };
    value.into()
}

/// Reads a resource.
pub fn decode(any: &Any) -> Result<Resource, DecodeError> {
    let (type_url, value) = match any {
        Any::Published(content) => return Ok(content.resource.clone()),
        Any::Received { type_url, value } => (type_url, value),
    };
    Ok(match type_url.as_str() {
        type_url!("Names") => Resource::Names(names_in(message(value)?)?),
        type_url!("MeshSettings") => Resource::Settings(settings::settings_in(message(value)?)?),
        type_url!("TrustBundle") => Resource::Trust(trust_in(message(value)?)?),
        type_url!("Service") => Resource::Service(service::service_in(message(value)?)?),
        type_url!("EndpointSlice") => Resource::Slice(slice::slice_in(message(value)?)?),
        type_url!("RouteRule") => Resource::Rule(Arc::new(route::rule_in(message(value)?)?)),
        type_url!("L4Rule") => Resource::L4Rule(Arc::new(l4_route::l4_rule_in(message(value)?)?)),
        type_url!("AttachedPolicy") => Resource::TrafficPolicy(traffic::attached_in(message(value)?)?),
        type_url!("Address") => {
            let address: p::Address = message(value)?;
            Resource::Address(Ipv4Addr::from(address.ip), host("host", &address.host)?)
        }
        type_url!("Inbound") => Resource::Inbound(service::inbound_in(message(value)?)?),
        type_url!("Policy") => Resource::Policy(policy::policy_in(message(value)?)?),
        type_url!("Gateway") => Resource::Gateway(route::gateway_in(message(value)?)?),
        type_url!("KeyPair") => Resource::KeyPair(tls::key_pair_in(message(value)?)),
        type_url!("Exports") => Resource::Exports(service::exports_in(message(value)?)?),
        type_url!("RemoteCluster") => Resource::Cluster(cluster_in(message(value)?)?),
        _ => return Err(bad("type_url", format!("unknown: {type_url:?}"))),
    })
}

/// Whether content of this kind, and where it says so itself of this name, may stand under `key`.
pub fn is_under(key: &ResourceKey, content: &Resource) -> bool {
    match (key, content) {
        (ResourceKey::Names, Resource::Names(_))
        | (ResourceKey::Settings, Resource::Settings(_))
        | (ResourceKey::Exports, Resource::Exports(_))
        | (ResourceKey::Rule { .. }, Resource::Rule(_))
        | (ResourceKey::L4Rule { .. }, Resource::L4Rule(_))
        | (ResourceKey::TrafficPolicy { .. }, Resource::TrafficPolicy(_))
        | (ResourceKey::Policy(..) | ResourceKey::GatewayPolicy { .. }, Resource::Policy(_)) => true,
        (ResourceKey::Trust(domain), Resource::Trust(bundle)) => **domain == *bundle.trust_domain.as_str(),
        (ResourceKey::Service(host), Resource::Service(service)) => *host == service.host,
        (ResourceKey::Slice(host, index), Resource::Slice(slice)) => {
            *host == slice.host && *index == slice.index
        }
        (ResourceKey::Address(ip), Resource::Address(own, _)) => ip == own,
        (ResourceKey::Inbound(ns, group), Resource::Inbound(own)) => {
            *ns == own.namespace && *group == own.group
        }
        (ResourceKey::Gateway(ns, name), Resource::Gateway(own)) => *ns == own.namespace && *name == own.name,
        (ResourceKey::KeyPair(ns, name), Resource::KeyPair(own)) => *ns == own.namespace && *name == own.name,
        (ResourceKey::Cluster(name), Resource::Cluster(own)) => *name == own.cluster,
        _ => false,
    }
}

/// Reads a message and refuses unknown fields: our writer is canonical, so whatever prost skipped makes the
/// message shorter when it is written again.
fn message<M: Message + Default>(value: &Bytes) -> Result<M, DecodeError> {
    let message = M::decode(value.clone()).map_err(|error| bad("message", error.to_string()))?;
    match message.encoded_len() == value.len() {
        true => Ok(message),
        false => Err(bad("message", "unknown fields; is this program older than its control plane?")),
    }
}

fn names_out(names: &Names) -> p::Names {
    p::Names {
        suffixes: strings(&names.suffixes),
        hosts: names.hosts.iter().map(Hostname::to_string).collect(),
        shared_suffixes: strings(&names.shared_suffixes),
        non_terminals: names.non_terminals.iter().map(Hostname::to_string).collect(),
        addresses: names.addresses.iter().map(external::address_claim_out).collect(),
        claims: names.claims.iter().map(external::name_claim_out).collect(),
    }
}

fn names_in(names: p::Names) -> Result<Names, DecodeError> {
    Ok(Names {
        suffixes: arcs(names.suffixes),
        shared_suffixes: arcs(names.shared_suffixes),
        hosts: list("hosts", &names.hosts, |text| host("", text))?,
        non_terminals: list("non_terminals", &names.non_terminals, |text| host("", text))?,
        addresses: list("addresses", &names.addresses, external::address_claim_in)?,
        claims: list("claims", &names.claims, external::name_claim_in)?,
    })
}

pub(crate) fn trust_out(bundle: &TrustBundle) -> p::TrustBundle {
    p::TrustBundle {
        trust_domain: bundle.trust_domain.to_string(),
        roots: bundle.roots.iter().map(|root| Bytes::copy_from_slice(root)).collect(),
    }
}

pub(crate) fn trust_in(bundle: p::TrustBundle) -> Result<TrustBundle, DecodeError> {
    let trust_domain = TrustDomain::parse(&bundle.trust_domain);
    Ok(TrustBundle {
        trust_domain: trust_domain.ok_or_else(|| bad("trust_domain", "not a trust domain"))?,
        roots: bundle.roots.iter().map(|root| root.to_vec()).collect(),
    })
}

// What all the files below need.

fn bad(field: &str, what: impl Into<String>) -> DecodeError {
    DecodeError { field: field.to_owned(), what: what.into() }
}

/// Puts the field's path in front of what went wrong inside it.
fn within<T>(field: &str, result: Result<T, DecodeError>) -> Result<T, DecodeError> {
    result.map_err(|error| DecodeError {
        field: match error.field.is_empty() {
            true => field.to_owned(),
            false => format!("{field}.{}", error.field),
        },
        what: error.what,
    })
}

fn list<T, U>(
    field: &str,
    items: &[T],
    mut each: impl FnMut(&T) -> Result<U, DecodeError>,
) -> Result<Vec<U>, DecodeError> {
    let item = |(index, item)| each(item).or_else(|error| within(&format!("{field}[{index}]"), Err(error)));
    items.iter().enumerate().map(item).collect()
}

fn needed<'a, T>(field: &str, value: &'a Option<T>) -> Result<&'a T, DecodeError> {
    value.as_ref().ok_or_else(|| bad(field, "missing or of an unknown kind"))
}

fn host(field: &str, text: &str) -> Result<Hostname, DecodeError> {
    Hostname::parse(text).ok_or_else(|| bad(field, format!("not a host name: {text:?}")))
}

fn spiffe(field: &str, text: &str) -> Result<SpiffeId, DecodeError> {
    SpiffeId::parse(text).ok_or_else(|| bad(field, format!("not a SPIFFE ID: {text:?}")))
}

fn small<T: TryFrom<u32>>(field: &str, number: u32) -> Result<T, DecodeError> {
    T::try_from(number).map_err(|_| bad(field, format!("out of range: {number}")))
}

fn ip_out(ip: IpAddr) -> Bytes {
    match ip {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    }
}

fn ip_in(field: &str, bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .map_err(|_| bad(field, format!("an address of {} bytes", bytes.len())))
}

fn origin_out(origin: &Origin) -> p::Origin {
    p::Origin {
        kind: origin.object.kind.to_string(),
        namespace: origin.object.namespace.to_string(),
        name: origin.object.name.to_string(),
        file: origin.file.to_string(),
        line: origin.line,
    }
}

fn origin_in(origin: &Option<p::Origin>) -> Result<Origin, DecodeError> {
    let origin = needed("origin", origin)?;
    Ok(Origin {
        object: model::ObjectRef::new(&origin.kind, &origin.namespace, &origin.name),
        file: origin.file.as_str().into(),
        line: origin.line,
    })
}

fn duration_out(duration: Duration) -> p::Duration {
    p::Duration { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
}

fn duration_in(field: &str, duration: &p::Duration) -> Result<Duration, DecodeError> {
    match duration.nanos < 1_000_000_000 {
        true => Ok(Duration::new(duration.seconds, duration.nanos)),
        false => Err(bad(field, "more than a second of nanoseconds")),
    }
}

fn pairs_out(pairs: &[(Arc<str>, Arc<str>)]) -> Vec<p::KeyValue> {
    pairs
        .iter()
        .map(|(name, value)| p::KeyValue { name: name.to_string(), value: value.to_string() })
        .collect()
}

fn pairs_in(pairs: &[p::KeyValue]) -> Vec<(Arc<str>, Arc<str>)> {
    pairs.iter().map(|pair| (pair.name.as_str().into(), pair.value.as_str().into())).collect()
}

fn strings(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

fn arcs(texts: Vec<String>) -> Vec<Arc<str>> {
    texts.into_iter().map(Arc::from).collect()
}

#[cfg(test)]
mod tests;
