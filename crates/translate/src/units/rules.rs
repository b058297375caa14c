//! The rules that routes of all kinds have, for those who look them up and do not care which kind it is. A new kind of
//! route is a row in [`rules_of`] and one in [`unit`].

use super::{UnitKey, WorldReader};
use crate::world::inputs::Pair;
use model::l4_route::L4Rule;
use model::route::{Parent, RouteRule};
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
    /// Hosts that it leads to, copies of requests too.
    pub(crate) hosts: Vec<&'w Hostname>,
}

/// The rules of a route, none of any other unit.
pub(crate) fn rules_of<'w>(unit: &UnitKey, read: &WorldReader<'w>) -> RulesOf<'w> {
    let none = RulesOf::default();
    match unit {
        UnitKey::HttpRoute(route) => {
            read.http_route(route).map_or(none, |route| RulesOf { requests: &route.rules, ..none })
        }
        UnitKey::GrpcRoute(route) => {
            read.grpc_route(route).map_or(none, |route| RulesOf { requests: &route.rules, ..none })
        }
        UnitKey::TcpRoute(route) => {
            read.tcp_route(route).map_or(none, |route| RulesOf { connections: &route.rules, ..none })
        }
        UnitKey::UdpRoute(route) => {
            read.udp_route(route).map_or(none, |route| RulesOf { connections: &route.rules, ..none })
        }
        UnitKey::VirtualService(route) => read
            .virtual_service(route)
            .map_or(none, |route| RulesOf { requests: &route.rules, connections: &route.l4_rules }),
        UnitKey::TlsRoute(route) => {
            read.tls_route(route).map_or(none, |route| RulesOf { connections: &route.rules, ..none })
        }
        _ => none,
    }
}

/// The unit of a route.
fn unit(route: &ObjectRef) -> Option<UnitKey> {
    let pair: Pair = (route.namespace.clone(), route.name.clone());
    Some(match &*route.kind {
        "HTTPRoute" => UnitKey::HttpRoute(pair),
        "GRPCRoute" => UnitKey::GrpcRoute(pair),
        "TCPRoute" => UnitKey::TcpRoute(pair),
        "UDPRoute" => UnitKey::UdpRoute(pair),
        "TLSRoute" => UnitKey::TlsRoute(pair),
        "VirtualService" => UnitKey::VirtualService(pair),
        _ => return None,
    })
}

/// The rule for requests of this name. They are sorted by what is asked for.
pub(crate) fn find_rule<'w>(
    parent: &Parent,
    route: &ObjectRef,
    index: u32,
    read: &WorldReader<'w>,
) -> Option<&'w Arc<RouteRule>> {
    let rules = rules_of(&unit(route)?, read).requests;
    let found = rules.binary_search_by(|rule| (&rule.parent, rule.index).cmp(&(parent, index)));
    rules.get(found.ok()?)
}

/// The rule for connections of this name.
pub(crate) fn find_l4_rule<'w>(
    parent: &Parent,
    route: &ObjectRef,
    index: u32,
    read: &WorldReader<'w>,
) -> Option<&'w Arc<L4Rule>> {
    let rules = rules_of(&unit(route)?, read).connections;
    let found = rules.binary_search_by(|rule| (&rule.parent, rule.index).cmp(&(parent, index)));
    rules.get(found.ok()?)
}

impl<'w> RulesOf<'w> {
    /// All of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = AnyRule<'w>> {
        let requests = self.requests.iter().map(|rule| AnyRule {
            key: ResourceKey::of_rule(rule),
            parent: &rule.parent,
            hosts: rule.led_to().collect(),
        });
        requests.chain(self.connections.iter().map(|rule| AnyRule {
            key: ResourceKey::of_l4_rule(rule),
            parent: &rule.parent,
            hosts: rule.backends.iter().filter_map(|backend| backend.host.as_ref()).collect(),
        }))
    }

    /// The subscriptions with a rule that leads to a host.
    pub(crate) fn parents_leading_to(self, host: &Hostname) -> impl Iterator<Item = Subscription> {
        let leads = move |rule: &AnyRule<'_>| rule.hosts.contains(&host);
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
