//! The gateways held, as one, with what of their listeners can be opened.

use super::{L4Rules, Rules};
use crate::snapshot::ports::{Ports, place};
use crate::snapshot::{ClosedListener, GatewayEntry};
use decide::l4_route::L4Table;
use decide::route::Table;
use model::listener::{Gateway, GatewayListener};
use model::route::{Parent, RouteRule};
use model::{Policy, ResourceKey};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// What of the configuration is about gateways.
pub(super) struct GatewayInputs<'a> {
    pub(super) gateways: &'a BTreeMap<ResourceKey, Gateway>,
    pub(super) rules: &'a Rules,
    pub(super) l4_rules: &'a L4Rules,
    pub(super) policies: &'a BTreeMap<ResourceKey, Arc<Policy>>,
}

/// All gateways held, as one: a proxy outside a mesh (`leno gateway`) may serve several. A listener that cannot be
/// opened is left out; where it listened before, by `now`, it stays as long.
pub(super) fn build(
    held: &GatewayInputs<'_>,
    ports: &mut dyn Ports,
    now: Option<&GatewayEntry>,
) -> Option<Arc<GatewayEntry>> {
    let Some(first) = held.gateways.values().next() else {
        ports.keep_only(&HashSet::new());
        return None;
    };
    let merged =
        Gateway { namespace: first.namespace.clone(), name: first.name.clone(), listeners: Vec::new() };
    let mut entry = GatewayEntry {
        gateway: merged,
        rules: Vec::new(),
        l4_rules: Vec::new(),
        policies: Vec::new(),
        owners: Vec::new(),
        closed: Vec::new(),
    };
    let mut reserved: HashMap<SocketAddr, Result<(), Arc<str>>> = HashMap::new();
    for gateway in held.gateways.values() {
        for listener in &gateway.listeners {
            let address = place(listener);
            let asked = reserved
                .entry(address)
                .or_insert_with(|| ports.reserve(address).map_err(|error| error.to_string().into()));
            let not_yet = Err("TLS is not served yet".into());
            match if listener.tls.is_some() { &not_yet } else { &*asked } {
                Ok(()) => entry.add(gateway, listener, held),
                Err(why) => entry.closed.push(ClosedListener {
                    namespace: gateway.namespace.clone(),
                    gateway: gateway.name.clone(),
                    name: listener.name.clone(),
                    address,
                    why: Arc::clone(why),
                }),
            }
        }
    }
    for gateway in held.gateways.values().filter(|gateway| entry.is_blocked(gateway)).collect::<Vec<_>>() {
        for listener in now.iter().flat_map(|now| now.of(gateway)) {
            let is_served = entry.gateway.listeners.iter().any(|wanted| place(wanted) == place(listener));
            if entry.is_moving(gateway, listener) && !is_served {
                entry.add(gateway, listener, held);
            }
        }
    }
    ports.keep_only(&entry.places());
    Some(Arc::new(entry))
}

/// Whether some listener that could not be opened can be opened now.
pub(super) fn can_open(entry: &GatewayEntry, ports: &mut dyn Ports) -> bool {
    entry.closed.iter().any(|closed| ports.reserve(closed.address).is_ok())
}

impl GatewayEntry {
    fn add(&mut self, gateway: &Gateway, listener: &GatewayListener, held: &GatewayInputs<'_>) {
        let is_here = |parent: &Parent| {
            matches!(parent, Parent::Gateway { namespace, name, listener: section }
                if *namespace == gateway.namespace && *name == gateway.name
                    && (section.is_empty() || *section == listener.name))
        };
        let hangs_here = |rule: &&Arc<RouteRule>| is_here(&rule.parent);
        let is_on = |(key, _): &(&ResourceKey, &Arc<Policy>)| {
            matches!(key, ResourceKey::GatewayPolicy { gateway: (namespace, name), .. }
                if *namespace == gateway.namespace && *name == gateway.name)
        };
        self.rules.push(Table::compile(held.rules.values().filter(hangs_here).cloned()));
        let of_connections = held.l4_rules.values().filter(|rule| is_here(&rule.parent));
        self.l4_rules.push(L4Table::compile(of_connections.cloned()));
        self.policies.push(held.policies.iter().filter(is_on).map(|(_, policy)| policy.clone()).collect());
        self.gateway.listeners.push(listener.clone());
        self.owners.push((gateway.namespace.clone(), gateway.name.clone()));
    }

    /// Whether some listener of `gateway` cannot be opened.
    fn is_blocked(&self, gateway: &Gateway) -> bool {
        self.closed
            .iter()
            .any(|closed| closed.namespace == gateway.namespace && closed.gateway == gateway.name)
    }

    /// Whether a listener of this name of `gateway` cannot be opened where it is wanted now. A listener that is
    /// not wanted any more is no reason to stay where it was: it would serve what was never meant for there.
    fn is_moving(&self, gateway: &Gateway, listener: &GatewayListener) -> bool {
        self.closed.iter().any(|closed| {
            closed.namespace == gateway.namespace
                && closed.gateway == gateway.name
                && closed.name == listener.name
        })
    }

    /// The listeners of `gateway`.
    fn of(&self, gateway: &Gateway) -> impl Iterator<Item = &GatewayListener> {
        let owned = self.gateway.listeners.iter().zip(&self.owners);
        owned.filter_map(|(listener, (namespace, name))| {
            (*namespace == gateway.namespace && *name == gateway.name).then_some(listener)
        })
    }

    /// Where it listens.
    pub(crate) fn places(&self) -> HashSet<SocketAddr> {
        self.gateway.listeners.iter().map(place).collect()
    }
}
