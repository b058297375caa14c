//! The names that the mesh answers for, and which zones of them it owns.

use crate::units::host::CompiledHost;
use crate::units::{WorldReader, claims};
use model::Hostname;
use model::names::Names;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The zone of Kubernetes services. Others answer for it too (a cluster's own DNS) unless `MeshSettings`
/// lists it among `dns.suffixes`.
const SERVICE_SUFFIX: &str = "svc.cluster.local";
/// All below it is the mesh's as soon as one host is. Other suffixes are claimed in `MeshSettings` only: with
/// `shop.internal`, a cloud's own `metadata.internal` must go on being found.
const MESH_SUFFIX: &str = "mesh.internal";

/// The names that the mesh answers for.
pub(crate) fn names(read: &WorldReader<'_>) -> Names {
    let units = read.outputs();
    let described = units.entry_host.iter().filter(|(_, entry)| is_answered(entry)).map(|(host, _)| host);
    let global: BTreeSet<&Hostname> =
        units.global_service.values().flat_map(|claims| &claims.hosts).chain(described).collect();
    let mut owned: BTreeSet<Arc<str>> =
        units.mesh_settings.values().flat_map(|entry| entry.suffixes.iter().cloned()).collect();
    if global.iter().any(|host| host.is_within(MESH_SUFFIX)) {
        owned.insert(MESH_SUFFIX.into());
    }
    let owned = outermost(&owned);
    let is_owned = |host: &Hostname| owned.iter().any(|suffix| host.is_within(suffix));
    let shared = Hostname::parse(SERVICE_SUFFIX).filter(|suffix| !is_owned(suffix));
    let shared_suffixes: Vec<Arc<str>> = shared.iter().map(|suffix| suffix.as_str().into()).collect();
    let mut hosts = Vec::new();
    let mut non_terminals = BTreeSet::new();
    for host in &global {
        match owned.iter().chain(&shared_suffixes).find(|suffix| host.is_within(suffix)) {
            Some(suffix) => non_terminals.extend(ancestors(host, suffix)),
            None => hosts.push((*host).clone()),
        }
    }
    // One for each namespace with a Service, and the zone above them.
    for namespace in units.service_namespace.keys() {
        let parent = Hostname::parse(&format!("{namespace}.{SERVICE_SUFFIX}"));
        non_terminals.extend(parent.iter().flat_map(|parent| ancestors(parent, SERVICE_SUFFIX)));
        non_terminals.extend(parent);
    }
    let non_terminals = non_terminals.into_iter().filter(|name| !global.contains(name)).collect();
    let (addresses, claims) = claims(read);
    Names { suffixes: owned, shared_suffixes, hosts, non_terminals, addresses, claims }
}

/// Whether the mesh answers for the name of a service that somebody described: with a mesh-only address, or with the ones
/// that it has.
fn is_answered(entry: &CompiledHost) -> bool {
    let Some(external) = &entry.service.external else { return false };
    let has_own = external.told_addresses().next().is_some();
    has_own || entry.has_mesh_address()
}

/// The names above `host`, down from its parent up to `suffix`.
fn ancestors(host: &Hostname, suffix: &str) -> impl Iterator<Item = Hostname> {
    let labels = host.as_str().match_indices('.').map(|(dot, _)| dot + 1);
    let parents = labels.filter_map(|start| host.as_str().get(start..));
    parents.take_while(move |parent| parent.len() >= suffix.len()).filter_map(Hostname::parse)
}

/// Those that no other covers.
fn outermost(suffixes: &BTreeSet<Arc<str>>) -> Vec<Arc<str>> {
    let is_covered = |one: &Arc<str>| {
        let one = Hostname::parse(one);
        let covers = |other: &&Arc<str>| {
            one.as_ref().is_some_and(|one| one.as_str() != &***other && one.is_within(other))
        };
        suffixes.iter().any(|other| covers(&other))
    };
    suffixes.iter().filter(|suffix| !is_covered(suffix)).cloned().collect()
}
