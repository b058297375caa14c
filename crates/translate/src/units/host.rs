//! What is known of one host name of the mesh, whichever kind of object it comes from.

use super::rules::rules_of;
use super::{Topic, UnitKey, WorldReader};
use crate::slices::Slices;
use crate::world::inputs::Pair;
use api::Object;
use model::external::Resolution;
use model::route::HostMatch;
use model::service::{Endpoint, Service, ServicePort};
use model::{Hostname, ObjectRef, Subscription};
use std::collections::BTreeSet;

/// What is known of one host, but for its endpoints, which change more often.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledHost {
    /// Without its mesh-only address.
    pub(crate) service: Service,
    /// Groups of this cluster whose workloads serve it, sorted.
    pub(crate) groups: Vec<Pair>,
    /// A `GlobalService` with a service in this cluster: others may come for it.
    pub(crate) exported: bool,
}

impl CompiledHost {
    /// `None` without ports: nothing can be called there.
    pub(super) fn new(object: &Object, host: &Hostname, ports: Vec<ServicePort>) -> Option<Self> {
        let service = Service {
            host: host.clone(),
            namespace: object.meta.namespace.clone(),
            name: object.meta.name.clone(),
            address: None,
            ports,
            global: false,
            failover_order: Vec::new(),
            headless: None,
            external: None,
        };
        (!service.ports.is_empty()).then(|| Self { service, groups: Vec::new(), exported: false })
    }

    /// Whether a mesh-only address stands for it. None does where the application's own destination counts, or where the
    /// service has addresses of its own, or of its workloads.
    pub(crate) fn has_mesh_address(&self) -> bool {
        if self.service.headless.is_some() {
            return false;
        }
        self.service.external.as_ref().is_none_or(|external| {
            external.resolution != Resolution::None
                && external.addresses.is_empty()
                && wildcard(&self.service.host).is_none()
        })
    }

    /// The object that it comes from.
    pub(super) fn owner(&self) -> ObjectRef {
        let kind = match (self.service.global, &self.service.external) {
            _ if self.service.host.as_str().ends_with(BACKEND_SUFFIX) => "Backend",
            (true, _) => "GlobalService",
            (false, Some(_)) => "ServiceEntry",
            (false, None) => "Service",
        };
        ObjectRef::new(kind, &self.service.namespace, &self.service.name)
    }
}

/// What stands before the rest of a wildcard in the name of its service: no host name has it.
const WILDCARD: &str = "_wildcard.";

/// The service of a host, or of a wildcard as `*.example.com`.
pub(crate) fn described_host(text: &str) -> Option<Hostname> {
    match text.strip_prefix("*.") {
        Some(below) => Hostname::parse(&format!("{WILDCARD}{below}")),
        None => Hostname::parse(text),
    }
}

/// What lies below the wildcard that a host stands for; `None`: for none.
pub(crate) fn wildcard(host: &Hostname) -> Option<&str> {
    host.as_str().strip_prefix(WILDCARD)
}

const SERVICE_SUFFIX: &str = ".svc.cluster.local";
const BACKEND_SUFFIX: &str = ".backend.leno";
const SUBSET_SUFFIX: &str = ".subset.leno";

/// `SERVICE.NAMESPACE.svc.cluster.local`.
pub(crate) fn service_host((namespace, name): &Pair) -> Option<Hostname> {
    Hostname::parse(&format!("{name}.{namespace}{SERVICE_SUFFIX}"))
}

/// `BACKEND.NAMESPACE.backend.leno`.
pub(crate) fn backend_host((namespace, name): &Pair) -> Option<Hostname> {
    Hostname::parse(&format!("{name}.{namespace}{BACKEND_SUFFIX}"))
}

/// `SUBSET.HOST.subset.leno`: some of the endpoints of a host, as a host of its own.
pub(crate) fn subset_host(subset: &str, host: &Hostname) -> Option<Hostname> {
    Hostname::parse(&format!("{subset}.{host}{SUBSET_SUFFIX}"))
}

/// Whether a host is a subset of another one.
fn is_subset(host: &Hostname) -> bool {
    host.as_str().ends_with(SUBSET_SUFFIX)
}

/// The name of a subset, and the host that it is one of; `None`: it is no subset.
pub(crate) fn subset_parts(host: &Hostname) -> Option<(&str, Hostname)> {
    let (subset, of) = host.as_str().strip_suffix(SUBSET_SUFFIX)?.split_once('.')?;
    Some((subset, Hostname::parse(of)?))
}

