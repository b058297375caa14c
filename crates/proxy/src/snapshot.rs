//! What the proxy runs: compiled tables, immutable, shared by all workers.
//!
//! A snapshot is built aside on the control thread ([`build`]) and swapped in whole ([`store`]). A host that
//! an update does not touch keeps its `Arc`. What must outlive a swap (health, active requests, last use)
//! lies in atomics that snapshots only point to. Nothing here is written while a request is served except
//! those atomics.

mod build;
mod change;
mod endpoint;
mod ports;
mod resolved;
mod retries;
mod store;
#[cfg(test)]
mod tests;

pub use change::SnapshotChange;
pub use endpoint::{Active, EndpointHealth, EndpointStates, HealthMemory};
pub use ports::Ports;
pub use resolved::ResolvedName;
pub use retries::Retries;
pub use store::SnapshotStore;

use crate::backend_tls::HostTls;
use crate::edge_tls::listener::{ListenerId, TlsListener};
use crate::observe::L4Transport;
use decide::attach::Effective;
use decide::balance::{Priorities, ProxyLocality};
use decide::consumer::ServiceRules;
use decide::hash::QuickMap;
use decide::l4_route::L4Table;
use decide::route::Table;
use model::client_traffic::{ClientTraffic, ProxyProtocolIn};
use model::listener::{Exports, Gateway, GatewayListener, Inbound, ListenerProtocol};
use model::names::Names;
use model::service::{Endpoint, Service};
use model::trust::TrustBundle;
use model::{Hostname, MeshSettings, Policy};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One immutable configuration. A request holds one from its first byte to its last.
pub struct Snapshot {
    /// Counts swaps; 0 is the empty snapshot before the first configuration.
    pub epoch: u64,
    /// Where this proxy runs.
    pub me: ProxyLocality,
    /// Own addresses: what `decide::listener::inbound` accepts as a destination.
    pub own: Vec<IpAddr>,
    /// Names that the mesh answers for.
    pub names: Arc<Names>,
    /// What every proxy of the mesh does alike.
    pub settings: Arc<MeshSettings>,
    /// The inbound side of the local workload group; `None`: not received, or a gateway of its own kind.
    pub inbound: Option<Arc<Inbound>>,
    /// The Gateway API gateway that this proxy serves.
    pub gateway: Option<Arc<GatewayEntry>>,
    /// What an east-west gateway may be asked for; `None`: this proxy is none.
    pub exports: Option<Arc<Exports>>,
    /// The policies on the local workload's ports, sorted by namespace and name.
    pub policies: Arc<[Arc<Policy>]>,
    /// The policies on what an east-west gateway forwards.
    pub forward_policies: Arc<[Arc<Policy>]>,
    /// Trust bundles received with the configuration (the verifier has its own copy).
    pub trust: Arc<[TrustBundle]>,
    hosts: QuickMap<Hostname, Arc<HostEntry>>,
    by_address: HashMap<Ipv4Addr, Hostname>,
    resolved: Arc<resolved::Resolved>,
    absent_hosts: HashSet<Hostname>,
    absent_addresses: HashSet<Ipv4Addr>,
}

impl Snapshot {
    /// The entry of a canonical host name.
    pub fn host(&self, host: &str) -> Option<&Arc<HostEntry>> {
        self.hosts.get(host)
    }

    /// All hosts, in no order.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<HostEntry>> {
        self.hosts.values()
    }

    /// The host that owns a mesh-only address, as far as known.
    pub fn by_address(&self, ip: Ipv4Addr) -> Option<&Hostname> {
        self.by_address.get(&ip)
    }

    /// Whether the control plane said that there is no such host.
    pub fn is_host_absent(&self, host: &str) -> bool {
        self.absent_hosts.contains(host)
    }

    /// Whether the control plane said that nothing owns this mesh-only address.
    pub fn is_address_absent(&self, ip: Ipv4Addr) -> bool {
        self.absent_addresses.contains(&ip)
    }

    /// Whether any configuration has been received, from the control plane or from the last good file.
    pub fn is_configured(&self) -> bool {
        self.epoch > 0
    }
}

