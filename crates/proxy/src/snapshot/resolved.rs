//! Endpoints by name, as they become endpoints by address: what is known of names, and what an entry makes of it.

use super::{HostEntry, Snapshot};
use decide::balance::ProxyLocality;
use decide::consumer::ServiceRules;
use decide::hash::QuickMap;
use decide::resolution::AddressOrder;
use decide::{balance, egress};
use model::external::{NamedEndpoint, Resolution};
use model::service::{Endpoint, EndpointProfile, EndpointState, Reach, Service};
use model::settings::Egress;
use model::{Hostname, Locality, MeshSettings};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A name, and who is asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedName {
    /// The name.
    pub host: Hostname,
    /// Name servers; empty: those of this proxy's host.
    pub resolvers: Vec<SocketAddr>,
}

/// What is known of all names. One that is not here was not answered for yet.
pub(super) type Resolved = HashMap<ResolvedName, Arc<[IpAddr]>>;

/// What a service's names come to.
#[derive(Debug, Default)]
pub(super) struct NamedEndpoints {
    pub(super) endpoints: Vec<Endpoint>,
    /// Of addresses that have one of the other family beside them.
    pub(super) alternates: QuickMap<IpAddr, IpAddr>,
    /// Some name was not answered for yet.
    pub(super) is_awaited: bool,
}

/// The names that a service has.
pub(super) fn names(service: &Service) -> impl Iterator<Item = (&NamedEndpoint, ResolvedName)> {
    let external = service.external.iter();
    external.flat_map(|external| {
        external.names.iter().map(|named| {
            (named, ResolvedName { host: named.host.clone(), resolvers: external.resolvers.clone() })
        })
    })
}

/// Takes addresses of names; the hosts that have these names are to be built anew.
pub(super) fn take(next: &mut Snapshot, answers: Vec<(ResolvedName, Vec<IpAddr>)>) -> Vec<Hostname> {
    if answers.is_empty() {
        return Vec::new();
    }
    let has_one = |entry: &&Arc<HostEntry>| {
        names(&entry.service).any(|(_, name)| answers.iter().any(|(answered, _)| *answered == name))
    };
    let concerned = next.hosts.values().filter(has_one).map(|entry| entry.service.host.clone()).collect();
    let mut resolved = (*next.resolved).clone();
    resolved.extend(answers.into_iter().map(|(name, addresses)| (name, addresses.into())));
    let wanted = next.wanted_names();
    resolved.retain(|name, _| wanted.contains(name));
    next.resolved = Arc::new(resolved);
    concerned
}

/// Takes settings, which say what addresses names may have; the hosts that have names are to be built anew.
pub(super) fn take_settings(next: &mut Snapshot, settings: MeshSettings) -> Vec<Hostname> {
    let is_same = next.settings.egress == settings.egress;
    next.settings = Arc::new(settings);
    let concerned = next.hosts().filter(|entry| !is_same && names(&entry.service).next().is_some());
    concerned.map(|entry| entry.service.host.clone()).collect()
}

/// The endpoints that a service's names are now, in a proxy of this cluster. Whoever runs a name's server chooses its
/// addresses: those that lead back to this host are none (DNS rebinding).
pub(super) fn endpoints(
    service: &Service,
    resolved: &Resolved,
    me: &ProxyLocality,
    egress: &Egress,
) -> NamedEndpoints {
    let mut made = NamedEndpoints::default();
    let is_one = service.external.as_ref().is_some_and(|e| e.resolution == Resolution::DnsRoundRobin);
    for (named, name) in names(service) {
        let Some(addresses) = resolved.get(&name) else {
            made.is_awaited = true;
            continue;
        };
        let locality = match named.locality.region.is_empty() {
            true => me.locality.clone(),
            false => named.locality.clone(),
        };
        let profile = Arc::new(plain(me, locality));
        let allowed = addresses.iter().copied().filter(|ip| egress::may_stand_for_name(*ip, egress));
        let pairs = pair(allowed);
        for (address, other) in pairs.into_iter().take(if is_one { 1 } else { usize::MAX }) {
            made.alternates.extend(other.map(|other| (address, other)));
            made.endpoints.push(Endpoint {
                uid: format!("{}/{}/{}", service.host, named.host, SocketAddr::new(address, named.port))
                    .into(),
                profile: Arc::clone(&profile),
                address,
                port: named.port,
                weight: named.weight.max(1),
                state: EndpointState::Ready,
            });
        }
    }
    made
}

