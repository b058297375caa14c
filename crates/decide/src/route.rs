//! Which rule a request follows: Gateway API's precedence, or Istio's, compiled so that a lookup costs a few hashes.
//!
//! Order: the rule's host (exact, longest wildcard, none); then Gateway API's rules by the path (exact, regex with the
//! longer text first, longest prefix), a method, more headers, more query parameters, the older route, its
//! `namespace/name`, the rule's and the match's place; then Istio's as they were written. Where a rule loses on a later
//! condition the next in this order is asked. Read `compile` for how tables are made, `group` and `paths` for how they
//! are asked (`calls` of rules for gRPC), `conditions` for what is compared, `exclusive` for which routes shut out others.

mod calls;
mod candidate;
mod compile;
mod conditions;
mod exclusive;
mod group;
mod paths;
#[cfg(test)]
mod tests;

pub use exclusive::shut_out;

use crate::filter::Patterns;
use crate::hash::QuickMap;
use crate::{RequestView, host, path};
use candidate::RouteQuery;
use group::Group;
use model::id::HOSTNAME_BYTES_MAX;
use model::route::{Parent, RouteRule};
use model::{Hostname, Reason};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The rules of one parent (a service or a gateway's listener), compiled. Made by [`Table::compile`].
#[derive(Clone, Debug, Default)]
pub struct Table {
    rules: Box<[Arc<RouteRule>]>,
    by_host: QuickMap<Hostname, Group>,
    by_suffix: QuickMap<Hostname, Group>,
    by_ending: Option<Box<HostEndings>>,
    any_host: Group,
    /// Ports of the service at which GRPCRoutes count alone; 0: all.
    call_ports: Box<[u16]>,
    /// Of the rules whose filters have some, by their index.
    patterns: QuickMap<u32, Patterns>,
}

/// Rules of hosts of which only the last characters are known.
#[derive(Clone, Debug)]
struct HostEndings {
    /// Which lengths there are.
    lengths: Box<[usize]>,
    groups: QuickMap<Arc<str>, Group>,
}

/// The workload whose proxy follows the rules; at a gateway that is the gateway's. The default has no labels and no
/// namespace, and no rule that asks for some is followed.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceWorkload<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a [(Arc<str>, Arc<str>)],
}

/// The rule that a request follows.
#[derive(Clone, Copy, Debug)]
pub struct Match<'t> {
    /// The rule.
    pub rule: &'t Arc<RouteRule>,
    /// How many bytes of the forwarded path the matched prefix covers; all of them for an exact or regex match.
    pub prefix_len: usize,
    /// The regular expressions of its filters.
    pub patterns: &'t Patterns,
}

impl Table {
    /// The rule for `request` on service port `port`, by the proxy of `source`. Rules of a service count when their
    /// parent names this port or 0; rules of a gateway count on every port, the listener having been chosen before.
    ///
    /// # Errors
    /// [`Reason::AmbiguousPath`] when the readings of the path lead to different rules.
    pub fn find(
        &self,
        port: u16,
        source: &SourceWorkload<'_>,
        request: &RequestView<'_>,
    ) -> Result<Option<Match<'_>>, Reason> {
        let is_for_calls = self.call_ports.iter().any(|own| *own == 0 || *own == port);
        let asked = RouteQuery { port, is_for_calls, source, request };
        let found = self.find_as(&asked, request.literal());
        let rule = |found: &Option<Match<'_>>| found.map(|matched| Arc::as_ptr(matched.rule));
        for other in request.others() {
            if rule(&self.find_as(&asked, other)) != rule(&found) {
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

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All rules, in the order in which they were given; where some count as they were written, in that order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<RouteRule>> {
        self.rules.iter()
    }

    /// Whether any rule of a service applies to this port of it, so that a request which none matches is refused.
    pub fn has_rules(&self, port: u16) -> bool {
        self.rules.iter().any(|rule| is_at(rule, port))
    }

    /// Whether, of those rules, one is for the proxy of `source`. Where all are for other workloads, the service is called
    /// as if it had none (Istio builds the routes of each proxy, and leaves those of others out).
    pub fn has_rules_for(&self, port: u16, source: &SourceWorkload<'_>) -> bool {
        self.rules.iter().any(|rule| is_at(rule, port) && conditions::is_for(rule, source))
    }

    fn find_as(&self, asked: &RouteQuery<'_>, path: &str) -> Option<Match<'_>> {
        match self.find_by_host(asked, path) {
            ControlFlow::Break(found) => found,
            ControlFlow::Continue(()) => self.find_in(&self.any_host, asked, path),
        }
    }

    /// By exact host, then by the longest wildcard. `Continue`: the rules for any host are asked.
    fn find_by_host(&self, asked: &RouteQuery<'_>, path: &str) -> ControlFlow<Option<Match<'_>>> {
        if self.by_host.is_empty() && self.by_suffix.is_empty() && self.by_ending.is_none() {
            return ControlFlow::Continue(());
        }
        let host = host::canonical(asked.request.host);
        if host.len() > HOSTNAME_BYTES_MAX {
            return ControlFlow::Continue(()); // no rule can name it, and looking up each of its suffixes would cost
        }
        if let Some(group) = self.by_host.get(&*host) {
            self.ask(group, asked, path)?;
        }
        let dots = host.bytes().enumerate().filter(|(at, byte)| *byte == b'.' && *at > 0);
        let suffixes = dots.filter_map(|(dot, _)| Some((dot, self.by_suffix.get(&host[dot + 1..])?)));
        let Some(endings) = self.by_ending.as_deref() else {
            for (_, group) in suffixes {
                self.ask(group, asked, path)?;
            }
            return ControlFlow::Continue(());
        };
        let mut all: Vec<(usize, &Group)> = suffixes.chain(endings.of(&host)).collect();
        all.sort_by_key(|(begins, _)| *begins);
        for (_, group) in all {
            self.ask(group, asked, path)?;
        }
        ControlFlow::Continue(())
    }

    fn ask(&self, group: &Group, asked: &RouteQuery<'_>, path: &str) -> ControlFlow<Option<Match<'_>>> {
        match self.find_in(group, asked, path) {
            None if !group.is_final() => ControlFlow::Continue(()),
            found => ControlFlow::Break(found),
        }
    }

    fn find_in(&self, group: &Group, asked: &RouteQuery<'_>, path: &str) -> Option<Match<'_>> {
        let (index, prefix_len) = group.find(path, asked)?;
        let rule = self.rules.get(index as usize)?;
        let patterns = if self.patterns.is_empty() { None } else { self.patterns.get(&index) };
        Some(Match { rule, prefix_len, patterns: patterns.unwrap_or(Patterns::NONE) })
    }
}

/// Whether it is of a service, and for this port of it.
fn is_at(rule: &RouteRule, port: u16) -> bool {
    matches!(rule.parent, Parent::Service { port: own, .. } if own == 0 || own == port)
}

impl HostEndings {
    /// The rules of those that `host` ends with, and where they begin in it.
    fn of<'t>(&'t self, host: &'t str) -> impl Iterator<Item = (usize, &'t Group)> {
        let begins = self.lengths.iter().filter_map(|len| host.len().checked_sub(*len)).filter(|at| *at > 0);
        begins.filter_map(|at| Some((at, self.groups.get(host.get(at..)?)?)))
    }
}