/// One service, ready to be decided on.
pub struct HostEntry {
    /// The service.
    pub service: Service,
    /// Rules whose parent is this service.
    pub rules: ServiceRules<Table>,
    /// The same for connections; `None`: there are none.
    pub l4_rules: Option<Box<ServiceRules<L4Table>>>,
    /// All endpoints, concatenated over slices in order of their index.
    pub endpoints: Vec<Endpoint>,
    /// The Ready ones by priority, as indexes into `endpoints`.
    pub priorities: Priorities,
    /// What is said of how they are used, and who says so.
    pub traffic: Effective,
    /// What is remembered of each endpoint across snapshots; same order and length as `endpoints`.
    pub states: EndpointStates,
    /// Of addresses of endpoints that have one of the other family beside them.
    pub(crate) alternates: QuickMap<IpAddr, IpAddr>,
    /// Some endpoint's name was not answered for yet.
    pub(crate) is_awaited: bool,
    /// TLS to those that are not of the mesh; `None`: plaintext.
    pub(crate) tls: Option<Arc<HostTls>>,
    /// What it had lately of requests and retries, across snapshots.
    pub retries: Arc<Retries>,
    /// How many requests were balanced in turn, across snapshots.
    pub(crate) turns: Arc<AtomicU64>,
    /// When it was last used, for `Lookup::touch`.
    pub(crate) used: Arc<LastUse>,
}

impl HostEntry {
    /// The rules for connections to this port of it; `None`: they go to the service itself.
    pub fn l4_rules_at(&self, port: u16) -> Option<&L4Table> {
        self.l4_rules.as_ref().map(|rules| rules.at(port)).filter(|table| table.has_rules(port))
    }
}

/// The minute in which something was last used, as the control thread counts them.
#[derive(Debug, Default)]
pub(crate) struct LastUse(pub(crate) AtomicU32);

impl LastUse {
    /// Notes a use. Writes only once a minute, so that the cache line is not passed between workers.
    pub(crate) fn touch(&self, minute: u32) {
        if self.0.load(Ordering::Relaxed) != minute {
            self.0.store(minute, Ordering::Relaxed);
        }
    }
}

/// A gateway with its rules compiled, one table per listener.
pub struct GatewayEntry {
    /// The gateway as received.
    pub gateway: Gateway,
    /// One for each of `gateway.listeners`, in their order.
    pub rules: Vec<Table>,
    /// The same for connections and datagrams.
    pub l4_rules: Vec<L4Table>,
    /// The policies on what comes in by each of `gateway.listeners`, in their order.
    pub policies: Vec<Arc<[Arc<Policy>]>>,
    /// How each of them speaks TLS, in their order; `None`: not at all.
    pub(crate) tls: Vec<Option<Arc<TlsListener>>>,
    /// Namespace and name of the gateway that each of them is of, in their order.
    owners: Vec<(Arc<str>, Arc<str>)>,
    /// What is configured too and cannot be opened. What such a gateway listened on before is among the
    /// listeners.
    pub closed: Vec<ClosedListener>,
}

/// A gateway's listener that cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedListener {
    /// Of the gateway.
    pub namespace: Arc<str>,
    /// Of the gateway.
    pub gateway: Arc<str>,
    /// Of the listener.
    pub name: Arc<str>,
    /// Where it should listen.
    pub address: SocketAddr,
    /// Why it does not.
    pub why: Arc<str>,
    /// Whether it may do so later by itself.
    pub(crate) hindrance: Hindrance,
}

/// What keeps a listener from being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// Its place, which may become free.
    Place,
    /// What it is to speak: that stays so until its configuration is another.
    Settings,
}

impl GatewayEntry {
    /// Whether connections that come in at this place begin with TLS.
    pub(crate) fn speaks_tls(&self, at: SocketAddr) -> bool {
        self.gateway.listeners.iter().any(|listener| listener.tls.is_some() && listener.place() == at)
    }

