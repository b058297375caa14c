//! What is attached to hosts, of whatever kind: policies that say how their endpoints are used. What holds where there
//! are several is said by `decide::attach`, at the proxies.

use super::host::{endpoints_touch, find_host, subset_parts};
use super::istio::host_rules::attached_to;
use super::{Topic, UnitKey, WorldReader};
use decide::attach;
use model::traffic::AttachedPolicy;
use model::{Hostname, ResourceKey, Subscription};

/// What one object says of each host that it is attached to, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attachment(Vec<(Hostname, AttachedPolicy)>);

impl Attachment {
    /// Of several for one host the first counts.
    pub(super) fn new(mut attached: Vec<(Hostname, AttachedPolicy)>) -> Self {
        attached.sort_by(|(a, _), (b, _)| a.cmp(b));
        attached.dedup_by(|(a, _), (b, _)| a == b);
        Self(attached)
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Hostname> {
        self.0.iter().map(|(host, _)| host)
    }

    /// What it says of a host.
    pub(super) fn on(&self, host: &Hostname) -> Option<&AttachedPolicy> {
        self.0.iter().find(|(known, _)| known == host).map(|(_, attached)| attached)
    }

    pub(super) fn topics(&self) -> Vec<Topic> {
        self.hosts().cloned().map(Topic::AttachedTo).collect()
    }
}

/// Whom a change of what is attached concerns.
pub(super) fn attachment_touches(
    old: Option<&Attachment>,
    new: Option<&Attachment>,
    read: &WorldReader<'_>,
) -> Vec<Subscription> {
    let hosts = [old, new].into_iter().flatten().flat_map(Attachment::hosts);
    let is_exported = |host| find_host(host, read).is_some_and(|entry| entry.exported);
    hosts.flat_map(|host| endpoints_touch(host, is_exported(host), read)).collect()
}

/// The policies that are attached to a host, as resources; of a subset those of its host too.
pub(crate) fn on_host<'w>(host: &Hostname, read: &WorldReader<'w>) -> Vec<(ResourceKey, &'w AttachedPolicy)> {
    let mut attached = Vec::new();
    let of = subset_parts(host).map_or_else(|| host.clone(), |(_, of)| of);
    for member in read.members(Topic::AttachedTo(of.clone())) {
        let attachment = match member {
            UnitKey::TrafficPolicy(pair) => read.traffic_policy(pair),
            UnitKey::BackendTlsPolicy(pair) => read.backend_tls_policy(pair),
            _ => None,
        };
        attached.extend(attachment.and_then(|attachment| attachment.on(&of)));
    }
    attached.extend(attached_to(host, read));
    let key = |policy: &AttachedPolicy| {
        let by = &policy.origin.object;
        let (kind, namespace, name) = (by.kind.clone(), by.namespace.clone(), by.name.clone());
        ResourceKey::TrafficPolicy { host: host.clone(), kind, namespace, name }
    };
    attached.into_iter().map(|policy| (key(policy), policy)).collect()
}

/// What holds of a host.
pub(super) fn effective(host: &Hostname, read: &WorldReader<'_>) -> attach::Effective {
    attach::merge(on_host(host, read).into_iter().map(|(_, attached)| attached))
}
