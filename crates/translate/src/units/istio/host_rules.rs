//! The `DestinationRule`s that count for a host, and what they say of it and of its subsets. A rule of the caller's own
//! namespace counts for nobody, since all callers of a host share what is known of it.

use super::name::{Audience, HostPattern};
use crate::units::host::{find_host, subset_parts};
use crate::units::{Topic, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::ROOT_NAMESPACE;
use model::Hostname;
use model::traffic::AttachedPolicy;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a `DestinationRule` is compiled to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledDestinationRule {
    pub(super) host: HostPattern,
    pub(super) audience: Audience,
    pub(super) attached: AttachedPolicy,
    pub(super) subsets: Vec<SubsetRule>,
}

/// What it says of one subset.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SubsetRule {
    pub(super) name: Arc<str>,
    /// All must be on a workload.
    pub(super) labels: BTreeMap<String, String>,
    /// By field: what is said of the subset, else what is said of the host.
    pub(super) attached: AttachedPolicy,
}

impl CompiledDestinationRule {
    pub(super) fn subset(&self, name: &str) -> Option<&SubsetRule> {
        self.subsets.iter().find(|subset| *subset.name == *name)
    }
}

/// The rules that count for a host, the one that counts most first: those with the most specific name of it, of its own
/// namespace, else of the root namespace; the elder first.
pub(super) fn rules_on<'w>(
    host: &Hostname,
    read: &WorldReader<'w>,
) -> Vec<(&'w Pair, &'w CompiledDestinationRule)> {
    let Some(namespace) = find_host(host, read).map(|entry| &entry.service.namespace) else {
        return Vec::new();
    };
    for pattern in HostPattern::covering(host) {
        let members = read.members(Topic::DestinationRules(pattern)).into_iter();
        let all: Vec<_> = members
            .filter_map(|member| match member {
                UnitKey::DestinationRule(pair) => Some((pair, read.destination_rule(pair)?)),
                _ => None,
            })
            .filter(|(_, rule)| !rule.audience.is_nobody())
            .collect();
        for of in [&**namespace, ROOT_NAMESPACE] {
            let mut rules: Vec<_> = all.iter().filter(|((own, _), _)| **own == *of).copied().collect();
            rules.sort_by_key(|(pair, rule)| (rule.attached.created_s, *pair));
            if !rules.is_empty() {
                return rules;
            }
        }
    }
    Vec::new()
}

/// What the rule that counts for a host, or for a subset of one, says of its endpoints.
pub(in crate::units) fn attached_to<'w>(
    host: &Hostname,
    read: &WorldReader<'w>,
) -> Option<&'w AttachedPolicy> {
    match subset_parts(host) {
        Some(_) => Some(&subset_rule(host, read)?.1.attached),
        None => Some(&rules_on(host, read).first()?.1.attached),
    }
}

/// What the `DestinationRule` that counts says of a subset, and the host that it is one of.
pub(super) fn subset_rule<'w>(host: &Hostname, read: &WorldReader<'w>) -> Option<(Hostname, &'w SubsetRule)> {
    let (subset, of) = subset_parts(host)?;
    let rule = rules_on(&of, read).into_iter().find_map(|(_, rule)| rule.subset(subset))?;
    Some((of, rule))
}
