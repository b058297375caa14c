//! One `Service`: its host and its endpoints, and ports of which another declaration counts.

use super::group_mtls::plaintext_ports;
use super::host::{CompiledHost, endpoints_touch, entry_touches, find_host, service_host, slices};
use super::inbound::hosts_of;
use super::workload_group::{CompiledGroup, groups_selected};
use super::{Topic, Unit, WorldReader};
use crate::ports::{OpaquePorts, service_port};
use crate::slices::Slices;
use crate::world::inputs::{JoinedWorkload, LocalCluster, Pair};
use api::kinds::service::ServiceSpec;
use api::{Object, Spec};
use model::interner::Interner;
use model::service::{Endpoint, EndpointProfile, Protocol, Reach};
use model::{Code, Finding, Hostname, Locality, ObjectRef, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) struct ServiceUnit;

impl Unit for ServiceUnit {
    type Key = Pair;
    type Output = CompiledHost;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::Service(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    /// `None` without a TCP port.
    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledHost> {
        let (object, spec) = own(key, read)?;
        let opaque = OpaquePorts::annotated(&object.meta.annotations);
        let ports = spec.ports.iter().filter_map(|port| service_port(port, None, &opaque)).collect();
        let mut entry = CompiledHost::new(object, &service_host(key)?, ports)?;
        entry.service.headless = spec.headless();
        entry.groups = groups_selected(&key.0, &spec.selector, read);
        Some(entry)
    }

    fn topics(_key: &Pair, entry: &CompiledHost) -> Vec<Topic> {
        entry.groups.iter().cloned().map(Topic::OnGroup).collect()
    }

    fn addressed(entry: &CompiledHost) -> Option<&Hostname> {
        entry.has_mesh_address().then_some(&entry.service.host)
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledHost>,
        new: Option<&CompiledHost>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        entry_touches(old, new, read)
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let groups = groups_selected(&key.0, &spec.selector, read);
        if !groups.is_empty() {
            return conflicting_protocols(object, spec, &groups, read);
        }
        let cause = match spec.selector.is_empty() {
            true => "the service has no selector, so it has no workloads",
            false => "the selector matches no WorkloadGroup",
        };
        let fix = "let it match `spec.metadata.labels` of a WorkloadGroup of the namespace";
        vec![Finding::new(Code::NoWorkloads, &object.at(spec.line), cause, fix)]
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w ServiceSpec)> {
    let object = read.own_object(&ObjectRef::new("Service", namespace, name))?;
    match &object.spec {
        Spec::Service(spec) => Some((object, spec)),
        _ => None,
    }
}

/// Ports of a Service whose workloads' port is declared otherwise by another port, of this Service or of another
/// one. The declaration that does not count is told. `groups` are those that the Service selects.
fn conflicting_protocols(
    object: &Object,
    spec: &ServiceSpec,
    groups: &[Pair],
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let key = (object.meta.namespace.clone(), object.meta.name.clone());
    let Some(entry) = read.service(&key) else { return Vec::new() };
    let hosts: BTreeSet<_> = groups.iter().flat_map(|group| hosts_of(group, read)).collect();
    let entries: Vec<&CompiledHost> = hosts.iter().filter_map(|host| find_host(host, read)).collect();
    let mut findings = Vec::new();
    for port in &entry.service.ports {
        // In the order in which the workloads' side looks for a declaration.
        let declared = entries.iter().find_map(|other| {
            let ports = other.service.ports.iter();
            let mut same = ports.filter(|other| other.target_port == port.target_port);
            Some((other, same.find(|other| other.protocol != Protocol::Undeclared)?))
        });
        let Some((other, first)) = declared else { continue };
        if port.protocol == Protocol::Undeclared || first.protocol == port.protocol {
            continue;
        }
        let cause = format!(
            "targetPort {} is declared as {} here and as {} by {} (port {}), which counts at the workloads",
            port.target_port,
            word(port.protocol),
            word(first.protocol),
            other.owner(),
            first.port
        );
        let line = spec.ports.iter().find(|written| written.port == port.port).map_or(spec.line, |p| p.line);
        let fix = "declare it with one protocol, or give each protocol a targetPort of its own";
        findings.push(Finding::new(Code::ProtocolConflict, &object.at(line), cause, fix));
    }
    findings
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "HTTP",
        Protocol::Http2 => "HTTP/2",
        Protocol::Tcp => "TCP",
        Protocol::Undeclared => "undeclared",
        Protocol::Udp => "UDP",
    }
}

/// The workloads of the groups that a `Service` selects.
pub(crate) struct ServiceEndpointsUnit;

impl Unit for ServiceEndpointsUnit {
    type Key = Pair;
    type Output = Slices;

    fn keys(object: &Object) -> Vec<Pair> {
        ServiceUnit::keys(object)
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<Slices> {
        group_endpoints(read.service(key)?, read)
    }

    fn touches(
        key: &Pair,
        _old: Option<&Slices>,
        _new: Option<&Slices>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        service_host(key).map_or_else(Vec::new, |host| endpoints_touch(&host, false, read))
    }
}

/// The workloads of the groups of a host.
pub(super) fn group_endpoints(entry: &CompiledHost, read: &WorldReader<'_>) -> Option<Slices> {
    let place = read.local_cluster(&())?;
    let mut profiles = Interner::default();
    let groups = entry.groups.iter().filter_map(|pair| Some((pair, read.workload_group(pair)?)));
    let endpoints = groups.flat_map(|(pair, group)| {
        let ports = entry.service.ports.iter().map(|port| port.target_port);
        let plaintext = plaintext_ports(pair, ports, read);
        let endpoint = |workload| native(workload, group, place, &plaintext, &mut profiles);
        read.workloads_of(pair).map(endpoint).collect::<Vec<_>>()
    });
    slices(endpoints)
}

pub(super) fn native(
    workload: &JoinedWorkload,
    group: &CompiledGroup,
    place: &LocalCluster,
    plaintext_ports: &[u16],
    profiles: &mut Interner<EndpointProfile>,
) -> Endpoint {
    let known = |locality: &&Locality| !locality.region.is_empty() || !locality.zone.is_empty();
    let locality = [&workload.locality, &group.locality].into_iter().find(known).unwrap_or(&place.locality);
    Endpoint {
        uid: workload.uid.clone(),
        address: workload.address,
        port: 0,
        weight: group.weight,
        state: workload.state,
        profile: profiles.intern_arc(Arc::new(EndpointProfile {
            reach: Reach::Native,
            cluster: place.cluster.clone(),
            locality: locality.clone(),
            identities: vec![workload.identity.clone()],
            gateway_identity: None,
            plaintext_ports: plaintext_ports.to_vec(),
        })),
    }
}
