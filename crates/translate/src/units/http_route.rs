//! One `HTTPRoute`: a rule resource for each of its rules under each of its parents.

mod parent;
mod rule;

use super::host::find_host;
use super::missing::about_missing;
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::http_route::{HttpRouteSpec, ParentRef};
use api::{Object, Spec};
use model::route::{Parent, RouteRule};
use model::service::Protocol;
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compiled route.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CompiledRoute {
    /// Sorted by parent and index. Lists, because most routes have one or two of each, and a map's first node is for
    /// eleven.
    pub(crate) rules: Box<[Arc<RouteRule>]>,
    /// What is wrong, and the missing object if that is what is wrong: a better name for it depends on
    /// which objects exist, so one is looked for when somebody asks.
    findings: Box<[(Finding, Option<ObjectRef>)]>,
}

impl CompiledRoute {
    /// The rule under a parent with this index.
    pub(crate) fn find(&self, parent: &Parent, index: u32) -> Option<&Arc<RouteRule>> {
        let own = |rule: &Arc<RouteRule>| (&rule.parent, rule.index).cmp(&(parent, index));
        self.rules.get(self.rules.binary_search_by(own).ok()?)
    }

    /// The subscriptions with a rule that leads to a host.
    pub(super) fn parents_leading_to(&self, host: &Hostname) -> impl Iterator<Item = Subscription> {
        let leads =
            |rule: &RouteRule| rule.backends.iter().any(|backend| backend.host.as_ref() == Some(host));
        self.rules.iter().filter(move |rule| leads(rule)).map(|rule| subscription(&rule.parent))
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

pub(crate) struct HttpRouteUnit;

impl Unit for HttpRouteUnit {
    type Key = Pair;
    type Output = CompiledRoute;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::HttpRoute(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledRoute> {
        let (object, spec) = own(key, read)?;
        let mut findings = Vec::new();
        let parents = parent::compile(object, spec, read, &mut findings);
        let rules = rule::compile(object, spec, read, &mut findings);
        let mut all = Vec::with_capacity(parents.len() * rules.len());
        for parent in &parents {
            for rule in &rules {
                let mut rule = RouteRule { parent: parent.clone(), ..rule.clone() };
                if matches!(parent, Parent::Service { .. }) {
                    // GAMMA: host names of the route do not count in the mesh.
                    rule.hosts.clear();
                }
                all.push(Arc::new(rule));
            }
        }
        all.sort_unstable_by(|a, b| (&a.parent, a.index).cmp(&(&b.parent, b.index)));
        Some(CompiledRoute { rules: all.into(), findings: findings.into() })
    }

    fn topics(_key: &Pair, route: &CompiledRoute) -> Vec<Topic> {
        let mut topics = BTreeSet::new();
        for rule in &route.rules {
            topics.insert(Topic::Under(subscription(&rule.parent)));
            let hosts = rule.backends.iter().filter_map(|backend| backend.host.clone());
            topics.extend(hosts.map(Topic::LeadingTo));
        }
        topics.into_iter().collect()
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledRoute>,
        new: Option<&CompiledRoute>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        let rules = [old, new].into_iter().flatten().flat_map(|route| &route.rules);
        rules.map(|rule| subscription(&rule.parent)).collect()
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let complete = |(finding, missing): &(Finding, Option<ObjectRef>)| match missing {
            Some(missing) => {
                let (cause, fix) = about_missing(missing, finding.cause.clone(), read);
                Finding { cause, fix, ..finding.clone() }
            }
            None => finding.clone(),
        };
        let known = read.http_route(key).into_iter().flat_map(|route| &route.findings).map(complete);
        known.chain(parents_on_tcp(object, spec, read)).collect()
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w HttpRouteSpec)> {
    let object = read.own_object(&ObjectRef::new("HTTPRoute", namespace, name))?;
    match &object.spec {
        Spec::HttpRoute(spec) => Some((object, spec)),
        _ => None,
    }
}

/// Parents of a route where it can never apply: what arrives at a TCP port is not read as HTTP.
fn parents_on_tcp(route: &Object, spec: &HttpRouteSpec, read: &WorldReader<'_>) -> Vec<Finding> {
    let on_tcp = |reference: &&ParentRef| {
        let hosts = match read.object(&parent::target(reference, route)) {
            Some(parent) if parent.meta.namespace == route.meta.namespace => parent::hosts(parent, read),
            _ => Vec::new(),
        };
        let entry = hosts.first().and_then(|host| find_host(host, read));
        let ports = entry.iter().flat_map(|entry| &entry.service.ports);
        let mut meant =
            ports.filter(|port| reference.port.is_none_or(|number| number == port.port)).peekable();
        meant.peek().is_some() && meant.all(|port| port.protocol == Protocol::Tcp)
    };
    let finding = |reference: &ParentRef| {
        let parent = parent::target(reference, route);
        let what = reference.port.map_or("each port".to_owned(), |port| format!("port {port}"));
        let cause = format!("{what} of parent {parent} is TCP, where no HTTPRoute has an effect");
        let fix = "declare the port as HTTP (`appProtocol: http`, or a name like `http-web`), or remove the parentRef";
        Finding::new(Code::Ignored, &route.at(reference.line), cause, fix)
    };
    spec.parent_refs.iter().filter(on_tcp).map(finding).collect()
}
