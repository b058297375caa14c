//! Makes the next snapshot out of the present one and a change. Runs on the control thread only.
//!
//! Nothing is stored twice: a host's service and endpoints live in its entry alone, and [`Parts`] only
//! remembers how many endpoints each slice contributed.

mod gateway;
mod held;
mod host;

use super::change::SnapshotChange;
use super::endpoint::HealthMemory;
use super::ports::Ports;
use super::{GatewayEntry, LocalNode, Snapshot, resolved};
use crate::edge_tls::certificates::ListenerCertificates;
use crate::watched_files::FileWatch;
use decide::hash::QuickMap;
use model::interner::Interner;
use model::l4_route::L4Rule;
use model::listener::Gateway;
use model::route::{Parent, RouteRule};
use model::service::{Endpoint, EndpointProfile, Service};
use model::traffic::AttachedPolicy;
use model::{Hostname, MeshSettings, Policy, Resource, ResourceKey, Subscription};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Keys in boxes, because a map has room for twice as many as it holds.
type Rules = BTreeMap<Box<ResourceKey>, Arc<RouteRule>>;
type L4Rules = BTreeMap<ResourceKey, Arc<L4Rule>>;
type Policies = BTreeMap<ResourceKey, Arc<Policy>>;

/// What belongs to one host beside its entry.
#[derive(Default)]
struct Parts {
    /// A service that has not been built yet, or none.
    service: Option<Service>,
    slices: BTreeMap<u32, Slice>,
    rules: Rules,
    l4_rules: L4Rules,
    policies: BTreeMap<ResourceKey, AttachedPolicy>,
}

impl Parts {
    fn is_empty(&self) -> bool {
        self.slices.is_empty()
            && self.rules.is_empty()
            && self.l4_rules.is_empty()
            && self.policies.is_empty()
    }
}

/// One slice of a host's endpoints.
enum Slice {
    /// So many endpoints of the built entry, in order of the index.
    Built(usize),
    /// Not built yet.
    New(Vec<Endpoint>),
}

/// The state behind the snapshots.
pub(super) struct Builder {
    me: LocalNode,
    parts: HashMap<Hostname, Parts>,
    gateways: BTreeMap<ResourceKey, Gateway>,
    gateway_rules: Rules,
    gateway_l4_rules: L4Rules,
    policies: Policies,
    gateway_policies: Policies,
    health: Arc<HealthMemory>,
    profiles: Interner<EndpointProfile>,
    ports: Box<dyn Ports>,
    certificates: Arc<ListenerCertificates>,
    files: Arc<FileWatch>,
}

impl Builder {
    pub(super) fn new(
        me: &LocalNode,
        ports: Box<dyn Ports>,
        certificates: Arc<ListenerCertificates>,
        files: Arc<FileWatch>,
    ) -> Self {
        Self {
            ports,
            certificates,
            files,
            me: me.clone(),
            parts: HashMap::new(),
            gateways: BTreeMap::new(),
            gateway_rules: Rules::new(),
            gateway_l4_rules: L4Rules::new(),
            policies: Policies::new(),
            gateway_policies: Policies::new(),
            health: Arc::default(),
            profiles: Interner::default(),
        }
    }

    pub(super) fn empty(&self) -> Snapshot {
        Snapshot {
            epoch: 0,
            me: self.me.place.clone(),
            own: self.me.addresses.clone(),
            names: Arc::default(),
            settings: Arc::default(),
            inbound: None,
            gateway: None,
            exports: None,
            policies: Arc::from([]),
            forward_policies: Arc::from([]),
            trust: Arc::from([]),
            hosts: QuickMap::default(),
            by_address: HashMap::new(),
            resolved: Arc::default(),
            absent_hosts: HashSet::new(),
            absent_addresses: HashSet::new(),
        }
    }

    pub(super) fn apply(&mut self, now: &Snapshot, change: SnapshotChange) -> Snapshot {
        let mut next = copy(now);
        let mut touched = Touched::default();
        for key in change.removed {
            self.remove(&mut next, key, &mut touched);
        }
        for (key, resource) in change.upserts {
            self.upsert(&mut next, key, resource, &mut touched);
        }
        touched.hosts.extend(resolved::take(&mut next, change.resolved));
        for host in &touched.hosts {
            self.build_host(&mut next, host);
        }
        if touched.gateway {
            next.gateway = self.build_gateway(now);
            // A proxy serves one gateway of a mesh: if it forwards between networks, these are about that.
            next.forward_policies = self.gateway_policies.values().cloned().collect();
        }
        if touched.policies {
            next.policies = self.policies.values().cloned().collect();
        }
        for absent in change.absent {
            match absent {
                Subscription::Host(host) if !next.hosts.contains_key(&host) => {
                    next.absent_hosts.insert(host);
                }
                Subscription::Address(ip) if !next.by_address.contains_key(&ip) => {
                    next.absent_addresses.insert(ip);
                }
                _ => {}
            }
        }
        for gone in change.forgotten {
            match gone {
                Subscription::Host(host) => {
                    next.absent_hosts.remove(&host);
                }
                Subscription::Address(ip) => {
                    next.absent_addresses.remove(&ip);
                }
                _ => {}
            }
        }
        next
    }