/// The service or backend of a host whose suffix says that it is one.
fn owner(host: &Hostname, suffix: &str) -> Option<Pair> {
    let (name, namespace) = host.as_str().strip_suffix(suffix)?.split_once('.')?;
    Some((namespace.into(), name.into()))
}

/// The entry of a host.
pub(crate) fn find_host<'w>(host: &Hostname, read: &WorldReader<'w>) -> Option<&'w CompiledHost> {
    if let Some(pair) = owner(host, SERVICE_SUFFIX) {
        return read.service(&pair).or_else(|| read.entry_host(host));
    }
    if is_subset(host) {
        return read.subset(host);
    }
    match owner(host, BACKEND_SUFFIX) {
        Some(pair) => read.backend(&pair),
        None => read.global_host(host).or_else(|| read.entry_host(host)),
    }
}

/// The endpoints of a host, if it has any.
pub(crate) fn find_slices<'w>(host: &Hostname, read: &WorldReader<'w>) -> Option<&'w Slices> {
    if let Some(pair) = owner(host, SERVICE_SUFFIX) {
        return match read.service(&pair) {
            Some(_) => read.service_endpoints(&pair),
            None => read.entry_endpoints(host),
        };
    }
    if is_subset(host) {
        return read.subset_endpoints(host);
    }
    match owner(host, BACKEND_SUFFIX) {
        Some(pair) => read.backend_endpoints(&pair),
        None if read.global_host(host).is_some() => read.global_endpoints(host),
        None => read.entry_endpoints(host),
    }
}

/// Endpoints, if there are any.
pub(super) fn slices(endpoints: impl IntoIterator<Item = Endpoint>) -> Option<Slices> {
    let slices = crate::slices::layout(endpoints);
    (!slices.is_empty()).then_some(slices)
}

/// Whom a change of an entry concerns.
pub(super) fn entry_touches(
    old: Option<&CompiledHost>,
    new: Option<&CompiledHost>,
    read: &WorldReader<'_>,
) -> Vec<Subscription> {
    let states = || [old, new].into_iter().flatten();
    let Some(host) = states().map(|entry| &entry.service.host).next() else { return Vec::new() };
    let mut touched = endpoints_touch(host, states().any(|entry| entry.exported), read);
    // What a `ServiceEntry` says of the host counts as long as nothing else has it.
    if old.is_some() != new.is_some() && read.entry_host(host).is_some() {
        touched.push(Subscription::Mesh);
    }
    if old.map(|entry| &entry.service) != new.map(|entry| &entry.service) {
        touched.extend(read.address(host).map(Subscription::Address));
    } else if old.map(|entry| &entry.groups) == new.map(|entry| &entry.groups) {
        return touched;
    }
    touched.extend(states().flat_map(|entry| &entry.groups).map(inbound_subscription));
    touched
}

/// Whom a change of the endpoints of a host concerns.
pub(super) fn endpoints_touch(
    host: &Hostname,
    is_exported: bool,
    read: &WorldReader<'_>,
) -> Vec<Subscription> {
    let mut touched = vec![Subscription::Host(host.clone())];
    for subset in read.members(Topic::SubsetOf(host.clone())) {
        if let UnitKey::Subset(subset) = subset {
            touched.extend(endpoints_touch(subset, false, read));
        }
    }
    for route in read.members(Topic::LeadingTo(host.clone())) {
        touched.extend(rules_of(route, read).parents_leading_to(host));
    }
    if is_exported {
        touched.push(Subscription::Exports);
    }
    touched
}

/// The inbound side of a group.
pub(crate) fn inbound_subscription(group: &Pair) -> Subscription {
    Subscription::Inbound { namespace: group.0.clone(), group: group.1.clone() }
}

/// `*.example.com` or a name.
pub(super) fn host_match(text: &str) -> Option<HostMatch> {
    match text.strip_prefix("*.") {
        Some(suffix) => Hostname::parse(suffix).map(HostMatch::Suffix),
        None => Hostname::parse(text).map(HostMatch::Exact),
    }
}

/// The first of each port number.
pub(super) fn union<'a>(ports: impl Iterator<Item = &'a ServicePort>) -> Vec<ServicePort> {
    let mut seen = BTreeSet::new();
    ports.filter(|port| seen.insert(port.port)).cloned().collect()
}
