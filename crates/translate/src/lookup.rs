//! What a subscription consists of, and what each resource says.

use crate::world::World;
use model::{Finding, Resource, ResourceKey, Subscription};
use std::sync::Arc;

/// Which proxy asks: all proxies of a group see the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProxyKey {
    /// Namespace of its group.
    pub namespace: Arc<str>,
    /// Name of its group.
    pub group: Arc<str>,
}

/// A resource and what is wrong with what it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// The content.
    pub resource: Resource,
    /// Findings about it.
    pub findings: Vec<Finding>,
}

/// The keys that belong to a subscription, sorted; empty when there is nothing by that name.
pub fn members(_subscription: &Subscription, _world: &World) -> Vec<ResourceKey> {
    Vec::new()
}

/// The content of a key; `None` when there is no such resource.
pub fn resource(_key: &ResourceKey, _world: &World) -> Option<Translated> {
    None
}

/// What a proxy sees without asking.
pub fn visible(proxy: &ProxyKey, _world: &World) -> Vec<Subscription> {
    vec![
        Subscription::Mesh,
        Subscription::Inbound { namespace: proxy.namespace.clone(), group: proxy.group.clone() },
    ]
}
