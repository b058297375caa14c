//! What the workloads of one `WorkloadGroup` take from their callers: mutual TLS, plaintext, or both.

use super::host::{CompiledHost, find_host, inbound_subscription};
use super::inbound::hosts_of;
use super::peer_authentication::of_group;
use super::workload_group::WorkloadGroupUnit;
use super::{Unit, WorldReader};
use crate::world::inputs::Pair;
use api::Object;
use decide::mtls::effective;
use model::mtls::{EffectiveMtls, MtlsMode};
use model::service::ServicePort;
use model::{Code, Finding, ObjectRef, Subscription};

pub(crate) struct GroupMtlsUnit;

impl Unit for GroupMtlsUnit {
    type Key = Pair;
    type Output = EffectiveMtls;

    fn keys(object: &Object) -> Vec<Pair> {
        WorkloadGroupUnit::keys(object)
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<EffectiveMtls> {
        let group = read.workload_group(key)?;
        Some(effective(of_group(&key.0, &group.labels, read).into_iter().map(|one| &one.said)))
    }

    fn touches(
        key: &Pair,
        old: Option<&EffectiveMtls>,
        new: Option<&EffectiveMtls>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        match old.map(EffectiveMtls::inbound) == new.map(EffectiveMtls::inbound) {
            true => Vec::new(),
            false => vec![inbound_subscription(key)],
        }
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let group = read.own_object(&ObjectRef::new("WorkloadGroup", &key.0, &key.1));
        let (Some(group), Some(mtls)) = (group, read.group_mtls(key)) else { return Vec::new() };
        let hosts = hosts_of(key, read);
        let exported = hosts.iter().filter_map(|host| find_host(host, read)).filter(|entry| entry.exported);
        let ports = exported.flat_map(|entry| entry.service.ports.iter().map(move |port| (entry, port)));
        let closed = ports.filter(|(_, port)| mtls.at(port.target_port).mode == MtlsMode::Disable);
        let finding = |(entry, port): (&CompiledHost, &ServicePort)| {
            let by = mtls.at(port.target_port).origin.as_ref().map(|origin| origin.object.to_string());
            let cause = format!(
                "port {} takes plaintext alone, says {}, and other clusters may call it as {}:{}",
                port.target_port,
                by.unwrap_or_default(),
                entry.service.host,
                port.port
            );
            let fix = "say PERMISSIVE for that port, because between clusters there is mutual TLS alone";
            Finding::new(Code::PlaintextExport, &group.origin, cause, fix)
        };
        closed.map(finding).collect()
    }
}

/// Of these ports of a group, those that take plaintext alone, sorted.
pub(super) fn plaintext_ports(
    group: &Pair,
    ports: impl IntoIterator<Item = u16>,
    read: &WorldReader<'_>,
) -> Vec<u16> {
    let Some(mtls) = read.group_mtls(group) else { return Vec::new() };
    let mut plaintext: Vec<u16> =
        ports.into_iter().filter(|port| mtls.at(*port).mode == MtlsMode::Disable).collect();
    plaintext.sort_unstable();
    plaintext.dedup();
    plaintext
}
