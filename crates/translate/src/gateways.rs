//! What proxies accept: inbound sides, gateways, exports.

use crate::routes::host_match;
use crate::world::{Pair, World};
use api::kinds::gateway::{BIND_ADDRESS, CLASS, GatewaySpec};
use api::{Object, Spec};
use model::listener::{Exports, Gateway, GatewayListener, Inbound, InboundPort};
use model::service::Protocol;
use model::{Hostname, ObjectRef, Subscription};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn inbound_subscription(group: &Pair) -> Subscription {
    Subscription::Inbound { namespace: group.0.clone(), group: group.1.clone() }
}

/// The inbound side of a group.
pub(crate) fn inbound(pair: &Pair, world: &World) -> Option<Inbound> {
    let group = world.groups.get(pair)?;
    let mut ports: BTreeMap<u16, InboundPort> = BTreeMap::new();
    for host in hosts_of(pair, world) {
        let Some(entry) = world.hosts.get(&host) else { continue };
        for port in &entry.service.ports {
            let known = ports.entry(port.target_port).or_insert_with(|| InboundPort {
                port: port.target_port,
                protocol: port.protocol,
                names: Vec::new(),
            });
            // A declaration beats none; between two, the first host by name.
            if known.protocol == Protocol::Undeclared {
                known.protocol = port.protocol;
            }
            known.names.push((host.clone(), port.port));
        }
    }
    Some(Inbound {
        namespace: group.namespace.clone(),
        group: group.name.clone(),
        labels: group
            .labels
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect(),
        ports: ports.into_values().collect(),
    })
}

/// Hosts that workloads of a group serve, sorted.
pub(crate) fn hosts_of(pair: &Pair, world: &World) -> BTreeSet<Hostname> {
    let mut hosts = BTreeSet::new();
    for service in world.services_of_group.get(pair).into_iter().flatten() {
        hosts.extend(crate::hosts::service_host(&pair.0, service));
        let globals = world.globals_of_service.get(&(pair.0.clone(), service.clone()));
        for (namespace, name) in globals.into_iter().flatten() {
            let object = world.objects.get(&ObjectRef::new("GlobalService", namespace, name));
            hosts.extend(object.into_iter().flat_map(|object| world.hosts_won(object)));
        }
    }
    hosts
}

/// A gateway object that our proxies serve.
pub(crate) fn find_gateway<'a>(
    namespace: &str,
    name: &str,
    class: &str,
    world: &'a World,
) -> Option<(&'a Object, &'a GatewaySpec)> {
    let object = world.objects.get(&ObjectRef::new("Gateway", namespace, name))?;
    match &object.spec {
        Spec::Gateway(spec) if spec.gateway_class_name == class => Some((object, spec)),
        _ => None,
    }
}

/// A gateway for callers from outside.
pub(crate) fn gateway(namespace: &str, name: &str, world: &World) -> Option<Gateway> {
    let (object, spec) = find_gateway(namespace, name, CLASS, world)?;
    let address = object.meta.annotations.get(BIND_ADDRESS).and_then(|text| text.parse().ok());
    let listeners = spec.listeners.iter().map(|listener| GatewayListener {
        name: listener.name.as_str().into(),
        port: listener.port,
        host: listener.hostname.as_deref().and_then(host_match),
        address,
    });
    Some(Gateway {
        namespace: object.meta.namespace.clone(),
        name: object.meta.name.clone(),
        listeners: listeners.collect(),
    })
}

/// Hosts that other clusters may come for, sorted.
pub(crate) fn exported_hosts(world: &World) -> impl Iterator<Item = &Hostname> {
    world.claims.keys().filter(|host| world.hosts.get(*host).is_some_and(|entry| entry.exported))
}

pub(crate) fn exports(world: &World) -> Exports {
    let hosts = exported_hosts(world).flat_map(|host| {
        let ports = world.hosts.get(host).into_iter().flat_map(|entry| &entry.service.ports);
        ports.map(move |port| (host.clone(), port.port))
    });
    let mut hosts: Vec<(Hostname, u16)> = hosts.collect();
    hosts.sort();
    Exports { hosts }
}
