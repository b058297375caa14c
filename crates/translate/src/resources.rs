//! What a subscription consists of, and what each resource says.

use crate::names::names;
use crate::units::host::{find_host, find_slices};
use crate::units::{
    Topic, WorldReader, edge_gateway, exported_hosts, exports, find_l4_rule, find_rule, inbound,
    is_east_west, key_pairs, on_gateway, on_group, on_host, rules_of, settings_in_force, subscription,
    workload_endpoints, workload_service,
};
use crate::world::World;
use crate::world::inputs::Pair;
use model::listener_tls::KeyPair;
use model::service::{EndpointSlice, Service};
use model::workload_host::is_workload_host;
use model::{Hostname, MeshSettings, Resource, ResourceKey, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which proxy asks: all proxies of a group see the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyKey {
    /// Namespace of its group.
    pub namespace: Arc<str>,
    /// Name of its group.
    pub group: Arc<str>,
}

/// The keys that belong to a subscription, sorted; empty when there is nothing by that name.
pub fn members(subscription: &Subscription, world: &World) -> Vec<ResourceKey> {
    let read = &world.read();
    let mut keys = BTreeSet::new();
    match subscription {
        Subscription::Mesh => {
            keys.insert(ResourceKey::Names);
            // A proxy that does not know it yet refuses it: it is not sent to those who need not.
            if settings_in_force(read) != MeshSettings::default() {
                keys.insert(ResourceKey::Settings);
            }
            keys.extend(world.inputs().trust.keys().cloned().map(ResourceKey::Trust));
        }
        Subscription::Host(host) if is_workload_host(host) => {
            if workload_service(host, read).is_some() {
                keys.extend([ResourceKey::Service(host.clone()), ResourceKey::Slice(host.clone(), 0)]);
            }
        }
        Subscription::Host(host) => {
            host_members(host, read, &mut keys);
            // A rule without its service would be dead weight: the parent must exist.
            if !keys.is_empty() {
                rule_members(subscription, read, &mut keys);
            }
        }
        Subscription::Address(address) => {
            let owner = world.inputs().addresses.host(*address).filter(|host| is_addressed(host, read));
            keys.extend(owner.map(|_| ResourceKey::Address(*address)));
        }
        Subscription::Inbound { namespace, group } => {
            let pair = (namespace.clone(), group.clone());
            if read.workload_group(&pair).is_some() {
                keys.insert(ResourceKey::Inbound(namespace.clone(), group.clone()));
                keys.extend(on_group(&pair, read));
            }
        }
        Subscription::Gateway { namespace, name } => {
            let pair = (namespace.clone(), name.clone());
            if edge_gateway(&pair, read).is_some() {
                keys.insert(ResourceKey::Gateway(namespace.clone(), name.clone()));
                let named = key_pairs(&pair, read).iter();
                keys.extend(
                    named.map(|pair| ResourceKey::KeyPair(pair.namespace.clone(), pair.name.clone())),
                );
                rule_members(subscription, read, &mut keys);
            }
            keys.extend(on_gateway(&pair, read));
        }
        Subscription::Exports => {
            keys.insert(ResourceKey::Exports);
            for host in exported_hosts(read) {
                host_members(host, read, &mut keys);
            }
        }
        Subscription::Clusters => {
            keys.extend(world.inputs().remotes.keys().cloned().map(ResourceKey::Cluster))
        }
    }
    keys.into_iter().collect()
}

/// Whether a mesh-only address stands for the host now.
fn is_addressed(host: &Hostname, read: &WorldReader<'_>) -> bool {
    find_host(host, read).is_some_and(|entry| entry.has_mesh_address())
}

/// A service, its slices and the policies that are attached to it.
fn host_members(host: &Hostname, read: &WorldReader<'_>, keys: &mut BTreeSet<ResourceKey>) {
    if find_host(host, read).is_some() {
        keys.insert(ResourceKey::Service(host.clone()));
        let indices = find_slices(host, read).into_iter().flat_map(|slices| slices.indices());
        keys.extend(indices.map(|index| ResourceKey::Slice(host.clone(), index)));
        keys.extend(on_host(host, read).into_iter().map(|(key, _)| key));
    }
}

/// The rules of a parent, and the services that they lead to (rules of these are not followed).
fn rule_members(parent: &Subscription, read: &WorldReader<'_>, keys: &mut BTreeSet<ResourceKey>) {
    let routes = read.members(Topic::Under(parent.clone())).into_iter();
    for route in routes.chain(read.members(Topic::UnderVirtual(parent.clone()))) {
        for rule in rules_of(route, read).iter().filter(|rule| subscription(rule.parent) == *parent) {
            for host in &rule.hosts {
                host_members(host, read, keys);
            }
            keys.insert(rule.key);
        }
    }
}

/// Found by any gateway that names it: who asks has been told of the key by one.
fn find_key_pair<'w>(namespace: &str, name: &str, read: &WorldReader<'w>) -> Option<&'w KeyPair> {
    let mut all = read.outputs().gateway.keys().flat_map(|gateway| key_pairs(gateway, read));
    all.find(|pair| *pair.namespace == *namespace && *pair.name == *name)
}

