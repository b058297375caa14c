//! What routes for connections and datagrams are compiled to, whichever kind they are of.

use super::host::host_match;
use super::missing::RouteFindings;
use super::parent::{RouteParents, RouteType};
use super::rules::subscription;
use super::{Topic, WorldReader, backend_ref, missing, parent};
use api::Object;
use api::fields::l4_rules::L4RouteRule;
use api::fields::parent_ref::ParentRef;
use model::l4_route::{L4Match, L4Rule};
use model::route::RouteBackend;
use model::{Finding, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compiled route.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CompiledL4Route {
    /// Sorted by parent and index.
    pub(crate) rules: Box<[Arc<L4Rule>]>,
    findings: Box<[(Finding, Option<model::ObjectRef>)]>,
}

/// What a route's document says.
pub(super) struct L4RouteParts<'a> {
    pub(super) object: &'a Object,
    pub(super) kind: RouteType,
    pub(super) parent_refs: &'a [ParentRef],
    /// Server names; empty: all, and connections without one.
    pub(super) hostnames: &'a [String],
    pub(super) rules: &'a [L4RouteRule],
    /// Line of `spec`.
    pub(super) line: u32,
}

impl CompiledL4Route {
    pub(super) fn new(route: &L4RouteParts<'_>, read: &WorldReader<'_>) -> Self {
        let L4RouteParts { object, kind, parent_refs, hostnames, rules, line } = *route;
        let mut findings = RouteFindings::new();
        let attaching = RouteParents { object, kind, parent_refs, hostnames, line };
        let server_names: Vec<_> = hostnames.iter().filter_map(|name| host_match(name)).collect();
        let named = L4Match { server_names, ..L4Match::default() };
        let matches = if hostnames.is_empty() { Vec::new() } else { vec![named] };
        let parents = parent::compile(&attaching, read, &mut findings);
        let mut all = Vec::with_capacity(parents.len() * rules.len());
        for (rule, index) in rules.iter().zip(0..) {
            let backends: Vec<RouteBackend> = rule
                .backend_refs
                .iter()
                .map(|one| backend_ref::compile(&one.target(), object, read, &mut findings))
                .collect();
            for parent in &parents {
                all.push(Arc::new(L4Rule {
                    parent: parent.parent.clone(),
                    origin: object.at(rule.line),
                    index,
                    created_s: object.meta.created,
                    consumer: parent.consumer.clone(),
                    matches: matches.clone(),
                    backends: backends.clone(),
                }));
            }
        }
        all.sort_unstable_by(|a, b| (&a.parent, a.index).cmp(&(&b.parent, b.index)));
        Self { rules: all.into(), findings: findings.into() }
    }

    pub(super) fn topics(&self) -> Vec<Topic> {
        let mut topics = BTreeSet::new();
        for rule in &self.rules {
            topics.insert(Topic::Under(subscription(&rule.parent)));
            topics.extend(
                rule.backends.iter().filter_map(|backend| backend.host.clone()).map(Topic::LeadingTo),
            );
        }
        topics.into_iter().collect()
    }

    pub(super) fn touches(old: Option<&Self>, new: Option<&Self>) -> Vec<Subscription> {
        let rules = [old, new].into_iter().flatten().flat_map(|route| &route.rules);
        rules.map(|rule| subscription(&rule.parent)).collect()
    }

    pub(super) fn findings(&self, read: &WorldReader<'_>) -> Vec<Finding> {
        missing::complete(&self.findings, read)
    }
}
