//! Which names the mesh answers for: one small resource that every proxy has.

use crate::external::{AddressClaim, NameClaim};
use crate::id::Hostname;
use std::sync::Arc;

/// Names that the mesh answers for; queries for all others are forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Zones that the mesh owns, for example `mesh.internal`: an absent name is NXDOMAIN (RFC 8020).
    pub suffixes: Vec<Arc<str>>,
    /// Zones that others answer for too, for example `svc.cluster.local`: an absent name is forwarded.
    pub shared_suffixes: Vec<Arc<str>>,
    /// Single names outside these zones.
    pub hosts: Vec<Hostname>,
    /// Empty non-terminals (RFC 4592, section 2.2.2): names in these zones that have no records and have hosts
    /// below them. Sorted.
    pub non_terminals: Vec<Hostname>,
    /// Addresses outside the mesh-only range that mean a service.
    pub addresses: Vec<AddressClaim>,
    /// Names that clients say in TLS or HTTP and that mean a service, wherever they connect to: those that are exact
    /// first, then longer ones before shorter.
    pub claims: Vec<NameClaim>,
}

/// Who answers for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// The mesh alone: an absent name does not exist.
    Owned,
    /// The mesh for the names that it knows, others for the rest.
    Shared,
    /// Others.
    Outside,
}

impl Names {
    /// What of it is for workloads of a namespace: nobody's calls are taken by what is not exported to them.
    #[must_use]
    pub fn seen_in(mut self, namespace: &str) -> Self {
        self.addresses.retain(|claim| claim.is_visible_in(namespace));
        self.claims.retain(|claim| claim.is_visible_in(namespace));
        self
    }

    /// Who answers for `name`, which is in lower case and has no trailing dot. It need not be a valid host name.
    pub fn zone(&self, name: &str) -> Zone {
        let is_below = |suffix: &Arc<str>| is_within(name, suffix);
        if self.suffixes.iter().any(is_below) {
            Zone::Owned
        } else if self.shared_suffixes.iter().any(is_below)
            || self.hosts.iter().any(|host| host.as_str() == name)
        {
            Zone::Shared
        } else {
            Zone::Outside
        }
    }

    /// Whether `name` has no records of its own, but exists, because hosts lie below it.
    pub fn is_non_terminal(&self, name: &str) -> bool {
        self.non_terminals.binary_search_by(|host| host.as_str().cmp(name)).is_ok()
    }

    /// Whether `name` is the apex of an owned zone: it exists, with or without records.
    pub fn is_apex(&self, name: &str) -> bool {
        self.suffixes.iter().any(|suffix| &**suffix == name)
    }

    /// Whether a zone or a host of the mesh lies below `name`, so that `name` exists whatever others say.
    pub fn has_below(&self, name: &str) -> bool {
        let zones = self.suffixes.iter().chain(&self.shared_suffixes).map(|suffix| &**suffix);
        zones
            .chain(self.hosts.iter().map(Hostname::as_str))
            .any(|below| below != name && is_within(below, name))
    }
}

fn is_within(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_of_a_name_decides_who_answers() {
        let host = |text| Hostname::parse(text).unwrap();
        let names = Names {
            suffixes: vec!["mesh.internal".into()],
            shared_suffixes: vec!["svc.cluster.local".into()],
            hosts: vec![host("shop.example.com")],
            non_terminals: vec![host("default.svc.cluster.local"), host("svc.cluster.local")],
            ..Names::default()
        };
        let check = |name: &str, zone: Zone, exists: bool, below: bool| {
            assert_eq!(
                (names.zone(name), names.is_non_terminal(name), names.has_below(name)),
                (zone, exists, below),
                "{name}"
            );
        };
        check("web.mesh.internal", Zone::Owned, false, false);
        check("mesh.internal", Zone::Owned, false, false);
        assert!(names.is_apex("mesh.internal") && !names.is_apex("svc.cluster.local"));
        check("notmesh.internal", Zone::Outside, false, false);
        check("internal", Zone::Outside, false, true);
        check("a.default.svc.cluster.local", Zone::Shared, false, false);
        check("default.svc.cluster.local", Zone::Shared, true, false);
        check("svc.cluster.local", Zone::Shared, true, false);
        check("cluster.local", Zone::Outside, false, true);
        check("shop.example.com", Zone::Shared, false, false);
        check("a.shop.example.com", Zone::Outside, false, false);
        check("example.com", Zone::Outside, false, true);
    }
}