    /// Whether the listeners of two of them speak the same TLS, so that nobody who is connected is asked for more.
    pub(crate) fn speak_alike(before: Option<&Arc<Self>>, next: Option<&Arc<Self>>) -> bool {
        let (Some(before), Some(next)) = (before, next) else { return true };
        let is_same = |(a, b): (&Option<Arc<TlsListener>>, &Option<Arc<TlsListener>>)| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(before, next)
            || before.tls.len() == next.tls.len() && before.tls.iter().zip(&next.tls).all(is_same)
    }

    /// How connections that come in at this place begin, if not with what is to be served.
    pub(crate) fn proxy_protocol(&self, at: SocketAddr) -> Option<&ProxyProtocolIn> {
        let mut there = self.gateway.listeners.iter().filter(|listener| {
            listener.client.is_some() && listener.protocol != ListenerProtocol::Udp && listener.place() == at
        });
        there.find_map(|listener| listener.client.as_ref()?.proxy_protocol.as_ref())
    }

    /// What is said of who calls there; in TLS, of who calls the listener that was chosen by server name.
    pub(crate) fn client_traffic(
        &self,
        at: SocketAddr,
        tls: Option<&ListenerId>,
    ) -> Option<&Arc<ClientTraffic>> {
        match tls {
            Some(id) => self.gateway.listeners.get(self.find(id)?)?.client.as_ref(),
            None => {
                let there = |listener: &&GatewayListener| listener.tls.is_none() && listener.place() == at;
                self.gateway.listeners.iter().filter(there).find_map(|listener| listener.client.as_ref())
            }
        }
    }

    /// How the listener of this index speaks TLS.
    pub(crate) fn tls(&self, index: usize) -> Option<&Arc<TlsListener>> {
        self.tls.get(index)?.as_ref()
    }

    /// The listener with this name.
    pub(crate) fn find(&self, id: &ListenerId) -> Option<usize> {
        let named = self.gateway.listeners.iter().zip(&self.owners);
        let mut named = named.enumerate().filter(|(_, (listener, _))| listener.name == id.name);
        let found =
            named.find(|(_, (_, (namespace, name)))| *namespace == id.namespace && *name == id.gateway);
        found.map(|(index, _)| index)
    }

    /// Whether a listener speaks HTTP inside of TLS.
    pub(crate) fn is_http(&self, id: &ListenerId) -> bool {
        let listener = self.find(id).and_then(|index| self.gateway.listeners.get(index));
        listener.is_some_and(|listener| listener.protocol.is_http())
    }

    /// Rules and policies of the listener for opaque bytes there, in TLS of the one that was chosen by server name;
    /// `None`: what comes in there is something else.
    pub(crate) fn l4_listener(
        &self,
        transport: L4Transport,
        at: SocketAddr,
        tls: Option<&ListenerId>,
    ) -> Option<(&L4Table, &[Arc<Policy>])> {
        let protocol = match transport {
            L4Transport::Tcp => ListenerProtocol::Tcp,
            L4Transport::Udp => ListenerProtocol::Udp,
        };
        let is_there = |known: &GatewayListener| known.protocol == protocol && known.place() == at;
        let index = match tls {
            Some(id) => self.find(id),
            None => self.gateway.listeners.iter().position(is_there),
        }?;
        Some((self.l4_rules.get(index)?, self.policies.get(index)?))
    }

    /// Each listener with its rules and policies.
    pub fn listeners(&self) -> impl Iterator<Item = (&GatewayListener, &Table, &[Arc<Policy>])> {
        let rules = self.gateway.listeners.iter().zip(&self.rules);
        rules.zip(&self.policies).map(|((listener, table), policies)| (listener, table, &**policies))
    }
}

/// What a proxy knows of itself once it has joined; fixed for the life of the process.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalNode {
    /// Stable for the life of this registration.
    pub uid: Arc<str>,
    /// Namespace of the workload group.
    pub namespace: Arc<str>,
    /// Name of the workload group.
    pub group: Arc<str>,
    /// Network within which the local addresses are valid.
    pub network: Arc<str>,
    /// Cluster and locality.
    pub place: ProxyLocality,
    /// Own addresses.
    pub addresses: Vec<IpAddr>,
}
