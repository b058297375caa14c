//! Which rule a connection follows, and which of its backends: what [`crate::route`] is for requests.
//!
//! Order: the server name (exact, longest wildcard, none); then the address that was called (longest block, none); then
//! the older route, its `namespace/name`, the rule's and the match's place. Where a rule loses on a later condition the
//! next in this order is asked. A lookup costs a few hashes however many names there are.

#[cfg(test)]
mod tests;

use crate::hash::QuickMap;
use crate::{Dice, host, split};
use model::authz::Cidr;
use model::id::HOSTNAME_BYTES_MAX;
use model::l4_route::{L4Match, L4Rule};
use model::route::{HostMatch, Parent};
use model::{Hostname, Reason};
use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a connection before any byte of it is passed on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionView<'a> {
    /// Port of the service or listener.
    pub port: u16,
    /// Server name of its TLS handshake; `None`: it has none, or nobody asked ([`L4Table::asks_server_name`]).
    pub server_name: Option<&'a str>,
    /// The address that was called.
    pub destination: Option<IpAddr>,
    /// Who called.
    pub source: Option<IpAddr>,
}

/// The rules of one parent (a service or a gateway's listener), compiled.
#[derive(Clone, Debug, Default)]
pub struct L4Table {
    rules: Box<[Arc<L4Rule>]>,
    by_name: QuickMap<Hostname, Box<[Filed]>>,
    by_suffix: QuickMap<Hostname, Box<[Filed]>>,
    any_name: Box<[Filed]>,
}

/// One match of a rule, as it is filed under one server name and one block of addresses.
#[derive(Clone, Copy, Debug)]
struct Filed {
    rule: usize,
    /// Which match of the rule; `None`: it has none, and takes all.
    place: Option<usize>,
    destination: Option<Cidr>,
}

impl L4Table {
    /// Compiles rules.
    pub fn compile(rules: impl IntoIterator<Item = Arc<L4Rule>>) -> Self {
        let rules: Box<[Arc<L4Rule>]> = rules.into_iter().collect();
        let mut table = Self::default();
        let (mut by_name, mut by_suffix, mut any_name) =
            (QuickMap::default(), QuickMap::default(), Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            let places: Vec<(Option<usize>, &L4Match)> =
                rule.matches.iter().enumerate().map(|(place, matched)| (Some(place), matched)).collect();
            let every = L4Match::default();
            let places = if places.is_empty() { vec![(None, &every)] } else { places };
            for (place, matched) in places {
                for filed in file(index, place, matched) {
                    for name in &matched.server_names {
                        let (list, name): (&mut QuickMap<Hostname, Vec<Filed>>, _) = match name {
                            HostMatch::Exact(name) => (&mut by_name, name),
                            HostMatch::Suffix(name) => (&mut by_suffix, name),
                            // Nothing makes one: wildcards of server names are whole labels, so it matches none.
                            HostMatch::Ending(_) => continue,
                        };
                        list.entry(name.clone()).or_default().push(filed);
                    }
                    if matched.server_names.is_empty() {
                        any_name.push(filed);
                    }
                }
            }
        }
        let sorted = |filed: Vec<Filed>| sort(filed, &rules);
        table.by_name = by_name.into_iter().map(|(name, filed)| (name, sorted(filed))).collect();
        table.by_suffix = by_suffix.into_iter().map(|(name, filed)| (name, sorted(filed))).collect();
        table.any_name = sorted(any_name);
        Self { rules, ..table }
    }

