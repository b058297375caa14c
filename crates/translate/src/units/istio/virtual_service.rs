//! One `VirtualService`: a rule resource for each of its routes at each place where it counts. Its routes are followed
//! in the order in which they are written.
//!
//! `delegate` merges what others say for it, `place` finds where it counts, `matches`, `actions` and `destination`
//! make the parts of a rule for requests, `connections` those for others.

mod actions;
mod connections;
mod delegate;
mod destination;
mod matches;
mod place;
mod retries;

use super::claims::own;
use crate::units::missing::{self, RouteFindings};
use crate::units::rules::subscription;
use crate::units::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::{Object, Spec};
use delegate::MergedRoute;
use model::l4_route::L4Rule;
use model::route::{Precedence, RouteRule};
use model::{Finding, Hostname, ObjectRef, Subscription};
use place::{Place, PlaceProtocol};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compiled `VirtualService`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CompiledVirtualService {
    /// For requests, sorted by parent and index.
    pub(crate) rules: Box<[Arc<RouteRule>]>,
    /// For connections.
    pub(crate) l4_rules: Box<[Arc<L4Rule>]>,
    findings: Box<[(Finding, Option<ObjectRef>)]>,
}

pub(crate) struct VirtualServiceUnit;

impl Unit for VirtualServiceUnit {
    type Key = Pair;
    type Output = CompiledVirtualService;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::VirtualService(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledVirtualService> {
        let (object, spec) = own(key, read)?;
        let mut findings = RouteFindings::new();
        let places = place::places(key, object, spec, read, &mut findings);
        let routes = delegate::routes(object, spec, read, &mut findings);
        let mut rules = Vec::new();
        for place in &places {
            // Each rule of a parent has a number of its own.
            let first = place.turn.saturating_mul(u32::try_from(routes.len()).unwrap_or(u32::MAX));
            for (route, index) in routes.iter().zip(first..) {
                rules.extend(rule(route, index, place, object, read, &mut findings).map(Arc::new));
            }
        }
        rules.sort_unstable_by(|a, b| (&a.parent, a.index).cmp(&(&b.parent, b.index)));
        let mut l4_rules = connections::rules(object, spec, &places, read, &mut findings);
        l4_rules.sort_unstable_by(|a, b| (&a.parent, a.index).cmp(&(&b.parent, b.index)));
        // Of each route there is a rule at several places, and all of them find the same.
        findings.sort_by(|(a, _), (b, _)| (a.origin.line, &a.cause).cmp(&(b.origin.line, &b.cause)));
        findings.dedup();
        Some(CompiledVirtualService {
            rules: rules.into(),
            l4_rules: l4_rules.into(),
            findings: findings.into(),
        })
    }

    fn topics(_key: &Pair, compiled: &CompiledVirtualService) -> Vec<Topic> {
        let mut topics: BTreeSet<Topic> =
            compiled.subscriptions().into_iter().map(Topic::UnderVirtual).collect();
        topics.extend(compiled.led_to().cloned().map(Topic::LeadingTo));
        topics.into_iter().collect()
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledVirtualService>,
        new: Option<&CompiledVirtualService>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        [old, new].into_iter().flatten().flat_map(CompiledVirtualService::subscriptions).collect()
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some(own) = read.virtual_service(key) else { return Vec::new() };
        let mut findings = missing::complete(&own.findings, read);
        findings.extend(retries::finding(&own.rules));
        findings
    }
}

impl CompiledVirtualService {
    fn subscriptions(&self) -> Vec<Subscription> {
        let requests = self.rules.iter().map(|rule| subscription(&rule.parent));
        requests.chain(self.l4_rules.iter().map(|rule| subscription(&rule.parent))).collect()
    }

    /// Hosts that its rules lead to.
    fn led_to(&self) -> impl Iterator<Item = &Hostname> {
        let requests = self.rules.iter().flat_map(|rule| rule.led_to());
        requests.chain(
            self.l4_rules.iter().flat_map(|rule| rule.backends.iter().filter_map(|one| one.host.as_ref())),
        )
    }
}

/// The rule of a route at a place; `None`: it does not count there.
fn rule(
    route: &MergedRoute<'_>,
    index: u32,
    place: &Place,
    object: &Object,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Option<RouteRule> {
    if !matches!(place.protocol, PlaceProtocol::Http | PlaceProtocol::Either) {
        return None;
    }
    let matches = matches::compile(&route.spec, &object.meta.namespace, place)?;
    let parts = actions::RuleParts::new(route, place, read, findings);
    let origin = model::Origin { object: object.object.clone(), ..route.object.at(route.spec.line) };
    let mut rule = RouteRule::new(place.parent.clone(), origin);
    rule.index = index;
    rule.name = route.spec.name.as_deref().filter(|name| !name.is_empty()).map(Arc::from);
    rule.precedence = Precedence::Written;
    rule.created_s = object.meta.created;
    rule.consumer = place.consumer.clone();
    rule.hosts = place.hosts.clone();
    rule.matches = matches;
    if place.redirects {
        rule.filters = vec![actions::to_https()];
        return Some(rule);
    }
    rule.filters = parts.filters;
    rule.backends = parts.backends;
    rule.request_timeout = parts.request_timeout;
    rule.backend_timeout = parts.backend_timeout;
    rule.retry = parts.retry;
    Some(rule)
}
