//! All that is held of the configuration, as resources again: for the last good file.

use super::{Builder, Slice, Snapshot};
use model::l4_route::L4Rule;
use model::{Hostname, MeshSettings, Resource, ResourceKey};
use std::net::Ipv4Addr;
use std::sync::Arc;

impl Builder {
    /// See [`crate::snapshot::SnapshotStore::resources`].
    pub(in crate::snapshot) fn resources(&self, now: &Snapshot) -> Vec<(ResourceKey, Resource)> {
        let mut all = vec![(ResourceKey::Names, Resource::Names((*now.names).clone()))];
        if *now.settings != MeshSettings::default() {
            all.push((ResourceKey::Settings, Resource::Settings((*now.settings).clone())));
        }
        for bundle in now.trust.iter() {
            all.push((
                ResourceKey::Trust(bundle.trust_domain.as_str().into()),
                Resource::Trust(bundle.clone()),
            ));
        }
        for (host, entry) in &now.hosts {
            all.push((ResourceKey::Service(host.clone()), Resource::Service(entry.service.clone())));
            let Some(parts) = self.parts.get(host) else { continue };
            let mut rest = entry.endpoints.as_slice();
            for (&index, slice) in &parts.slices {
                let Slice::Built(count) = *slice else { continue };
                let (mine, after) = rest.split_at(count.min(rest.len()));
                rest = after;
                let slice =
                    model::service::EndpointSlice { host: host.clone(), index, endpoints: mine.into() };
                all.push((ResourceKey::Slice(host.clone(), index), Resource::Slice(slice)));
            }
            all.extend(
                parts.rules.iter().map(|(key, rule)| ((**key).clone(), Resource::Rule(Arc::clone(rule)))),
            );
            all.extend(parts.l4_rules.iter().map(l4_rule));
            let policies = parts.policies.iter();
            all.extend(policies.map(|(key, policy)| (key.clone(), Resource::TrafficPolicy(policy.clone()))));
        }
        let address = |(ip, host): (&Ipv4Addr, &Hostname)| {
            (ResourceKey::Address(*ip), Resource::Address(*ip, host.clone()))
        };
        all.extend(now.by_address.iter().map(address));
        if let Some(inbound) = &now.inbound {
            let key = ResourceKey::Inbound(inbound.namespace.clone(), inbound.group.clone());
            all.push((key, Resource::Inbound((**inbound).clone())));
        }
        let policies = self.policies.iter().chain(&self.gateway_policies);
        all.extend(policies.map(|(key, policy)| (key.clone(), Resource::Policy((**policy).clone()))));
        all.extend(
            self.gateways.iter().map(|(key, gateway)| (key.clone(), Resource::Gateway(gateway.clone()))),
        );
        all.extend(
            self.gateway_rules.iter().map(|(key, rule)| ((**key).clone(), Resource::Rule(Arc::clone(rule)))),
        );
        all.extend(self.gateway_l4_rules.iter().map(l4_rule));
        if let Some(exports) = &now.exports {
            all.push((ResourceKey::Exports, Resource::Exports((**exports).clone())));
        }
        all
    }
}

fn l4_rule((key, rule): (&ResourceKey, &Arc<L4Rule>)) -> (ResourceKey, Resource) {
    (key.clone(), Resource::L4Rule(Arc::clone(rule)))
}