    /// The rule for a connection. Rules of a service count when their parent names its port or 0; rules of a gateway on
    /// every port, the listener having been chosen before.
    pub fn find(&self, connection: &ConnectionView<'_>) -> Option<&Arc<L4Rule>> {
        let named = connection.server_name.and_then(|name| self.find_by_name(name, connection));
        named.or_else(|| self.find_in(&self.any_name, connection))
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All rules, in the order in which they were given.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<L4Rule>> {
        self.rules.iter()
    }

    /// Whether any rule of a service applies to this port of it, so that a connection which none takes is refused.
    pub fn has_rules(&self, port: u16) -> bool {
        self.rules.iter().any(|rule| is_at(&rule.parent, port))
    }

    /// Whether some rule goes by the server name, so that the first bytes of a connection must be waited for.
    pub fn asks_server_name(&self) -> bool {
        !self.by_name.is_empty() || !self.by_suffix.is_empty()
    }

    fn find_by_name(&self, name: &str, connection: &ConnectionView<'_>) -> Option<&Arc<L4Rule>> {
        if !self.asks_server_name() || name.len() > HOSTNAME_BYTES_MAX {
            return None; // of longer ones, looking up each of the suffixes would cost
        }
        let name = host::canonical(name);
        let of = |filed: Option<&Box<[Filed]>>| filed.and_then(|filed| self.find_in(filed, connection));
        if let Some(rule) = of(self.by_name.get(&*name)) {
            return Some(rule);
        }
        let mut rest = &*name;
        while let Some((label, tail)) = rest.split_once('.') {
            let is_below = !label.is_empty() || rest.len() != name.len();
            if let Some(rule) = is_below.then(|| of(self.by_suffix.get(tail))).flatten() {
                return Some(rule);
            }
            rest = tail;
        }
        None
    }

    fn find_in(&self, filed: &[Filed], connection: &ConnectionView<'_>) -> Option<&Arc<L4Rule>> {
        filed.iter().find_map(|filed| {
            let rule = self.rules.get(filed.rule)?;
            let matched = filed.place.and_then(|place| rule.matches.get(place));
            let is_met = is_at(&rule.parent, connection.port)
                && filed.destination.is_none_or(|block| lies_in(&block, connection.destination))
                && matched.is_none_or(|matched| {
                    let is_caller = |block: &Cidr| lies_in(block, connection.source);
                    (matched.port == 0 || matched.port == connection.port)
                        && (matched.sources.is_empty() || matched.sources.iter().any(is_caller))
                });
            is_met.then_some(rule)
        })
    }
}

/// Where a connection goes by this rule: a service and its port, by weight.
///
/// # Errors
/// [`Reason::NoBackend`] when the rule leads nowhere, or the share of a reference that could not be resolved was hit.
pub fn choose_backend<'r>(rule: &'r L4Rule, dice: &mut dyn Dice) -> Result<(&'r Hostname, u16), Reason> {
    let picked = split::pick(&rule.backends, dice).and_then(|index| rule.backends.get(index));
    let backend = picked.ok_or(Reason::NoBackend)?;
    Ok((backend.host.as_ref().ok_or(Reason::NoBackend)?, backend.port))
}

/// Once for each block of addresses.
fn file(rule: usize, place: Option<usize>, matched: &L4Match) -> Vec<Filed> {
    match matched.destinations.as_slice() {
        [] => vec![Filed { rule, place, destination: None }],
        blocks => blocks.iter().map(|block| Filed { rule, place, destination: Some(*block) }).collect(),
    }
}

fn sort(mut filed: Vec<Filed>, rules: &[Arc<L4Rule>]) -> Box<[Filed]> {
    filed.sort_by_key(|filed| {
        let rule = rules.get(filed.rule);
        let route = rule.map(|rule| (rule.created_s, &rule.origin.object, rule.index));
        let route =
            route.map(|(created_s, object, index)| (created_s, &object.namespace, &object.name, index));
        (Reverse(filed.destination.map(|block| block.prefix)), route, filed.place)
    });
    filed.into()
}

fn is_at(parent: &Parent, port: u16) -> bool {
    match parent {
        Parent::Service { port: own, .. } => *own == 0 || *own == port,
        Parent::Gateway { .. } => true,
    }
}

fn lies_in(block: &Cidr, address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| block.contains(address.to_canonical()))
}
