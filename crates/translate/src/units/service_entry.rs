//! One `ServiceEntry`: which hosts it wants. What a host is then is said by `entry_host`.

use super::global_service::winner;
use super::host::{described_host, find_host, wildcard};
use super::{Topic, Unit, UnitKey, WorldReader};
use crate::outside::unreadable_resolvers;
use crate::world::inputs::Pair;
use api::kinds::service_entry::ServiceEntrySpec;
use api::{Object, Spec};
use model::{Code, Finding, Hostname, ObjectRef, Subscription};

/// What a `ServiceEntry` wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EntryClaims {
    /// When it was created: the eldest gets a host.
    created: u64,
    pub(crate) hosts: Vec<Hostname>,
}

pub(crate) struct ServiceEntryUnit;

impl Unit for ServiceEntryUnit {
    type Key = Pair;
    type Output = EntryClaims;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::ServiceEntry(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<EntryClaims> {
        let (object, spec) = service_entry(key, read)?;
        Some(EntryClaims { created: object.meta.created, hosts: entry_hosts(spec) })
    }

    fn topics(_key: &Pair, claims: &EntryClaims) -> Vec<Topic> {
        claims.hosts.iter().cloned().map(Topic::Entry).collect()
    }

    /// A name exists as soon as somebody wants it.
    fn touches(
        _key: &Pair,
        _old: Option<&EntryClaims>,
        _new: Option<&EntryClaims>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        vec![Subscription::Mesh]
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = service_entry(key, read) else { return Vec::new() };
        let mut findings: Vec<Finding> = unreadable_resolvers(object).into_iter().collect();
        findings.extend(ports_without_effect(object, spec));
        for host in entry_hosts(spec) {
            let entry = entry_winner(&host, read).filter(|winner| *winner != key);
            let entry = entry.map(|(namespace, name)| ObjectRef::new("ServiceEntry", namespace, name));
            if let Some(other) = precedent(&host, read).or(entry) {
                let cause = format!("host {} already belongs to {other}", shown(&host));
                let fix = "use another host, or put the ports of both into one";
                findings.push(Finding::new(Code::HostConflict, &object.at(spec.line), cause, fix));
            }
        }
        findings
    }
}

/// Ports of endpoints that differ: in a service of several ports an endpoint has none of its own.
fn ports_without_effect(object: &Object, spec: &ServiceEntrySpec) -> Option<Finding> {
    let differs = |name: &String| {
        let mut own = spec.endpoints.iter().map(|endpoint| endpoint.ports.get(name));
        let first = own.next();
        own.any(|other| Some(other) != first)
    };
    let has_several = spec.ports.len() > 1;
    let port = spec.ports.iter().find(|port| has_several && differs(&port.name))?;
    let cause = format!(
        "endpoints have different `ports` named `{}`, which has no effect in a service of several ports: all are called at {}",
        port.name,
        port.target_port.unwrap_or(port.number)
    );
    let fix = "give all endpoints the same port, or describe each port by a ServiceEntry of its own";
    Some(Finding::new(Code::Ignored, &object.at(port.line), cause, fix))
}

/// The object, for a unit that it makes.
pub(super) fn service_entry<'w>(
    (namespace, name): &Pair,
    read: &WorldReader<'w>,
) -> Option<(&'w Object, &'w ServiceEntrySpec)> {
    let object = read.own_object(&ObjectRef::new("ServiceEntry", namespace, name))?;
    match &object.spec {
        Spec::ServiceEntry(spec) => Some((object, spec)),
        _ => None,
    }
}

/// The hosts of its services, one for each of `hosts`.
pub(super) fn entry_hosts(spec: &ServiceEntrySpec) -> Vec<Hostname> {
    spec.hosts.iter().filter_map(|host| described_host(host)).collect()
}

/// As somebody wrote it.
fn shown(host: &Hostname) -> String {
    wildcard(host).map_or_else(|| host.to_string(), |below| format!("*.{below}"))
}

/// The `ServiceEntry` that has a host: the eldest, then the first by namespace and name.
pub(super) fn entry_winner<'w>(host: &Hostname, read: &WorldReader<'w>) -> Option<&'w Pair> {
    let claiming = read.members(Topic::Entry(host.clone())).into_iter();
    let pairs = claiming.filter_map(|member| match member {
        UnitKey::ServiceEntry(pair) => Some(pair),
        _ => None,
    });
    pairs.min_by_key(|pair| (read.service_entry(pair).map(|claims| claims.created), *pair))
}

/// The hosts that a `ServiceEntry` has: those that it won from other entries and that nothing else is called.
pub(super) fn entries_won(key: &Pair, read: &WorldReader<'_>) -> Vec<Hostname> {
    let wanted = read.service_entry(key).into_iter().flat_map(|claims| &claims.hosts);
    let is_won = |host: &&Hostname| entry_winner(host, read) == Some(key) && precedent(host, read).is_none();
    wanted.filter(is_won).cloned().collect()
}

/// What has a host whichever `ServiceEntry` describes it: a `Service`, a `GlobalService`, a `Backend`.
pub(super) fn precedent(host: &Hostname, read: &WorldReader<'_>) -> Option<ObjectRef> {
    if let Some((namespace, name)) = winner(host, read) {
        return Some(ObjectRef::new("GlobalService", namespace, name));
    }
    let found = find_host(host, read)?;
    let is_of_entry = read.entry_host(host).is_some_and(|entry| std::ptr::eq(entry, found));
    (!is_of_entry).then(|| found.owner())
}
