//! What a subscription consists of, and what each resource says.

use crate::gateways;
use crate::world::World;
use crate::{policies, settings};
use api::Spec;
use api::kinds::gateway::{CLASS, EAST_WEST_CLASS};
use model::route::RouteRule;
use model::service::EndpointSlice;
use model::{Hostname, MeshSettings, ObjectRef, Resource, ResourceKey, Subscription};
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
    let mut keys = BTreeSet::new();
    match subscription {
        Subscription::Mesh => {
            keys.insert(ResourceKey::Names);
            // A proxy that does not know it yet refuses it: it is not sent to those who need not.
            if settings::mesh_settings(world) != MeshSettings::default() {
                keys.insert(ResourceKey::Settings);
            }
            keys.extend(world.trust.keys().cloned().map(ResourceKey::Trust));
        }
        Subscription::Host(host) => {
            host_members(host, world, &mut keys);
            // A rule without its service would be dead weight: the parent must exist.
            if !keys.is_empty() {
                rule_members(subscription, world, &mut keys);
            }
        }
        Subscription::Address(address) => {
            let owner = world.addresses.host(*address).filter(|host| world.hosts.contains_key(*host));
            keys.extend(owner.map(|_| ResourceKey::Address(*address)));
        }
        Subscription::Inbound { namespace, group } => {
            if let Some(state) = world.groups.get(&(namespace.clone(), group.clone())) {
                keys.insert(ResourceKey::Inbound(namespace.clone(), group.clone()));
                keys.extend(policies::on_group(namespace, &state.labels, world));
            }
        }
        Subscription::Gateway { namespace, name } => {
            if gateways::find_gateway(namespace, name, CLASS, world).is_some() {
                keys.insert(ResourceKey::Gateway(namespace.clone(), name.clone()));
                rule_members(subscription, world, &mut keys);
            }
            keys.extend(policies::on_gateway(namespace, name, world));
        }
        Subscription::Exports => {
            keys.insert(ResourceKey::Exports);
            for host in gateways::exported_hosts(world) {
                host_members(host, world, &mut keys);
            }
        }
        Subscription::Clusters => keys.extend(world.remotes.keys().cloned().map(ResourceKey::Cluster)),
    }
    keys.into_iter().collect()
}

/// A service and its slices.
fn host_members(host: &Hostname, world: &World, keys: &mut BTreeSet<ResourceKey>) {
    if let Some(entry) = world.hosts.get(host) {
        keys.insert(ResourceKey::Service(host.clone()));
        keys.extend(entry.slices.keys().map(|index| ResourceKey::Slice(host.clone(), *index)));
    }
}

/// The rules of a parent, and the services that they lead to (rules of these are not followed).
fn rule_members(parent: &Subscription, world: &World, keys: &mut BTreeSet<ResourceKey>) {
    for key in world.rules.get(parent).into_iter().flatten() {
        for backend in find_rule(key, world).into_iter().flat_map(|rule| &rule.backends) {
            if let Some(host) = &backend.host {
                host_members(host, world, keys);
            }
        }
        keys.insert(key.clone());
    }
}

fn find_rule<'a>(key: &ResourceKey, world: &'a World) -> Option<&'a Arc<RouteRule>> {
    let ResourceKey::Rule { namespace, route, .. } = key else { return None };
    world.routes.get(&(namespace.clone(), route.clone()))?.find(key)
}

/// The content of a key; `None` when there is no such resource.
pub fn resource(key: &ResourceKey, world: &World) -> Option<Resource> {
    Some(match key {
        ResourceKey::Names => Resource::Names(crate::names::names(world)),
        ResourceKey::Settings => Resource::Settings(settings::mesh_settings(world)),
        ResourceKey::Trust(domain) => Resource::Trust(world.trust.get(domain)?.clone()),
        ResourceKey::Service(host) => Resource::Service(world.hosts.get(host)?.service.clone()),
        ResourceKey::Slice(host, index) => {
            let endpoints = world.hosts.get(host)?.slices.get(index)?.clone();
            Resource::Slice(EndpointSlice { host: host.clone(), index: *index, endpoints })
        }
        ResourceKey::Rule { .. } => Resource::Rule(RouteRule::clone(find_rule(key, world)?)),
        ResourceKey::Address(address) => {
            let host = world.addresses.host(*address).filter(|host| world.hosts.contains_key(*host))?;
            Resource::Address(*address, host.clone())
        }
        ResourceKey::Inbound(namespace, group) => {
            Resource::Inbound(gateways::inbound(&(namespace.clone(), group.clone()), world)?)
        }
        ResourceKey::Policy(namespace, name) | ResourceKey::GatewayPolicy { namespace, name, .. } => {
            let object = world.objects.get(&ObjectRef::new("AuthorizationPolicy", namespace, name))?;
            let Spec::AuthorizationPolicy(spec) = &object.spec else { return None };
            Resource::Policy(policies::compile(object, spec, &world.place.trust_domain))
        }
        ResourceKey::Gateway(namespace, name) => {
            Resource::Gateway(gateways::gateway(namespace, name, world)?)
        }
        ResourceKey::Exports => Resource::Exports(gateways::exports(world)),
        ResourceKey::Cluster(name) => Resource::Cluster(world.remotes.get(name)?.clone()),
    })
}

/// What a proxy sees without asking. It changes only with the `Gateway` of the proxy's name.
pub fn visible(proxy: &ProxyKey, world: &World) -> Vec<Subscription> {
    let (namespace, name) = (&proxy.namespace, &proxy.group);
    let mut seen =
        vec![Subscription::Mesh, Subscription::Inbound { namespace: namespace.clone(), group: name.clone() }];
    let is_of = |class| gateways::find_gateway(namespace, name, class, world).is_some();
    let is_east_west = is_of(EAST_WEST_CLASS);
    if is_east_west || is_of(CLASS) {
        seen.push(Subscription::Gateway { namespace: namespace.clone(), name: name.clone() });
    }
    if is_east_west {
        seen.push(Subscription::Exports);
    }
    seen
}
