//! From rules to tables: each match of a rule is filed under each of its hosts, in the order of precedence.
//!
//! What is only needed for that order is gone afterwards: a gateway may have ten thousand rules. Read `group` for what
//! stays.

use super::candidate::{Candidate, FiledMatch};
use super::conditions::Conditions;
use super::group::Group;
use super::{HostEndings, Table, exclusive};
use crate::filter::Patterns;
use crate::hash::QuickMap;
use model::route::{HostMatch, Parent, Precedence, RouteMatch, RouteRule};
use std::cmp::Reverse;
use std::hash::Hash;
use std::sync::Arc;

impl Table {
    /// Compiles rules. A match with a regular expression that does not compile never matches. Hosts are
    /// read for rules of gateways only. Rules of routes that others shut out are left out.
    pub fn compile(rules: impl IntoIterator<Item = Arc<RouteRule>>) -> Self {
        let mut rules = accepted(rules.into_iter().collect());
        let call_ports = exclusive::call_ports(rules.iter().map(|rule| &**rule));
        if rules.iter().any(|rule| rule.precedence == Precedence::Written) {
            rules.sort_by(|a, b| written(a).cmp(&written(b)));
        }
        let every = [RouteMatch::default()];
        let (mut by_host, mut by_suffix, mut any_host) = (Vec::new(), Vec::new(), Vec::new());
        let mut by_ending = Vec::new();
        for (rule, index) in rules.iter().zip(0..) {
            let matches = if rule.matches.is_empty() { &every[..] } else { &rule.matches[..] };
            let (hosts, port) = match rule.parent {
                Parent::Service { port, .. } => (&[][..], port),
                Parent::Gateway { .. } => (&rule.hosts[..], 0),
            };
            for (place, matched) in matches.iter().enumerate() {
                let filed = FiledMatch::new(rule, index, port, matched, place);
                for host in hosts {
                    match host {
                        HostMatch::Exact(name) => by_host.push((name, filed.clone())),
                        HostMatch::Suffix(name) => by_suffix.push((name, filed.clone())),
                        HostMatch::Ending(text) => by_ending.push((text, filed.clone())),
                    }
                }
                if hosts.is_empty() {
                    any_host.push(filed);
                }
            }
        }
        let (by_host, by_suffix) = (groups(by_host), groups(by_suffix));
        let by_ending = (!by_ending.is_empty()).then(|| Box::new(HostEndings::new(groups(by_ending))));
        let any_host = Group::compile(any_host);
        let patterns = rules.iter().zip(0..).filter_map(|(rule, index)| Some((index, Patterns::of(rule)?)));
        Self { patterns: patterns.collect(), by_host, by_suffix, by_ending, any_host, call_ports, rules }
    }
}

/// Without those of gateways that are shut out.
fn accepted(rules: Box<[Arc<RouteRule>]>) -> Box<[Arc<RouteRule>]> {
    let of_gateways = rules.iter().map(|rule| &**rule);
    let of_gateways = of_gateways.filter(|rule| matches!(rule.parent, Parent::Gateway { .. }));
    let shut_out = exclusive::shut_out(of_gateways);
    if shut_out.is_empty() {
        return rules;
    }
    let is_accepted = |rule: &&Arc<RouteRule>| !shut_out.contains_key(&rule.origin.object);
    rules.iter().filter(is_accepted).cloned().collect()
}

/// The order of rules of which the first one counts: routes by age and name, as where what is more specific counts.
fn written(rule: &RouteRule) -> (u64, &str, &str, u32) {
    let object = &rule.origin.object;
    (rule.created_s, &object.namespace, &object.name, rule.index)
}

impl HostEndings {
    fn new(groups: QuickMap<Arc<str>, Group>) -> Self {
        let mut lengths: Vec<usize> = groups.keys().map(|ending| ending.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        Self { lengths: lengths.into(), groups }
    }
}

fn groups<K: Clone + Ord + Hash>(mut filed: Vec<(&K, FiledMatch<'_>)>) -> QuickMap<K, Group> {
    filed.sort_by_key(|(host, _)| *host);
    let of_hosts = filed.chunk_by(|(a, _), (b, _)| a == b);
    let groups: Vec<(K, Group)> = of_hosts
        .filter_map(|of_host| {
            let (host, _) = of_host.first()?;
            Some(((*host).clone(), Group::compile(of_host.iter().map(|(_, filed)| filed.clone()).collect())))
        })
        .collect();
    // Of a list it is known how long it is, so the map gets no more room than it needs.
    groups.into_iter().collect()
}

impl<'r> FiledMatch<'r> {
    fn new(rule: &'r RouteRule, index: u32, port: u16, matched: &'r RouteMatch, place: usize) -> Self {
        let conditions = Conditions::compile(matched);
        let object = &rule.origin.object;
        let order = (
            Reverse(matched.method.is_some()),
            Reverse(conditions.as_ref().map_or(0, Conditions::headers_len)),
            Reverse(conditions.as_ref().map_or(0, Conditions::query_len)),
            rule.created_s,
            &*object.namespace,
            &*object.name,
            rule.index,
            place,
        );
        let candidate = Candidate {
            rule: index,
            port,
            place: u16::try_from(place).unwrap_or(u16::MAX),
            conditions: conditions.map(Arc::new),
        };
        Self { path: &matched.path, candidate, precedence: rule.precedence, order }
    }
}
