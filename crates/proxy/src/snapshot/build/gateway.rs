//! The gateways held, as one, with what of their listeners can be opened.

use super::{L4Rules, Rules};
use crate::edge_tls::certificates::ListenerCertificates;
use crate::edge_tls::listener::{ListenerId, TlsListener};
use crate::listening::ListenPlace;
use crate::snapshot::ports::{Ports, place};
use crate::snapshot::{ClosedListener, GatewayEntry, Hindrance};
use decide::l4_route::L4Table;
use decide::route::Table;
use model::listener::{Gateway, GatewayListener, ListenerProtocol};
use model::listener_tls::CaBundle;
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
    pub(super) certificates: &'a ListenerCertificates,
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
        held.certificates.keep_only(&HashSet::new(), &HashSet::new());
        return None;
    };
    let merged =
        Gateway { namespace: first.namespace.clone(), name: first.name.clone(), listeners: Vec::new() };
    let mut entry = GatewayEntry {
        gateway: merged,
        rules: Vec::new(),
        l4_rules: Vec::new(),
        policies: Vec::new(),
        tls: Vec::new(),
        owners: Vec::new(),
        closed: Vec::new(),
    };
    let mut reserved: HashMap<SocketAddr, Result<(), Arc<str>>> = HashMap::new();
    for gateway in held.gateways.values() {
        for listener in &gateway.listeners {
            let address = place(listener);
            let opened = match reserve(listener, ports, &mut reserved) {
                Ok(()) => {
                    speak(gateway, listener, held, now).map_err(|why| (why.into(), Hindrance::Settings))
                }
                Err(why) => Err((why, Hindrance::Place)),
            };
            match opened {
                Ok(tls) => entry.add(gateway, listener, tls, held),
                Err((why, hindrance)) => entry.closed.push(ClosedListener {
                    namespace: gateway.namespace.clone(),
                    gateway: gateway.name.clone(),
                    name: listener.name.clone(),
                    address,
                    why,
                    hindrance,
                }),
            }
        }
    }
    for gateway in held.gateways.values().filter(|gateway| entry.is_blocked(gateway)).collect::<Vec<_>>() {
        for listener in now.iter().flat_map(|now| now.of(gateway)) {
            let is_served = entry.gateway.listeners.iter().any(|wanted| place(wanted) == place(listener));
            if entry.is_moving(gateway, listener)
                && !is_served
                && let Ok(tls) = speak(gateway, listener, held, now)
            {
                entry.add(gateway, listener, tls, held);
            }
        }
    }
    ports.keep_only(&entry.places());
    forget_certificates(held);
    Some(Arc::new(entry))
}

/// Makes sure that a listener can be opened. The ports of datagrams are others: their sockets are opened by the workers
/// alone, and one that cannot be opened is tried again by them.
fn reserve(
    listener: &GatewayListener,
    ports: &mut dyn Ports,
    reserved: &mut HashMap<SocketAddr, Result<(), Arc<str>>>,
) -> Result<(), Arc<str>> {
    if listener.protocol == ListenerProtocol::Udp {
        return Ok(());
    }
    let address = place(listener);
    let asked = reserved
        .entry(address)
        .or_insert_with(|| ports.reserve(address).map_err(|error| error.to_string().into()));
    asked.clone()
}

/// Whether some listener that could not be opened can be opened now.
pub(super) fn can_open(entry: &GatewayEntry, ports: &mut dyn Ports) -> bool {
    let mut may_open = entry.closed.iter().filter(|closed| closed.hindrance == Hindrance::Place);
    may_open.any(|closed| ports.reserve(closed.address).is_ok())
}

/// How a listener speaks TLS. One that is as before stays the same, with the sessions that callers may resume.
fn speak(
    gateway: &Gateway,
    listener: &GatewayListener,
    held: &GatewayInputs<'_>,
    now: Option<&GatewayEntry>,
) -> Result<Option<Arc<TlsListener>>, String> {
    let Some(tls) = &listener.tls else { return Ok(None) };
    let id = ListenerId {
        namespace: gateway.namespace.clone(),
        gateway: gateway.name.clone(),
        name: listener.name.clone(),
    };
    let before = now.and_then(|now| {
        let index = now.find(&id)?;
        let is_same = now.gateway.listeners.get(index)?.protocol == listener.protocol;
        now.tls(index).filter(|before| is_same && before.tls == *tls)
    });
    match before {
        Some(before) => Ok(Some(Arc::clone(before))),
        None => TlsListener::compile(id, listener, tls, held.certificates).map(|made| Some(Arc::new(made))),
    }
}

/// Forgets the certificates and authorities that no listener names.
fn forget_certificates(held: &GatewayInputs<'_>) {
    let listeners = held.gateways.values().flat_map(|gateway| &gateway.listeners);
    let all: Vec<_> = listeners.filter_map(|listener| listener.tls.as_deref()).collect();
    let pairs = all.iter().flat_map(|tls| &tls.certificates).collect();
    let bundles = all.iter().filter_map(|tls| tls.client.as_ref()).flat_map(|client| &client.authorities);
    let files = bundles.filter_map(|bundle| match bundle {
        CaBundle::File(path) => Some(path),
        CaBundle::Inline(_) => None,
    });
    held.certificates.keep_only(&pairs, &files.collect());
}

impl GatewayEntry {
    fn add(
        &mut self,
        gateway: &Gateway,
        listener: &GatewayListener,
        tls: Option<Arc<TlsListener>>,
        held: &GatewayInputs<'_>,
    ) {
        let is_here = |parent: &Parent| {
            matches!(parent, Parent::Gateway { namespace, name, listener: section }
                if *namespace == gateway.namespace && *name == gateway.name
                    && (section.is_empty() && listener.is_gateways_own() || *section == listener.name))
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
        self.tls.push(tls);
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

    /// Where it listens for connections.
    pub(crate) fn places(&self) -> HashSet<SocketAddr> {
        self.all(|protocol| protocol != ListenerProtocol::Udp)
    }

    /// Where it listens, for datagrams too.
    pub(crate) fn listen_places(&self) -> HashSet<ListenPlace> {
        let datagrams = self.all(|protocol| protocol == ListenerProtocol::Udp);
        let connections = self.places().into_iter().map(ListenPlace::Tcp);
        connections.chain(datagrams.into_iter().map(ListenPlace::Udp)).collect()
    }

    fn all(&self, is_meant: impl Fn(ListenerProtocol) -> bool) -> HashSet<SocketAddr> {
        let listeners = self.gateway.listeners.iter();
        listeners.filter(|listener| is_meant(listener.protocol)).map(place).collect()
    }
}
