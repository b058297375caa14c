//! One `HTTPRoute`: a rule resource for each of its rules under each of its parents.

pub(super) mod filters;
mod rule;

use super::host::find_host;
use super::missing::{self, RouteFindings};
use super::parent::{self, RouteParent, RouteParents, RouteType};
use super::rules::subscription;
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::fields::parent_ref::ParentRef;
use api::kinds::http_route::HttpRouteSpec;
use api::{Object, Spec};
use model::route::{Parent, RouteRule};
use model::service::Protocol;
use model::{Code, Finding, ObjectRef, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compiled route.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CompiledRoute {
    /// Sorted by parent and index. Lists, because most routes have one or two of each, and a map's first node is for
    /// eleven.
    pub(crate) rules: Box<[Arc<RouteRule>]>,
    findings: Box<[(Finding, Option<ObjectRef>)]>,
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
        let mut findings = RouteFindings::new();
        let attaching = RouteParents {
            object,
            kind: RouteType::Http,
            parent_refs: &spec.parent_refs,
            hostnames: &spec.hostnames,
            line: spec.line,
        };
        let parents = parent::compile(&attaching, read, &mut findings);
        let rules = rule::compile(object, spec, read, &mut findings);
        let mut all = Vec::with_capacity(parents.len() * rules.len());
        for parent in &parents {
            for rule in &rules {
                let RouteParent { parent, consumer } = parent.clone();
                let mut rule = RouteRule { parent, consumer, ..rule.clone() };
                if matches!(rule.parent, Parent::Service { .. }) {
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
            topics.extend(rule.led_to().cloned().map(Topic::LeadingTo));
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
        let known =
            read.http_route(key).map_or_else(Vec::new, |route| missing::complete(&route.findings, read));
        let known = known.into_iter();
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
            Some(parent) => parent::hosts(parent, read),
            None => Vec::new(),
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
