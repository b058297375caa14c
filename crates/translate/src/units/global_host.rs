//! One host of `GlobalService`s: what the one that has it makes of it, here and in other clusters.

use super::global_service::{global_service, hosts, winner};
use super::host::{CompiledHost, endpoints_touch, entry_touches, slices, union};
use super::{Unit, WorldReader};
use crate::ports::{OpaquePorts, service_port};
use crate::slices::Slices;
use api::{Object, Spec};
use model::federation::{Export, RemoteCluster, RemoteGateway};
use model::service::{Endpoint, EndpointProfile, EndpointState, Reach, ServicePort};
use model::{Hostname, Subscription};
use std::sync::Arc;

pub(crate) struct GlobalHostUnit;

impl Unit for GlobalHostUnit {
    type Key = Hostname;
    type Output = CompiledHost;

    fn keys(object: &Object) -> Vec<Hostname> {
        match &object.spec {
            Spec::GlobalService(spec) => hosts(spec),
            _ => Vec::new(),
        }
    }

    /// `None` as long as no ports are known.
    fn compile(host: &Hostname, read: &WorldReader<'_>) -> Option<CompiledHost> {
        let winner = winner(host, read)?;
        let (object, spec) = global_service(winner, read)?;
        let services = read.global_service(winner)?.services.iter();
        let services: Vec<&CompiledHost> = services.filter_map(|service| read.service(service)).collect();
        let local: Vec<ServicePort> = union(services.iter().flat_map(|entry| &entry.service.ports));
        let ports = if !spec.ports.is_empty() {
            let of_local = |port: u16| local.iter().find(|local| local.port == port);
            let opaque = OpaquePorts::annotated(&object.meta.annotations);
            spec.ports.iter().filter_map(|port| service_port(port, of_local(port.port), &opaque)).collect()
        } else if !local.is_empty() {
            local
        } else {
            union(read.exports(host).into_iter().flat_map(|(_, export)| &export.ports))
        };
        let mut entry = CompiledHost::new(object, host, ports)?;
        entry.service.global = true;
        entry.service.failover_order =
            spec.failover.order.iter().map(|cluster| Arc::from(cluster.as_str())).collect();
        entry.exported = !services.is_empty();
        entry.groups = services.iter().flat_map(|entry| entry.groups.iter().cloned()).collect();
        entry.groups.sort_unstable();
        entry.groups.dedup();
        Some(entry)
    }

    fn addressed(entry: &CompiledHost) -> Option<&Hostname> {
        Some(&entry.service.host)
    }

    fn touches(
        _key: &Hostname,
        old: Option<&CompiledHost>,
        new: Option<&CompiledHost>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        entry_touches(old, new, read)
    }
}

/// The endpoints of its services here, and the gateways of the other clusters that have it.
pub(crate) struct GlobalEndpointsUnit;

impl Unit for GlobalEndpointsUnit {
    type Key = Hostname;
    type Output = Slices;

    fn keys(object: &Object) -> Vec<Hostname> {
        GlobalHostUnit::keys(object)
    }

    fn compile(host: &Hostname, read: &WorldReader<'_>) -> Option<Slices> {
        read.global_host(host)?;
        let services = read.global_service(winner(host, read)?)?.services.iter();
        let local = services.filter_map(|service| read.service_endpoints(service));
        let local = local.flat_map(|slices| slices.endpoints().cloned());
        let remote = read.exports(host).into_iter().flat_map(|(remote, export)| {
            let can_be_called = export.weight > 0 && !export.identities.is_empty();
            let gateways = remote.gateways.iter().filter(move |_| can_be_called);
            gateways.map(|gateway| behind(gateway, remote, export))
        });
        slices(local.chain(remote))
    }

    fn touches(
        host: &Hostname,
        _old: Option<&Slices>,
        _new: Option<&Slices>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        let is_exported = read.global_host(host).is_some_and(|entry| entry.exported);
        endpoints_touch(host, is_exported, read)
    }
}

/// What a cluster exports, through one of its gateways.
fn behind(gateway: &RemoteGateway, remote: &RemoteCluster, export: &Export) -> Endpoint {
    let host = &export.host;
    Endpoint {
        uid: format!("{}/{}:{}/{host}", remote.cluster, gateway.address, gateway.port).into(),
        address: gateway.address,
        port: gateway.port,
        weight: export.weight,
        state: EndpointState::Ready,
        profile: Arc::new(EndpointProfile {
            reach: Reach::Gateway,
            cluster: remote.cluster.clone(),
            locality: remote.locality.clone(),
            identities: export.identities.clone(),
            gateway_identity: Some(gateway.identity.clone()),
            plaintext_ports: Vec::new(),
        }),
    }
}
