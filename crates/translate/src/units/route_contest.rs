//! HTTPRoutes and GRPCRoutes of one gateway that want the same hosts at a listener: which of them are not accepted there.
//! Proxies decide the same for themselves (`decide::route::shut_out`).

use super::parent::{RouteParents, RouteType};
use super::rules::rules_of;
use super::{Topic, Unit, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::{Object, Spec};
use model::route::{Parent, RouteRule};
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Each route that is not accepted at a listener, with the older one that is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RouteContest {
    shut_out: BTreeMap<(ObjectRef, Arc<str>), ObjectRef>,
}

pub(crate) struct RouteContestUnit;

impl Unit for RouteContestUnit {
    type Key = Pair;
    type Output = RouteContest;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::Gateway(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<RouteContest> {
        let (namespace, name) = key;
        let subscription = Subscription::Gateway { namespace: namespace.clone(), name: name.clone() };
        if read.members(Topic::CallsUnder(subscription.clone())).is_empty() {
            return None;
        }
        let units = read.members(Topic::Under(subscription)).into_iter();
        let of_requests = units.filter(|unit| matches!(unit, UnitKey::HttpRoute(_) | UnitKey::GrpcRoute(_)));
        let rules = of_requests.flat_map(|unit| rules_of(unit, read).requests);
        let rules: Vec<(&Arc<str>, &RouteRule)> = rules.filter_map(|rule| at_gateway(rule, key)).collect();
        let mut listeners: BTreeSet<&Arc<str>> = rules.iter().map(|(listener, _)| *listener).collect();
        let own = own_listeners(key, read);
        listeners.extend(&own);
        let mut shut_out = BTreeMap::new();
        for listener in listeners {
            let is_here = |named: &Arc<str>| named == listener || named.is_empty() && own.contains(listener);
            let here = rules.iter().filter(|(named, _)| is_here(named)).map(|(_, rule)| *rule);
            for (route, older) in decide::route::shut_out(here) {
                shut_out.insert((route.clone(), listener.clone()), older.clone());
            }
        }
        Some(RouteContest { shut_out })
    }

    fn touches(
        _key: &Pair,
        _old: Option<&RouteContest>,
        _new: Option<&RouteContest>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }
}

/// The rule, if it hangs on this gateway, with the listener that it names.
fn at_gateway<'w>(rule: &'w RouteRule, (namespace, name): &Pair) -> Option<(&'w Arc<str>, &'w RouteRule)> {
    match &rule.parent {
        Parent::Gateway { namespace: of, name: gateway, listener } if of == namespace && gateway == name => {
            Some((listener, rule))
        }
        _ => None,
    }
}

/// The names of those that the gateway lists itself.
fn own_listeners((namespace, name): &Pair, read: &WorldReader<'_>) -> BTreeSet<Arc<str>> {
    match read.own_object(&ObjectRef::new("Gateway", namespace, name)).map(|object| &object.spec) {
        Some(Spec::Gateway(spec)) => {
            spec.listeners.iter().map(|listener| listener.name.as_str().into()).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Where a route with these rules is not accepted, because one of the other kind is.
pub(super) fn findings(
    route: &RouteParents<'_>,
    rules: &[Arc<RouteRule>],
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let mut gateways = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for rule in rules {
        match &rule.parent {
            Parent::Gateway { namespace, name, .. } => {
                gateways.insert((namespace.clone(), name.clone()));
            }
            Parent::Service { host, port } => {
                ports.insert((host, *port, rule.consumer.as_ref()));
            }
        }
    }
    let mut findings: Vec<Finding> =
        gateways.iter().flat_map(|gateway| at_listeners(route, gateway, read)).collect();
    if route.kind == RouteType::Http {
        findings.extend(ports.into_iter().filter_map(|place| at_service(route, place, read)));
    }
    findings
}

fn at_listeners(route: &RouteParents<'_>, gateway: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
    let Some(contest) = read.route_contest(gateway) else { return Vec::new() };
    let own = contest.shut_out.iter().filter(|((object, _), _)| *object == route.object.object);
    let finding = |((_, listener), older): (&(ObjectRef, Arc<str>), &ObjectRef)| {
        let (namespace, name) = gateway;
        let cause = format!(
            "has no effect at listener {listener} of Gateway/{name}.{namespace}: {older} is for the same hosts there and \
             older, and a listener has an HTTPRoute or a GRPCRoute for a host, not both"
        );
        let fix = "give one of them other hostnames or another listener, or let an HTTPRoute say both: a method of gRPC \
                   is the path /SERVICE/METHOD";
        Finding::new(Code::RouteConflict, &route.object.at(route.line), cause, fix)
    };
    own.map(finding).collect()
}

/// At a port of a service any GRPCRoute shuts out the HTTPRoutes of the same namespace.
fn at_service(
    route: &RouteParents<'_>,
    (host, port, consumer): (&Hostname, u16, Option<&Arc<str>>),
    read: &WorldReader<'_>,
) -> Option<Finding> {
    let of_calls = read.members(Topic::CallsUnder(Subscription::Host(host.clone())));
    let shuts_out = |rule: &&Arc<RouteRule>| {
        let Parent::Service { host: of, port: at } = &rule.parent else { return false };
        of == host && (*at == port || *at == 0 || port == 0) && rule.consumer.as_ref() == consumer
    };
    let rule = of_calls.into_iter().flat_map(|unit| rules_of(unit, read).requests).find(shuts_out)?;
    let at = match &rule.parent {
        Parent::Service { port: at, .. } if *at != 0 => format!("port {at} of {host}"),
        _ if port != 0 => format!("port {port} of {host}"),
        _ => host.to_string(),
    };
    let cause = format!(
        "has no effect at {at}: {} is attached to it, and there GRPCRoutes count before HTTPRoutes",
        rule.origin.object
    );
    let fix = "let parentRefs name different ports, or let an HTTPRoute say both: a method of gRPC is the path \
               /SERVICE/METHOD";
    Some(Finding::new(Code::RouteConflict, &route.object.at(route.line), cause, fix))
}
