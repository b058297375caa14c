//! One subset of a host: a service of its own, with those endpoints of the host that have the labels. Its name is made
//! of both, and nobody resolves it. It is there as long as a `VirtualService` names it.

use super::claims::subsets;
use super::host_rules::subset_rule;
use crate::slices::Slices;
use crate::units::host::{CompiledHost, endpoints_touch, find_host, find_slices, subset_parts};
use crate::units::service::group_endpoints;
use crate::units::workload_group::selects;
use crate::units::{Topic, Unit, WorldReader};
use api::{Object, Spec};
use model::{Hostname, Subscription};

pub(crate) struct SubsetUnit;

impl Unit for SubsetUnit {
    type Key = Hostname;
    type Output = CompiledHost;

    fn keys(object: &Object) -> Vec<Hostname> {
        match &object.spec {
            Spec::VirtualService(spec) => subsets(object, spec),
            _ => Vec::new(),
        }
    }

    fn compile(host: &Hostname, read: &WorldReader<'_>) -> Option<CompiledHost> {
        if read.members(Topic::NamingSubset(host.clone())).is_empty() {
            return None;
        }
        let (of, rule) = subset_rule(host, read)?;
        let mut entry = find_host(&of, read)?.clone();
        entry.groups.retain(|group| {
            read.workload_group(group).is_some_and(|group| selects(&rule.labels, &group.labels))
        });
        entry.service.host = host.clone();
        entry.exported = false;
        Some(entry)
    }

    fn topics(host: &Hostname, _entry: &CompiledHost) -> Vec<Topic> {
        subset_parts(host).map(|(_, of)| Topic::SubsetOf(of)).into_iter().collect()
    }

    fn touches(
        host: &Hostname,
        _old: Option<&CompiledHost>,
        _new: Option<&CompiledHost>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        endpoints_touch(host, false, read)
    }
}

/// The endpoints of a subset: of workloads of this cluster, for of others the labels are not known; without labels
/// those of the host.
pub(crate) struct SubsetEndpointsUnit;

impl Unit for SubsetEndpointsUnit {
    type Key = Hostname;
    type Output = Slices;

    fn keys(object: &Object) -> Vec<Hostname> {
        SubsetUnit::keys(object)
    }

    fn compile(host: &Hostname, read: &WorldReader<'_>) -> Option<Slices> {
        let entry = read.subset(host)?;
        let (of, rule) = subset_rule(host, read)?;
        match rule.labels.is_empty() {
            true => find_slices(&of, read).cloned(),
            false => group_endpoints(entry, read),
        }
    }

    fn touches(
        host: &Hostname,
        _old: Option<&Slices>,
        _new: Option<&Slices>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        endpoints_touch(host, false, read)
    }
}