/// The content of a key; `None` when there is no such resource.
pub fn resource(key: &ResourceKey, world: &World) -> Option<Resource> {
    let read = &world.read();
    Some(match key {
        ResourceKey::Names => Resource::Names(names(read)),
        ResourceKey::Settings => Resource::Settings(settings_in_force(read)),
        ResourceKey::Trust(domain) => Resource::Trust(world.inputs().trust.get(domain)?.clone()),
        ResourceKey::Service(host) if is_workload_host(host) => {
            Resource::Service(workload_service(host, read)?)
        }
        ResourceKey::Service(host) => {
            let entry = find_host(host, read)?;
            let address = read.address(host).filter(|_| entry.has_mesh_address());
            Resource::Service(Service { address, ..entry.service.clone() })
        }
        ResourceKey::Slice(host, index) => {
            let endpoints = match is_workload_host(host) {
                true => workload_endpoints(host, read).filter(|_| *index == 0)?,
                false => Arc::clone(find_slices(host, read)?.find(*index)?),
            };
            Resource::Slice(EndpointSlice { host: host.clone(), index: *index, endpoints })
        }
        ResourceKey::Rule { parent, route, index } => {
            Resource::Rule(Arc::clone(find_rule(parent, route, *index, read)?))
        }
        ResourceKey::L4Rule { parent, route, index } => {
            Resource::L4Rule(Arc::clone(find_l4_rule(parent, route, *index, read)?))
        }
        ResourceKey::TrafficPolicy { host, .. } => {
            let (_, attached) = on_host(host, read).into_iter().find(|(known, _)| known == key)?;
            Resource::TrafficPolicy(attached.clone())
        }
        ResourceKey::Address(address) => {
            let host = world.inputs().addresses.host(*address).filter(|host| is_addressed(host, read))?;
            Resource::Address(*address, host.clone())
        }
        ResourceKey::Inbound(namespace, group) => {
            Resource::Inbound(inbound(&(namespace.clone(), group.clone()), read)?)
        }
        ResourceKey::Policy(namespace, name) | ResourceKey::GatewayPolicy { namespace, name, .. } => {
            let entry = read.authorization_policy(&(namespace.clone(), name.clone()))?;
            Resource::Policy(entry.policy.clone())
        }
        ResourceKey::Gateway(namespace, name) => {
            Resource::Gateway(edge_gateway(&(namespace.clone(), name.clone()), read)?.clone())
        }
        ResourceKey::KeyPair(namespace, name) => {
            Resource::KeyPair(find_key_pair(namespace, name, read)?.clone())
        }
        ResourceKey::Exports => Resource::Exports(exports(read)),
        ResourceKey::Cluster(name) => Resource::Cluster(world.inputs().remotes.get(name)?.clone()),
    })
}

/// All gateways: what a proxy sees that is a gateway and nothing else.
pub fn gateways(world: &World) -> Vec<Subscription> {
    let read = world.read();
    let subscription =
        |(namespace, name): &Pair| Subscription::Gateway { namespace: namespace.clone(), name: name.clone() };
    read.outputs().gateway.keys().map(subscription).collect()
}

/// What a proxy sees without asking. It changes only with the `Gateway` of the proxy's name.
pub fn visible(proxy: &ProxyKey, world: &World) -> Vec<Subscription> {
    let read = &world.read();
    let (namespace, name) = (&proxy.namespace, &proxy.group);
    let pair = (namespace.clone(), name.clone());
    let mut seen =
        vec![Subscription::Mesh, Subscription::Inbound { namespace: namespace.clone(), group: name.clone() }];
    let is_east_west = is_east_west(&pair, read);
    if is_east_west || edge_gateway(&pair, read).is_some() {
        seen.push(Subscription::Gateway { namespace: namespace.clone(), name: name.clone() });
    }
    if is_east_west {
        seen.push(Subscription::Exports);
    }
    seen
}
