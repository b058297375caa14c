//! One host name of the mesh: its service and its endpoints, from `Service`, `GlobalService` or `Backend`.

use crate::ports::{protocol_of_name, service_port};
use crate::slices;
use crate::world::{ClusterPlace, Group, Pair, Registration, World};
use api::kinds::backend::BackendSpec;
use api::kinds::global_service::{GlobalBackend, GlobalServiceSpec};
use api::kinds::service::ServiceSpec;
use api::{Object, ROOT_NAMESPACE, Spec};
use model::federation::RemoteCluster;
use model::service::{Endpoint, EndpointState, Protocol, Reach, Service, ServicePort};
use model::{Hostname, Locality, ObjectRef, SpiffeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of one host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostEntry {
    /// The object behind it.
    pub(crate) owner: ObjectRef,
    pub(crate) service: Service,
    pub(crate) slices: BTreeMap<u32, Vec<Endpoint>>,
    /// Groups of this cluster whose workloads serve it.
    pub(crate) groups: BTreeSet<Pair>,
    /// A `GlobalService` with a service in this cluster: others may come for it.
    pub(crate) exported: bool,
}

impl HostEntry {
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.slices.values().flatten()
    }

    /// Ready endpoints in this cluster.
    pub(crate) fn local_ready(&self, cluster: &str) -> usize {
        let here = |e: &&Endpoint| &*e.cluster == cluster && e.state == EndpointState::Ready;
        self.endpoints().filter(here).count()
    }
}

/// `SERVICE.NAMESPACE.svc.cluster.local`.
pub(crate) fn service_host(namespace: &str, name: &str) -> Option<Hostname> {
    Hostname::parse(&format!("{name}.{namespace}.svc.cluster.local"))
}

/// `BACKEND.NAMESPACE.backend.leno`.
pub(crate) fn backend_host(namespace: &str, name: &str) -> Option<Hostname> {
    Hostname::parse(&format!("{name}.{namespace}.backend.leno"))
}

fn entry(object: &Object, host: &Hostname, ports: Vec<ServicePort>) -> Option<HostEntry> {
    let service = Service {
        host: host.clone(),
        namespace: object.meta.namespace.clone(),
        name: object.meta.name.clone(),
        address: None,
        ports,
        global: false,
        failover_order: Vec::new(),
    };
    (!service.ports.is_empty()).then(|| HostEntry {
        owner: object.object.clone(),
        service,
        slices: BTreeMap::new(),
        groups: BTreeSet::new(),
        exported: false,
    })
}

/// From a `Service`; `None` without a TCP port.
pub(crate) fn from_service(
    object: &Object,
    spec: &ServiceSpec,
    host: &Hostname,
    world: &World,
) -> Option<HostEntry> {
    let mut entry =
        entry(object, host, spec.ports.iter().filter_map(|port| service_port(port, None)).collect())?;
    entry.groups = world.groups_selected(&object.meta.namespace, &spec.selector);
    let place = world.place();
    let groups = entry.groups.iter().filter_map(|pair| world.groups.get(pair).map(|group| (pair, group)));
    entry.slices = slices::layout(groups.flat_map(|(pair, group)| {
        let place = &place;
        world.workloads_of(pair).map(move |workload| native(workload, group, place))
    }));
    Some(entry)
}

fn native(workload: &Registration, group: &Group, place: &ClusterPlace) -> Endpoint {
    let known = |locality: &&Locality| !locality.region.is_empty() || !locality.zone.is_empty();
    let locality = [&workload.locality, &group.locality].into_iter().find(known).unwrap_or(&place.locality);
    Endpoint {
        uid: workload.uid.clone(),
        address: workload.address,
        port: 0,
        reach: Reach::Native,
        cluster: place.cluster.clone(),
        locality: locality.clone(),
        identities: vec![workload.identity.clone()],
        gateway_identity: None,
        weight: group.weight,
        state: workload.state,
    }
}

/// Namespace and name of the service behind a `GlobalService`; `None` for one of another namespace, whose
/// owners nobody asked. In the root namespace the mesh's operators write, who may name any.
pub(crate) fn backend_service<'a>(
    object: &'a Object,
    backend: &'a GlobalBackend,
) -> Option<(&'a str, &'a str)> {
    let own = &*object.meta.namespace;
    let namespace = backend.service.namespace.as_deref().unwrap_or(own);
    (namespace == own || own == ROOT_NAMESPACE).then_some((namespace, backend.service.name.as_str()))
}