/// What is in plaintext, or in TLS that is none of the mesh's.
fn plain(me: &ProxyLocality, locality: Locality) -> EndpointProfile {
    EndpointProfile {
        reach: Reach::Plain,
        cluster: me.cluster.clone(),
        locality,
        identities: Vec::new(),
        gateway_identity: None,
        plaintext_ports: Vec::new(),
    }
}

impl HostEntry {
    /// The same service, for one request, at these addresses: it is wherever it is called. Without its rules, which were asked.
    pub(crate) fn at_addresses(&self, addresses: &[SocketAddr], me: &ProxyLocality) -> Self {
        let profile = Arc::new(plain(me, me.locality.clone()));
        let endpoint = |address: &SocketAddr| Endpoint {
            uid: format!("{}/{address}", self.service.host).into(),
            profile: Arc::clone(&profile),
            address: address.ip(),
            port: address.port(),
            weight: 1,
            state: EndpointState::Ready,
        };
        let endpoints: Vec<Endpoint> = addresses.iter().map(endpoint).collect();
        let how = self.traffic.load_balancer.as_ref().map(|field| field.value.clone()).unwrap_or_default();
        Self {
            service: self.service.clone(),
            rules: ServiceRules::compile(std::iter::empty(), ""),
            l4_rules: None,
            priorities: balance::prioritize(&endpoints, me, &[], &how),
            states: self.states.of(endpoints.iter().map(|endpoint| &endpoint.uid)),
            endpoints,
            traffic: self.traffic.clone(),
            alternates: QuickMap::default(),
            is_awaited: false,
            tls: self.tls.clone(),
            retries: Arc::clone(&self.retries),
            turns: Arc::clone(&self.turns),
            used: Arc::clone(&self.used),
        }
    }
}

/// Addresses of IPv6 each with one of IPv4 that is tried soon after it (RFC 8305); what is left over of either stands alone.
fn pair(addresses: impl Iterator<Item = IpAddr>) -> Vec<(IpAddr, Option<IpAddr>)> {
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.partition(|ip| ip.is_ipv6());
    let mut second = v4.iter().copied();
    let mut pairs: Vec<_> = v6.iter().map(|first| (*first, second.next())).collect();
    pairs.extend(second.map(|alone| (alone, None)));
    pairs
}

impl Snapshot {
    /// All names that endpoints have.
    pub(crate) fn wanted_names(&self) -> HashSet<ResolvedName> {
        self.hosts().flat_map(|entry| names(&entry.service)).map(|(_, name)| name).collect()
    }

    /// Whether it was answered for.
    pub(crate) fn is_resolved(&self, name: &ResolvedName) -> bool {
        self.resolved.contains_key(name)
    }

    /// What the order of its addresses means to the services that have the name.
    pub(crate) fn order_of(&self, name: &ResolvedName) -> AddressOrder {
        let takes_first = |entry: &Arc<HostEntry>| {
            let external = entry.service.external.as_ref();
            external.is_some_and(|external| external.resolution == Resolution::DnsRoundRobin)
                && names(&entry.service).any(|(_, known)| known == *name)
        };
        if self.hosts().any(takes_first) { AddressOrder::FirstCounts } else { AddressOrder::Any }
    }

    /// The addresses of a name, as far as they are known.
    pub(crate) fn addresses_of(&self, name: &ResolvedName) -> &[IpAddr] {
        self.resolved.get(name).map_or(&[], |addresses| addresses)
    }
}
