//! Objects that contradict each other: two declarations of one port, clusters that nobody knows.

use crate::gateways::hosts_of;
use crate::world::{Pair, World};
use api::kinds::global_service::GlobalServiceSpec;
use api::kinds::service::ServiceSpec;
use api::{Object, suggest};
use model::service::Protocol;
use model::{Code, Finding};
use std::collections::BTreeSet;

/// Ports of a Service whose workloads' port is declared otherwise by another port, of this Service or of another
/// one. The declaration that does not count is told. `groups` are those that the Service selects.
pub(super) fn protocols(
    object: &Object,
    spec: &ServiceSpec,
    groups: &[&Pair],
    world: &World,
) -> Vec<Finding> {
    let Some(own) = crate::hosts::service_host(&object.meta.namespace, &object.meta.name) else {
        return Vec::new();
    };
    let Some(entry) = world.hosts.get(&own) else { return Vec::new() };
    let hosts: BTreeSet<_> = groups.iter().flat_map(|group| hosts_of(group, world)).collect();
    let mut findings = Vec::new();
    for port in &entry.service.ports {
        // In the order in which the workloads' side looks for a declaration.
        let declared = hosts.iter().filter_map(|host| world.hosts.get(host)).find_map(|other| {
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
            other.owner,
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
    }
}

/// Clusters in `failover.order` that are neither this one nor another that is known. As long as no other is
/// known at all (files alone, or no management plane yet), nothing is said.
pub(super) fn unknown_clusters(object: &Object, spec: &GlobalServiceSpec, world: &World) -> Vec<Finding> {
    let mut known: BTreeSet<&str> = world.remotes.keys().map(|cluster| &**cluster).collect();
    known.extend(world.objects_of("Cluster", None).map(|cluster| &*cluster.meta.name));
    if known.is_empty() {
        return Vec::new();
    }
    known.insert(&world.place.cluster);
    let known: Vec<&str> = known.into_iter().collect();
    let unknown = spec.failover.order.iter().filter(|cluster| !known.contains(&cluster.as_str()));
    let finding = |cluster: &String| {
        let cause = format!(
            "`spec.failover.order` names cluster `{cluster}`, which is not known, so it has no effect"
        );
        let fix = match suggest::nearest(cluster, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known clusters: {}", known.join(", ")),
        };
        Finding::new(Code::Ignored, &object.at(spec.line), cause, fix)
    };
    unknown.map(finding).collect()
}
