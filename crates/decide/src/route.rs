//! Which rule a request follows: Gateway API's precedence, compiled so that a lookup costs a few hashes.
//!
//! Order: the rule's host (exact, longest wildcard, none); then the path (exact, regex with the longer text
//! first, longest prefix); then a method, more headers, more query parameters; then the older route, its
//! `namespace/name`, the rule's and the match's place. Where a rule loses on a later condition the next in
//! this order is asked. Read `compile` for how tables are made, `group` for how they are asked, `conditions` for what is
//! compared.

mod compile;
mod conditions;
mod group;
#[cfg(test)]
mod tests;

use crate::hash::QuickMap;
use crate::{RequestView, host, path};
use group::Group;
use model::id::HOSTNAME_BYTES_MAX;
use model::route::{Parent, RouteRule};
use model::{Hostname, Reason};
use std::sync::Arc;

/// The rules of one parent (a service or a gateway's listener), compiled. Made by [`Table::compile`].
#[derive(Clone, Debug, Default)]
pub struct Table {
    rules: Box<[Arc<RouteRule>]>,
    by_host: QuickMap<Hostname, Group>,
    by_suffix: QuickMap<Hostname, Group>,
    any_host: Group,
}

/// The rule that a request follows.
#[derive(Clone, Copy, Debug)]
pub struct Match<'t> {
    /// The rule.
    pub rule: &'t Arc<RouteRule>,
    /// How many bytes of the forwarded path the matched prefix covers; all of them for an exact or regex match.
    pub prefix_len: usize,
}

impl Table {
    /// The rule for `request` on service port `port`. Rules of a service count when their parent names this
    /// port or 0; rules of a gateway count on every port, the listener having been chosen before.
    ///
    /// # Errors
    /// [`Reason::AmbiguousPath`] when the readings of the path lead to different rules.
    pub fn find(&self, port: u16, request: &RequestView<'_>) -> Result<Option<Match<'_>>, Reason> {
        let found = self.find_as(port, request, request.literal());
        let rule = |found: &Option<Match<'_>>| found.map(|matched| Arc::as_ptr(matched.rule));
        for other in request.others() {
            if rule(&self.find_as(port, request, other)) != rule(&found) {
                return Err(Reason::AmbiguousPath);
            }
        }
        if request.readings.is_empty() {
            return Ok(found);
        }
        Ok(found.map(|matched| Match {
            prefix_len: path::prefix_in(request.path, request.literal(), matched.prefix_len),
            ..matched
        }))
    }

    fn find_as(&self, port: u16, request: &RequestView<'_>, path: &str) -> Option<Match<'_>> {
        self.find_by_host(port, request, path).or_else(|| self.find_in(&self.any_host, port, request, path))
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All rules, in the order in which they were given.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<RouteRule>> {
        self.rules.iter()
    }

    /// Whether any rule of a service applies to this port of it, so that a request which none matches is refused.
    pub fn has_rules(&self, port: u16) -> bool {
        let applies = |rule: &Arc<RouteRule>| matches!(rule.parent, Parent::Service { port: own, .. } if own == 0 || own == port);
        self.rules.iter().any(applies)
    }

    fn find_by_host(&self, port: u16, request: &RequestView<'_>, path: &str) -> Option<Match<'_>> {
        if self.by_host.is_empty() && self.by_suffix.is_empty() {
            return None;
        }
        let host = host::canonical(request.host);
        if host.len() > HOSTNAME_BYTES_MAX {
            return None; // no rule can name it, and looking up each of its suffixes would cost
        }
        let exact = self.by_host.get(&*host);
        if let Some(found) = exact.and_then(|group| self.find_in(group, port, request, path)) {
            return Some(found);
        }
        let mut rest = &*host;
        while let Some((label, tail)) = rest.split_once('.') {
            let suffix =
                if label.is_empty() && rest.len() == host.len() { None } else { self.by_suffix.get(tail) };
            if let Some(found) = suffix.and_then(|group| self.find_in(group, port, request, path)) {
                return Some(found);
            }
            rest = tail;
        }
        None
    }

    fn find_in(&self, group: &Group, port: u16, request: &RequestView<'_>, path: &str) -> Option<Match<'_>> {
        let (rule, prefix_len) = group.find(port, request, path)?;
        Some(Match { rule: self.rules.get(rule)?, prefix_len })
    }
}
