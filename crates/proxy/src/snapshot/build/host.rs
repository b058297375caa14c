//! The entry of one host: made of its service, slices, rules and policies, and taken apart again where one of its slices is
//! replaced.

use super::super::endpoint::EndpointStates;
use super::super::{HostEntry, LastUse, LocalNode, Retries, resolved};
use super::{Builder, Slice, Snapshot};
use crate::backend_tls::HostTls;
use decide::consumer::ServiceRules;
use decide::hash::Quick;
use decide::{attach, balance};
use model::Hostname;
use model::service::Endpoint;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

impl Builder {
    /// Takes the endpoints of the built entry back into the parts, so that single slices can be replaced.
    pub(super) fn unbuild(&mut self, next: &Snapshot, host: &Hostname) {
        let (Some(parts), Some(entry)) = (self.parts.get_mut(host), next.hosts.get(host)) else { return };
        let mut rest = entry.endpoints.as_slice();
        for slice in parts.slices.values_mut() {
            if let Slice::Built(count) = *slice {
                let (mine, after) = rest.split_at(count.min(rest.len()));
                rest = after;
                *slice = Slice::New(mine.to_vec());
            }
        }
    }

    pub(super) fn build_host(&mut self, next: &mut Snapshot, host: &Hostname) {
        let old = next.hosts.get(host).cloned();
        let Some(parts) = self.parts.get_mut(host) else { return };
        let Some(service) = parts.service.take().or_else(|| old.as_ref().map(|old| old.service.clone()))
        else {
            next.hosts.remove(host);
            if parts.is_empty() {
                self.parts.remove(host);
            }
            return;
        };
        let is_rebuilt = parts.slices.values().any(|slice| matches!(slice, Slice::New(_)));
        let mut endpoints = match &old {
            Some(old) if !is_rebuilt && !parts.slices.is_empty() => {
                old.endpoints.iter().take(built(&parts.slices)).cloned().collect()
            }
            _ => take_endpoints(&mut parts.slices),
        };
        let named = resolved::endpoints(&service, &next.resolved, &self.me.place, &next.settings.egress);
        endpoints.extend(named.endpoints);
        let own = &*self.me.namespace;
        let rules = ServiceRules::compile(parts.rules.values().cloned(), own);
        let l4_rules = (!parts.l4_rules.is_empty())
            .then(|| Box::new(ServiceRules::compile(parts.l4_rules.values().cloned(), own)));
        let traffic = attach::merge(parts.policies.values());
        let how = traffic.load_balancer.as_ref().map(|field| field.value.clone()).unwrap_or_default();
        let priorities = balance::prioritize(&endpoints, &self.me.place, &service.failover_order, &how);
        let tls = match &old {
            // Files are read and connections begun anew only where something else is said.
            Some(old) if HostTls::is_same(&old.service, &old.traffic, &service, &traffic) => old.tls.clone(),
            _ => HostTls::new(&service, &traffic, &self.files),
        };
        let states = EndpointStates::new(&self.health, endpoints.iter().map(|endpoint| &endpoint.uid));
        let used = old.as_ref().map_or_else(Arc::<LastUse>::default, |old| Arc::clone(&old.used));
        let retries = old.as_ref().map_or_else(Arc::<Retries>::default, |old| Arc::clone(&old.retries));
        let turns = old.as_ref().map_or_else(|| first_turn(&self.me), |old| Arc::clone(&old.turns));
        if let Some(ip) = service.address {
            next.absent_addresses.remove(&ip);
            next.by_address.insert(ip, host.clone());
        }
        if let Some(ip) = old.as_ref().and_then(|old| old.service.address)
            && service.address != Some(ip)
            // Another host may have it by now.
            && next.by_address.get(&ip) == Some(host)
        {
            next.by_address.remove(&ip);
        }
        let entry = HostEntry {
            service,
            rules,
            l4_rules,
            endpoints,
            priorities,
            traffic,
            alternates: named.alternates,
            is_awaited: named.is_awaited,
            tls,
            states,
            retries,
            turns,
            used,
        };
        next.hosts.insert(host.clone(), Arc::new(entry));
    }
}

/// Where this proxy begins to take turns: elsewhere than others, so that not all begin at the same endpoint.
fn first_turn(me: &LocalNode) -> Arc<AtomicU64> {
    let mut hasher = Quick::default();
    me.addresses.hash(&mut hasher);
    Arc::new(AtomicU64::new(hasher.finish()))
}

/// How many endpoints the slices of a built entry are.
fn built(slices: &BTreeMap<u32, Slice>) -> usize {
    slices.values().map(|slice| if let Slice::Built(count) = slice { *count } else { 0 }).sum()
}

/// Moves all slices into one list and remembers their lengths.
fn take_endpoints(slices: &mut BTreeMap<u32, Slice>) -> Vec<Endpoint> {
    let count = |slice: &Slice| if let Slice::New(endpoints) = slice { endpoints.len() } else { 0 };
    let mut all = Vec::with_capacity(slices.values().map(count).sum());
    for slice in slices.values_mut() {
        if let Slice::New(endpoints) = slice {
            let count = endpoints.len();
            all.append(endpoints);
            *slice = Slice::Built(count);
        }
    }
    all
}
