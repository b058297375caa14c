//! What proxies accept in the mesh: the inbound side of a group, and what an east-west gateway forwards to. Made when
//! somebody asks, of the units' outputs.

use super::global_service::hosts_won;
use super::host::{find_host, service_host};
use super::{Topic, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use model::Hostname;
use model::listener::{Exports, Inbound, InboundPort};
use model::mtls::EffectiveMtls;
use model::service::Protocol;
use std::collections::{BTreeMap, BTreeSet};

/// The inbound side of a group.
pub(crate) fn inbound(pair: &Pair, read: &WorldReader<'_>) -> Option<Inbound> {
    let group = read.workload_group(pair)?;
    let mut ports: BTreeMap<u16, InboundPort> = BTreeMap::new();
    for host in hosts_of(pair, read) {
        let Some(entry) = find_host(&host, read) else { continue };
        for port in &entry.service.ports {
            let known = ports.entry(port.target_port).or_insert_with(|| InboundPort {
                port: port.target_port,
                protocol: port.protocol,
                names: Vec::new(),
            });
            // A declaration beats none; between two, the first host by name.
            if known.protocol == Protocol::Undeclared {
                known.protocol = port.protocol;
            }
            known.names.push((host.clone(), port.port));
        }
    }
    Some(Inbound {
        namespace: group.namespace.clone(),
        group: group.name.clone(),
        labels: group
            .labels
            .iter()
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect(),
        ports: ports.into_values().collect(),
        mtls: read.group_mtls(pair).map(EffectiveMtls::inbound).unwrap_or_default(),
        probe: group.probe.clone(),
        capture: group.capture.clone(),
    })
}

/// Hosts that workloads of a group serve, sorted.
pub(super) fn hosts_of(group: &Pair, read: &WorldReader<'_>) -> BTreeSet<Hostname> {
    let mut hosts = BTreeSet::new();
    for service in read.members(Topic::OnGroup(group.clone())) {
        let UnitKey::Service(service) = service else { continue };
        hosts.extend(service_host(service));
        for global in read.members(Topic::OnService(service.clone())) {
            let UnitKey::GlobalService(global) = global else { continue };
            hosts.extend(hosts_won(global, read));
        }
    }
    hosts
}

/// Hosts that other clusters may come for, sorted. Not noted.
pub(crate) fn exported_hosts<'w>(read: &WorldReader<'w>) -> impl Iterator<Item = &'w Hostname> {
    let hosts = read.outputs().global_host.iter();
    hosts.filter(|(_, entry)| entry.exported).map(|(host, _)| host)
}

/// Hosts and ports that other clusters may come for. Not noted.
pub(crate) fn exports(read: &WorldReader<'_>) -> Exports {
    let hosts = exported_hosts(read).flat_map(|host| {
        let entry = read.outputs().global_host.get(host);
        let ports = entry.into_iter().flat_map(|entry| &entry.service.ports);
        ports.map(move |port| (host.clone(), port.port))
    });
    let mut hosts: Vec<(Hostname, u16)> = hosts.collect();
    hosts.sort();
    Exports { hosts }
}
