//! The rules that routes of all kinds have, for those who look them up and do not care which kind it is. A new kind of
//! route is a row in [`rules_of`], and one in [`find_l4_rule`] if it has rules for connections.

use super::{UnitKey, WorldReader};
use crate::world::inputs::Pair;
use model::l4_route::L4Rule;
use model::route::{Parent, RouteBackend, RouteRule};
use model::{Hostname, ObjectRef, ResourceKey, Subscription};
use std::sync::Arc;

/// The rules of one route.
#[derive(Clone, Copy, Default)]
pub(crate) struct RulesOf<'w> {
    /// For requests.
    pub(crate) requests: &'w [Arc<RouteRule>],
    /// For connections and datagrams.
    pub(crate) connections: &'w [Arc<L4Rule>],
}

/// One rule, of either sort.
pub(crate) struct AnyRule<'w> {
    /// Its name.
    pub(crate) key: ResourceKey,
    /// What it hangs on.
    pub(crate) parent: &'w Parent,
    /// Where it leads.
    pub(crate) backends: &'w [RouteBackend],
}

/// The rules of a route, none of any other unit.
pub(crate) fn rules_of<'w>(unit: &UnitKey, read: &WorldReader<'w>) -> RulesOf<'w> {
    let none = RulesOf::default();
    match unit {
        UnitKey::HttpRoute(route) => {
            read.http_route(route).map_or(none, |route| RulesOf { requests: &route.rules, ..none })
        }
        UnitKey::TcpRoute(route) => {
            read.tcp_route(route).map_or(none, |route| RulesOf { connections: &route.rules, ..none })
        }
        UnitKey::UdpRoute(route) => {
            read.udp_route(route).map_or(none, |route| RulesOf { connections: &route.rules, ..none })
        }
        _ => none,
    }
}

/// The rule for connections of this name.
pub(crate) fn find_l4_rule<'w>(
    parent: &Parent,
    route: &ObjectRef,
    index: u32,
    read: &WorldReader<'w>,
) -> Option<&'w Arc<L4Rule>> {
    let pair: Pair = (route.namespace.clone(), route.name.clone());
    let unit = match &*route.kind {
        "TCPRoute" => UnitKey::TcpRoute(pair),
        "UDPRoute" => UnitKey::UdpRoute(pair),
        _ => return None,
    };
    let rules = rules_of(&unit, read).connections;
    rules.iter().find(|rule| rule.parent == *parent && rule.index == index)
}

impl<'w> RulesOf<'w> {
    /// All of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = AnyRule<'w>> {
        let requests = self.requests.iter().map(|rule| AnyRule {
            key: ResourceKey::of_rule(rule),
            parent: &rule.parent,
            backends: &rule.backends,
        });
        requests.chain(self.connections.iter().map(|rule| AnyRule {
            key: ResourceKey::of_l4_rule(rule),
            parent: &rule.parent,
            backends: &rule.backends,
        }))
    }

    /// The subscriptions with a rule that leads to a host.
    pub(crate) fn parents_leading_to(self, host: &Hostname) -> impl Iterator<Item = Subscription> {
        let leads =
            move |rule: &AnyRule<'_>| rule.backends.iter().any(|backend| backend.host.as_ref() == Some(host));
        self.iter().filter(leads).map(|rule| subscription(rule.parent))
    }
}

/// Which subscription carries rules of this parent.
pub(crate) fn subscription(parent: &Parent) -> Subscription {
    match parent {
        Parent::Service { host, .. } => Subscription::Host(host.clone()),
        Parent::Gateway { namespace, name, .. } => {
            Subscription::Gateway { namespace: namespace.clone(), name: name.clone() }
        }
    }
}