/// From a `GlobalService` for one of its hosts; `None` as long as no ports are known.
pub(crate) fn from_global(
    object: &Object,
    spec: &GlobalServiceSpec,
    host: &Hostname,
    world: &World,
) -> Option<HostEntry> {
    let services: Vec<&HostEntry> = spec
        .backends
        .iter()
        .filter_map(|backend| {
            let (namespace, name) = backend_service(object, backend)?;
            world.hosts.get(&service_host(namespace, name)?)
        })
        .collect();
    let exports =
        || world.others().filter_map(|remote| find_export(remote, host).map(|export| (remote, export)));
    let local: Vec<ServicePort> = union(services.iter().flat_map(|entry| &entry.service.ports));
    let ports = if !spec.ports.is_empty() {
        spec.ports
            .iter()
            .filter_map(|port| service_port(port, local.iter().find(|l| l.port == port.port)))
            .collect()
    } else if !local.is_empty() {
        local
    } else {
        union(exports().flat_map(|(_, export)| &export.ports))
    };
    let mut entry = entry(object, host, ports)?;
    entry.service.global = true;
    entry.service.failover_order =
        spec.failover.order.iter().map(|cluster| Arc::from(cluster.as_str())).collect();
    entry.exported = !services.is_empty();
    entry.groups = services.iter().flat_map(|entry| entry.groups.iter().cloned()).collect();
    let own = services.iter().flat_map(|entry| entry.endpoints().cloned());
    let remote = exports().flat_map(|(remote, export)| {
        remote.gateways.iter().filter(|_| export.weight > 0 && !export.identities.is_empty()).map(
            move |gateway| Endpoint {
                uid: format!("{}/{}:{}/{host}", remote.cluster, gateway.address, gateway.port).into(),
                address: gateway.address,
                port: gateway.port,
                reach: Reach::Gateway,
                cluster: remote.cluster.clone(),
                locality: remote.locality.clone(),
                identities: export.identities.clone(),
                gateway_identity: Some(gateway.identity.clone()),
                weight: export.weight,
                state: EndpointState::Ready,
            },
        )
    });
    entry.slices = slices::layout(own.chain(remote));
    Some(entry)
}

/// What a cluster says of a host.
pub(crate) fn find_export<'a>(
    remote: &'a RemoteCluster,
    host: &Hostname,
) -> Option<&'a model::federation::Export> {
    remote.exports.iter().find(|export| export.host == *host)
}

/// The first of each port number.
fn union<'a>(ports: impl Iterator<Item = &'a ServicePort>) -> Vec<ServicePort> {
    let mut seen = BTreeSet::new();
    ports.filter(|port| seen.insert(port.port)).cloned().collect()
}

/// From a `Backend`: plaintext to fixed addresses.
pub(crate) fn from_backend(
    object: &Object,
    spec: &BackendSpec,
    host: &Hostname,
    world: &World,
) -> Option<HostEntry> {
    let first = spec.addresses.first()?;
    let protocol = spec.protocol.as_deref().and_then(protocol_of_name).unwrap_or(Protocol::Http1);
    let port = ServicePort { port: first.port, target_port: first.port, protocol, name: "".into() };
    let mut entry = entry(object, host, vec![port])?;
    let place = world.place();
    let endpoints = spec.addresses.iter().filter_map(|address| {
        let ip = address.ip()?;
        Some(Endpoint {
            uid: format!("{host}/{ip}:{}", address.port).into(),
            address: ip,
            port: address.port,
            reach: Reach::Plain,
            cluster: place.cluster.clone(),
            locality: place.locality.clone(),
            identities: Vec::new(),
            gateway_identity: None,
            weight: 1,
            state: EndpointState::Ready,
        })
    });
    entry.slices = slices::layout(endpoints);
    Some(entry)
}

/// The identity that a group's workloads have.
pub(crate) fn identity(group: &Pair, world: &World) -> Option<SpiffeId> {
    let state = world.groups.get(group)?;
    Some(SpiffeId {
        trust_domain: world.place.trust_domain.clone(),
        namespace: state.namespace.clone(),
        service_account: state.service_account.clone(),
    })
}

/// Compiles the entry that `object` gives `host`.
pub(crate) fn compile(object: &Object, host: &Hostname, world: &World) -> Option<HostEntry> {
    match &object.spec {
        Spec::Service(spec) => from_service(object, spec, host, world),
        Spec::GlobalService(spec) => from_global(object, spec, host, world),
        Spec::Backend(spec) => from_backend(object, spec, host, world),
        _ => None,
    }
}
