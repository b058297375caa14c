//! What a proxy is told that asks for the workload at an address, because its application calls that and no service's
//! name: a service of that one workload, with all ports that are declared for it. Made when somebody asks.

use super::WorldReader;
use super::gateway::edge_gateway;
use super::group_mtls::plaintext_ports;
use super::inbound::inbound;
use super::service::native;
use crate::world::inputs::{JoinedWorkload, Pair};
use model::Hostname;
use model::interner::Interner;
use model::mtls::MtlsMode;
use model::service::{Endpoint, EndpointState, Service, ServicePort};
use model::workload_host::workload_address;
use std::sync::Arc;

/// The workload that a host of this form means, of this cluster's network. `None`: there is none that can be called by
/// mutual TLS. A gateway for callers from outside is called as they call it: through its own proxy, all its callers would
/// have its address.
fn workload<'w>(host: &Hostname, read: &WorldReader<'w>) -> Option<(&'w JoinedWorkload, Pair)> {
    let workload = read.workload_at(workload_address(host)?)?;
    let group = workload.group();
    let takes_plaintext_alone =
        read.group_mtls(&group).is_some_and(|mtls| mtls.mode.mode == MtlsMode::Disable);
    let is_edge = edge_gateway(&group, read).is_some();
    (!takes_plaintext_alone && !is_edge).then_some((workload, group))
}

/// The service of that workload alone.
pub(crate) fn workload_service(host: &Hostname, read: &WorldReader<'_>) -> Option<Service> {
    let (_, group) = workload(host, read)?;
    let ports = inbound(&group, read)?.ports.into_iter().map(|port| ServicePort {
        port: port.port,
        target_port: port.port,
        protocol: port.protocol,
        name: "".into(),
    });
    Some(Service {
        host: host.clone(),
        namespace: group.0.clone(),
        name: group.1.clone(),
        address: None,
        ports: ports.collect(),
        global: false,
        failover_order: Vec::new(),
        headless: None,
        external: None,
    })
}

/// Its one endpoint.
pub(crate) fn workload_endpoints(host: &Hostname, read: &WorldReader<'_>) -> Option<Arc<[Endpoint]>> {
    let (workload, pair) = workload(host, read)?;
    let (group, place) = (read.workload_group(&pair)?, read.local_cluster(&())?);
    let declared = inbound(&pair, read)?.ports.into_iter().map(|port| port.port);
    let named = read.group_mtls(&pair).into_iter().flat_map(|mtls| mtls.ports.keys().copied());
    let plaintext = plaintext_ports(&pair, declared.chain(named), read);
    let endpoint = native(workload, group, place, &plaintext, &mut Interner::default());
    // Who calls its address means it and no other, whatever its state.
    Some([Endpoint { state: EndpointState::Ready, ..endpoint }].into())
}
