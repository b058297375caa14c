//! Building a table: every pair of a rule's host and match becomes one candidate, filed by path and sorted
//! by precedence, so that the first candidate whose conditions hold is the answer.

use super::Table;
use super::conditions::{Conditions, compile_regex};
use crate::hash::QuickMap;
use crate::{RequestView, path};
use model::Hostname;
use model::route::{HostMatch, Parent, PathMatch, RouteMatch, RouteRule};
use regex::Regex;
use std::cmp::Reverse;
use std::sync::Arc;

/// Candidates of one host, by path.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    exact: QuickMap<Arc<str>, Vec<Candidate>>,
    regex: Vec<(Regex, Candidate)>,
    prefix: QuickMap<Arc<str>, Vec<Candidate>>,
    /// Length of the longest key of `prefix`: no longer part of a path is looked up, so that a long path
    /// of many segments costs nothing.
    prefix_len_max: usize,
}

#[derive(Clone, Debug)]
struct Candidate {
    /// Index into the table's rules.
    rule: usize,
    /// Service port; 0: any.
    port: u16,
    conditions: Conditions,
    /// Smaller goes first among candidates of one path.
    order: Arc<Order>,
}

/// Gateway API's precedence below the path.
type Order = (Reverse<bool>, Reverse<usize>, Reverse<usize>, u64, (Arc<str>, Arc<str>), u32, usize);

impl Table {
    /// Compiles rules. A match with a regular expression that does not compile never matches. Hosts are
    /// read for rules of gateways only.
    pub fn compile(rules: impl IntoIterator<Item = Arc<RouteRule>>) -> Self {
        let mut table = Self { rules: rules.into_iter().collect(), ..Self::default() };
        let every = [RouteMatch {
            path: PathMatch::Prefix("".into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        }];
        for (index, rule) in table.rules.iter().enumerate() {
            let matches = if rule.matches.is_empty() { &every[..] } else { &rule.matches[..] };
            let (hosts, port) = match rule.parent {
                Parent::Service { port, .. } => (&[][..], port),
                Parent::Gateway { .. } => (&rule.hosts[..], 0),
            };
            for (place, matched) in matches.iter().enumerate() {
                let candidate = Candidate::new(rule, index, port, matched, place);
                let file = |group: &mut Group| group.add(&matched.path, candidate.clone());
                if hosts.is_empty() {
                    file(&mut table.any_host);
                }
                for host in hosts {
                    match host {
                        HostMatch::Exact(name) => file(group_of(&mut table.by_host, name)),
                        HostMatch::Suffix(name) => file(group_of(&mut table.by_suffix, name)),
                    }
                }
            }
        }
        let groups = table.by_host.values_mut().chain(table.by_suffix.values_mut());
        groups.chain([&mut table.any_host]).for_each(Group::sort);
        table
    }
}

fn group_of<'g>(groups: &'g mut QuickMap<Hostname, Group>, host: &Hostname) -> &'g mut Group {
    groups.entry(host.clone()).or_default()
}

impl Candidate {
    fn new(rule: &RouteRule, index: usize, port: u16, matched: &RouteMatch, place: usize) -> Self {
        let conditions = Conditions::compile(matched);
        let object = &rule.origin.object;
        let order = (
            Reverse(matched.method.is_some()),
            Reverse(conditions.headers_len()),
            Reverse(conditions.query_len()),
            rule.created_s,
            (Arc::clone(&object.namespace), Arc::clone(&object.name)),
            rule.index,
            place,
        );
        Self { rule: index, port, conditions, order: Arc::new(order) }
    }

    fn holds(&self, port: u16, request: &RequestView<'_>) -> bool {
        (self.port == 0 || self.port == port) && self.conditions.hold(request)
    }
}

impl Group {
    fn add(&mut self, path: &PathMatch, candidate: Candidate) {
        match path {
            PathMatch::Exact(text) => {
                self.exact.entry(path::pattern(text).into()).or_default().push(candidate);
            }
            PathMatch::Prefix(text) => {
                let key = path::pattern(text.trim_end_matches('/'));
                self.prefix_len_max = self.prefix_len_max.max(key.len());
                self.prefix.entry(key.into()).or_default().push(candidate);
            }
            PathMatch::Regex(pattern) => {
                self.regex.extend(compile_regex(pattern).map(|regex| (regex, candidate)));
            }
        }
    }

    fn sort(&mut self) {
        for candidates in self.exact.values_mut().chain(self.prefix.values_mut()) {
            candidates.sort_by(|a, b| a.order.cmp(&b.order));
        }
        let key = |(regex, candidate): &(Regex, Candidate)| {
            (Reverse(regex.as_str().len()), Arc::clone(&candidate.order))
        };
        self.regex.sort_by_cached_key(key);
    }

    /// The rule's index and the length of the prefix of `path` that it matched.
    pub(super) fn find(&self, port: u16, request: &RequestView<'_>, path: &str) -> Option<(usize, usize)> {
        let first =
            |candidates: &Vec<Candidate>| candidates.iter().find(|c| c.holds(port, request)).map(|c| c.rule);
        if let Some(rule) = self.exact.get(path).and_then(first) {
            return Some((rule, path.len()));
        }
        let regex = self.regex.iter().find(|(regex, c)| regex.is_match(path) && c.holds(port, request));
        if let Some((_, candidate)) = regex {
            return Some((candidate.rule, path.len()));
        }
        if self.prefix.is_empty() {
            return None;
        }
        let mut len = path.len();
        loop {
            if len <= self.prefix_len_max
                && let Some(rule) = self.prefix.get(&path[..len]).and_then(first)
            {
                return Some((rule, len));
            }
            if len == 0 {
                return None;
            }
            len = path[..len].rfind('/').unwrap_or(0);
        }
    }
}