    fn upsert(&mut self, next: &mut Snapshot, key: ResourceKey, resource: Resource, touched: &mut Touched) {
        match resource {
            Resource::Names(names) => next.names = Arc::new(names.seen_in(&self.me.namespace)),
            Resource::Settings(settings) => touched.hosts.extend(resolved::take_settings(next, settings)),
            Resource::Trust(bundle) => {
                let mut trust: Vec<_> =
                    next.trust.iter().filter(|b| b.trust_domain != bundle.trust_domain).cloned().collect();
                trust.push(bundle);
                next.trust = trust.into();
            }
            Resource::Service(service) if !self.sees(&service) => {
                // As if it did not exist.
                self.remove(next, key, touched);
                next.absent_hosts.insert(service.host);
            }
            Resource::Service(service) => {
                let host = service.host.clone();
                next.absent_hosts.remove(&host);
                self.parts.entry(host.clone()).or_default().service = Some(service);
                touched.hosts.insert(host);
            }
            Resource::Slice(slice) => {
                let endpoints = slice.endpoints.iter().map(|endpoint| self.share(endpoint)).collect();
                self.unbuild(next, &slice.host);
                let parts = self.parts.entry(slice.host.clone()).or_default();
                parts.slices.insert(slice.index, Slice::New(endpoints));
                touched.hosts.insert(slice.host);
            }
            Resource::Rule(rule) => {
                // Equal texts are held once, with the rule.
                let own = ResourceKey::of_rule(&rule);
                let key = if own == key { own } else { key };
                self.upsert_rule(key, rule, touched);
            }
            Resource::L4Rule(rule) => self.upsert_l4_rule(key, rule, touched),
            Resource::TrafficPolicy(policy) => {
                let ResourceKey::TrafficPolicy { host, .. } = &key else { return };
                touched.hosts.insert(host.clone());
                self.parts.entry(host.clone()).or_default().policies.insert(key, policy);
            }
            Resource::Address(ip, host) => {
                next.absent_addresses.remove(&ip);
                next.by_address.insert(ip, host);
            }
            Resource::Inbound(inbound) => next.inbound = Some(Arc::new(inbound)),
            Resource::Policy(policy) => match key {
                ResourceKey::GatewayPolicy { .. } => {
                    self.gateway_policies.insert(key, Arc::new(policy));
                    touched.gateway = true;
                }
                _ => {
                    self.policies.insert(key, Arc::new(policy));
                    touched.policies = true;
                }
            },
            Resource::Gateway(gateway) => {
                self.gateways.insert(key, gateway);
                touched.gateway = true;
            }
            Resource::Exports(exports) => next.exports = Some(Arc::new(exports)),
            // Listeners that name it show it from now on.
            Resource::KeyPair(pair) => self.certificates.put(pair),
            // Between planes only; a proxy has no use for it.
            Resource::Cluster(_) => {}
        }
    }

    fn sees(&self, service: &Service) -> bool {
        service.external.as_ref().is_none_or(|external| external.is_visible_in(&self.me.namespace))
    }

    fn upsert_rule(&mut self, key: ResourceKey, rule: Arc<RouteRule>, touched: &mut Touched) {
        match &rule.parent {
            Parent::Service { host, .. } => {
                touched.hosts.insert(host.clone());
                self.parts.entry(host.clone()).or_default().rules.insert(Box::new(key), rule);
            }
            Parent::Gateway { .. } => {
                self.gateway_rules.insert(Box::new(key), rule);
                touched.gateway = true;
            }
        }
    }

    fn upsert_l4_rule(&mut self, key: ResourceKey, rule: Arc<L4Rule>, touched: &mut Touched) {
        match &rule.parent {
            Parent::Service { host, .. } => {
                touched.hosts.insert(host.clone());
                self.parts.entry(host.clone()).or_default().l4_rules.insert(key, rule);
            }
            Parent::Gateway { .. } => {
                self.gateway_l4_rules.insert(key, rule);
                touched.gateway = true;
            }
        }
    }

