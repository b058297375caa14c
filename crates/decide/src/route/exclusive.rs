//! HTTPRoutes and GRPCRoutes that want the same requests. At a listener the older route keeps a host, and those of the
//! other sort that name it too are not accepted there (Gateway API, `GRPCRouteSpec.hostnames`); at a port of a service
//! GRPCRoutes go before HTTPRoutes (GEP-1426, "Route types").

use model::ObjectRef;
use model::route::{HostMatch, Parent, RouteRule};
use std::collections::{BTreeMap, HashMap};

/// The sorts of routes of which one shuts out the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RouteSort {
    Http,
    Grpc,
}

impl RouteSort {
    fn of(rule: &RouteRule) -> Option<Self> {
        match &*rule.origin.object.kind {
            "HTTPRoute" => Some(Self::Http),
            "GRPCRoute" => Some(Self::Grpc),
            _ => None,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Http => Self::Grpc,
            Self::Grpc => Self::Http,
        }
    }
}

/// The routes that are not accepted at a listener with these rules, each with an older one that has a host of it.
pub fn shut_out<'r>(
    rules: impl Iterator<Item = &'r RouteRule> + Clone,
) -> BTreeMap<&'r ObjectRef, &'r ObjectRef> {
    let has = |sort| rules.clone().any(|rule| RouteSort::of(rule) == Some(sort));
    let mut shut_out = BTreeMap::new();
    if !has(RouteSort::Grpc) || !has(RouteSort::Http) {
        return shut_out;
    }
    // All rules of a route name the same hosts.
    let routes: BTreeMap<&ObjectRef, &RouteRule> = rules.map(|rule| (&rule.origin.object, rule)).collect();
    let sorted = routes.values().filter_map(|rule| Some((RouteSort::of(rule)?, *rule)));
    let mut sorted: Vec<(RouteSort, &RouteRule)> = sorted.collect();
    sorted.sort_by_key(|(sort, rule)| {
        let object = &rule.origin.object;
        (rule.created_s, &object.namespace, &object.name, *sort)
    });
    let mut taken: BTreeMap<RouteSort, TakenHosts<'_>> = BTreeMap::new();
    for (sort, rule) in sorted {
        let route = &rule.origin.object;
        match taken.get(&sort.other()).and_then(|taken| taken.find(&rule.hosts)) {
            Some(older) => {
                shut_out.insert(route, older);
            }
            None => taken.entry(sort).or_default().take(&rule.hosts, route),
        }
    }
    shut_out
}

/// The ports of a service at which its GRPCRoutes count alone; 0: all.
pub(super) fn call_ports<'r>(rules: impl Iterator<Item = &'r RouteRule>) -> Box<[u16]> {
    let ports = rules.filter_map(|rule| match (RouteSort::of(rule), &rule.parent) {
        (Some(RouteSort::Grpc), Parent::Service { port, .. }) => Some(*port),
        _ => None,
    });
    let mut ports: Vec<u16> = ports.collect();
    ports.sort_unstable();
    ports.dedup();
    ports.into()
}

/// Hosts of the accepted routes of one sort, each with the first that named it.
#[derive(Default)]
struct TakenHosts<'r> {
    first: Option<&'r ObjectRef>,
    /// By a route without names.
    every: Option<&'r ObjectRef>,
    exact: HashMap<&'r str, &'r ObjectRef>,
    suffixes: HashMap<&'r str, &'r ObjectRef>,
    /// What lies above a name or a suffix.
    above: HashMap<&'r str, &'r ObjectRef>,
}

impl<'r> TakenHosts<'r> {
    fn take(&mut self, hosts: &'r [HostMatch], route: &'r ObjectRef) {
        self.first.get_or_insert(route);
        if hosts.is_empty() {
            self.every.get_or_insert(route);
        }
        for host in hosts {
            let (taken, name) = match host {
                HostMatch::Exact(name) => (&mut self.exact, name.as_str()),
                HostMatch::Suffix(name) => (&mut self.suffixes, name.as_str()),
                HostMatch::Ending(_) => continue,
            };
            taken.entry(name).or_insert(route);
            for above in above(name) {
                self.above.entry(above).or_insert(route);
            }
        }
    }

    /// The route that has one of these hosts.
    fn find(&self, hosts: &[HostMatch]) -> Option<&'r ObjectRef> {
        if hosts.is_empty() {
            return self.first;
        }
        let by_suffix = |name| above(name).find_map(|suffix| self.suffixes.get(suffix));
        let found = hosts.iter().find_map(|host| match host {
            HostMatch::Exact(name) => self.exact.get(name.as_str()).or_else(|| by_suffix(name.as_str())),
            HostMatch::Suffix(name) => {
                let name = name.as_str();
                let same = self.suffixes.get(name).or_else(|| self.above.get(name));
                same.or_else(|| by_suffix(name))
            }
            HostMatch::Ending(_) => None,
        });
        found.copied().or(self.every)
    }
}

/// `b.c` and `c` of `a.b.c`.
fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..))
}
