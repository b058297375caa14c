//! What routes for requests are compiled to, whichever kind they are of: rule resources for each of their parents.

use super::host::{find_host, host_match};
use super::missing::RouteFindings;
use super::parent::{RouteParent, RouteParents};
use super::rules::subscription;
use super::{Topic, WorldReader, missing, parent, route_contest};
use api::fields::parent_ref::ParentRef;
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

/// What a rule of any kind has, under a parent that is replaced.
pub(super) fn outline(route: &RouteParents<'_>, (index, name, line): (u32, Option<&str>, u32)) -> RouteRule {
    let parent = Parent::Gateway { namespace: "".into(), name: "".into(), listener: "".into() };
    RouteRule {
        index,
        name: name.map(Into::into),
        created_s: route.object.meta.created,
        hosts: route.hostnames.iter().filter_map(|host| host_match(host)).collect(),
        ..RouteRule::new(parent, route.object.at(line))
    }
}

impl CompiledRoute {
    /// `rules` are independent of their parents, and `findings` what is wrong with them.
    pub(super) fn new(
        route: &RouteParents<'_>,
        rules: &[RouteRule],
        mut findings: RouteFindings,
        read: &WorldReader<'_>,
    ) -> Self {
        let parents = parent::compile(route, read, &mut findings);
        let mut all = Vec::with_capacity(parents.len() * rules.len());
        for parent in &parents {
            for rule in rules {
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
        Self { rules: all.into(), findings: findings.into() }
    }

    pub(super) fn topics(&self) -> BTreeSet<Topic> {
        let mut topics = BTreeSet::new();
        for rule in &self.rules {
            topics.insert(Topic::Under(subscription(&rule.parent)));
            topics.extend(rule.led_to().cloned().map(Topic::LeadingTo));
        }
        topics
    }

    pub(super) fn touches(old: Option<&Self>, new: Option<&Self>) -> Vec<Subscription> {
        let rules = [old, new].into_iter().flatten().flat_map(|route| &route.rules);
        rules.map(|rule| subscription(&rule.parent)).collect()
    }

    pub(super) fn findings(&self, route: &RouteParents<'_>, read: &WorldReader<'_>) -> Vec<Finding> {
        let mut findings = missing::complete(&self.findings, read);
        findings.extend(parents_on_tcp(route, read));
        findings.extend(route_contest::findings(route, &self.rules, read));
        findings
    }
}

/// Parents of a route where it can never apply: what arrives at a TCP port is not read as HTTP.
fn parents_on_tcp(route: &RouteParents<'_>, read: &WorldReader<'_>) -> Vec<Finding> {
    let on_tcp = |reference: &&ParentRef| {
        let hosts = match read.object(&parent::target(reference, route.object)) {
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
        let parent = parent::target(reference, route.object);
        let what = reference.port.map_or("each port".to_owned(), |port| format!("port {port}"));
        let kind = route.kind.name();
        let cause = format!("{what} of parent {parent} is TCP, where no {kind} has an effect");
        let fix = "declare the port as HTTP (`appProtocol: http`, or a name like `http-web`), or remove the parentRef";
        Finding::new(Code::Ignored, &route.object.at(reference.line), cause, fix)
    };
    route.parent_refs.iter().filter(on_tcp).map(finding).collect()
}