    fn remove(&mut self, next: &mut Snapshot, key: ResourceKey, touched: &mut Touched) {
        match key {
            ResourceKey::Names => next.names = Arc::default(),
            ResourceKey::Settings => {
                touched.hosts.extend(resolved::take_settings(next, MeshSettings::default()));
            }
            ResourceKey::Trust(domain) => {
                next.trust =
                    next.trust.iter().filter(|b| b.trust_domain.as_str() != &*domain).cloned().collect();
            }
            ResourceKey::Service(host) => {
                self.unbuild(next, &host);
                if let Some(parts) = self.parts.get_mut(&host) {
                    parts.service = None;
                }
                if let Some(entry) = next.hosts.remove(&host)
                    && let Some(ip) = entry.service.address
                    && next.by_address.get(&ip) == Some(&host)
                {
                    next.by_address.remove(&ip);
                }
                touched.hosts.insert(host);
            }
            ResourceKey::Slice(host, index) => {
                self.unbuild(next, &host);
                if let Some(parts) = self.parts.get_mut(&host) {
                    parts.slices.remove(&index);
                }
                touched.hosts.insert(host);
            }
            ResourceKey::Rule { parent: Parent::Service { ref host, .. }, .. } => {
                if let Some(parts) = self.parts.get_mut(host) {
                    parts.rules.remove(&key);
                }
                touched.hosts.insert(host.clone());
            }
            ResourceKey::L4Rule { parent: Parent::Service { ref host, .. }, .. } => {
                if let Some(parts) = self.parts.get_mut(host) {
                    parts.l4_rules.remove(&key);
                }
                touched.hosts.insert(host.clone());
            }
            ResourceKey::L4Rule { parent: Parent::Gateway { .. }, .. } => {
                touched.gateway |= self.gateway_l4_rules.remove(&key).is_some();
            }
            ResourceKey::TrafficPolicy { ref host, .. } => {
                if let Some(parts) = self.parts.get_mut(host) {
                    parts.policies.remove(&key);
                }
                touched.hosts.insert(host.clone());
            }
            ResourceKey::Rule { parent: Parent::Gateway { .. }, .. } => {
                touched.gateway |= self.gateway_rules.remove(&key).is_some();
            }
            // An address that a service still names stays: it is known from there too.
            ResourceKey::Address(ip) => {
                let owner = next.by_address.get(&ip).and_then(|host| next.hosts.get(host));
                if owner.is_none_or(|entry| entry.service.address != Some(ip)) {
                    next.by_address.remove(&ip);
                }
            }
            ResourceKey::Inbound(..) => next.inbound = None,
            ResourceKey::Policy(..) => touched.policies |= self.policies.remove(&key).is_some(),
            ResourceKey::GatewayPolicy { .. } => {
                touched.gateway |= self.gateway_policies.remove(&key).is_some();
            }
            ResourceKey::Gateway(..) => touched.gateway |= self.gateways.remove(&key).is_some(),
            ResourceKey::Exports => next.exports = None,
            ResourceKey::KeyPair(namespace, name) => self.certificates.remove(&namespace, &name),
            ResourceKey::Cluster(_) => {}
        }
    }

    /// The next snapshot when listeners that could not be opened can be opened now.
    pub(super) fn reopen(&mut self, now: &Snapshot) -> Option<Snapshot> {
        let entry = now.gateway.as_deref()?;
        gateway::can_open(entry, &mut *self.ports).then(|| {
            let mut next = copy(now);
            next.gateway = self.build_gateway(now);
            next
        })
    }

    fn build_gateway(&mut self, now: &Snapshot) -> Option<Arc<GatewayEntry>> {
        let held = gateway::GatewayInputs {
            gateways: &self.gateways,
            rules: &self.gateway_rules,
            l4_rules: &self.gateway_l4_rules,
            policies: &self.gateway_policies,
            certificates: &self.certificates,
        };
        gateway::build(&held, &mut *self.ports, now.gateway.as_deref())
    }

    /// The same endpoint, with its profile shared with others.
    fn share(&mut self, endpoint: &Endpoint) -> Endpoint {
        Endpoint { profile: self.profiles.intern_arc(Arc::clone(&endpoint.profile)), ..endpoint.clone() }
    }
}

/// What an update reaches.
#[derive(Default)]
struct Touched {
    hosts: HashSet<Hostname>,
    gateway: bool,
    policies: bool,
}

fn copy(now: &Snapshot) -> Snapshot {
    Snapshot {
        epoch: now.epoch + 1,
        me: now.me.clone(),
        own: now.own.clone(),
        names: Arc::clone(&now.names),
        settings: Arc::clone(&now.settings),
        inbound: now.inbound.clone(),
        gateway: now.gateway.clone(),
        exports: now.exports.clone(),
        policies: Arc::clone(&now.policies),
        forward_policies: Arc::clone(&now.forward_policies),
        trust: Arc::clone(&now.trust),
        hosts: now.hosts.clone(),
        by_address: now.by_address.clone(),
        resolved: Arc::clone(&now.resolved),
        absent_hosts: now.absent_hosts.clone(),
        absent_addresses: now.absent_addresses.clone(),
    }
}
