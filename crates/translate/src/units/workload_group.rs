//! One `WorkloadGroup`: workloads that are alike, with one identity.

use super::{Topic, Unit, UnitKey, WorldReader};
use crate::probe::readiness_probe;
use crate::world::inputs::Pair;
use api::fields::selector::LabelSelector;
use api::{Object, Spec};
use model::probe::ReadinessProbe;
use model::{Locality, ObjectRef, SpiffeId, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A workload group, as joining needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledGroup {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Labels of its workloads.
    pub labels: BTreeMap<String, String>,
    /// Their service account.
    pub service_account: Arc<str>,
    /// Empty: the cluster's.
    pub locality: Locality,
    /// Share of traffic of each workload, from 1.
    pub weight: u32,
    /// How to find out whether their application is ready; `None`: it counts as ready.
    pub probe: Option<Arc<ReadinessProbe>>,
    /// Annotations about the capture of their hosts.
    pub capture: Vec<(Arc<str>, Arc<str>)>,
}

pub(crate) struct WorkloadGroupUnit;

impl Unit for WorkloadGroupUnit {
    type Key = Pair;
    type Output = CompiledGroup;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::WorkloadGroup(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile((namespace, name): &Pair, read: &WorldReader<'_>) -> Option<CompiledGroup> {
        let object = read.own_object(&ObjectRef::new("WorkloadGroup", namespace, name))?;
        let Spec::WorkloadGroup(spec) = &object.spec else { return None };
        let template = &spec.template;
        let mut labels = template.labels.clone();
        labels.extend(spec.metadata.labels.clone());
        let locality = template.locality.as_deref().unwrap_or_default();
        let mut parts = locality.split('/');
        let mut part = || Arc::from(parts.next().unwrap_or_default());
        Some(CompiledGroup {
            namespace: namespace.clone(),
            name: name.clone(),
            labels,
            service_account: template.service_account.as_deref().unwrap_or("default").into(),
            locality: Locality { region: part(), zone: part() },
            weight: template.weight.unwrap_or(1).max(1),
            capture: spec.metadata.capture().map(|(name, value)| (name.into(), value.into())).collect(),
            probe: spec.probe.as_ref().and_then(readiness_probe).map(Arc::new),
        })
    }

    fn topics((namespace, _): &Pair, group: &CompiledGroup) -> Vec<Topic> {
        group.labels.iter().map(|(key, value)| labelled(namespace, key, value)).collect()
    }

    /// Labels decide which policies concern its inbound side and, if it is a gateway, its gateway.
    fn touches(
        (namespace, name): &Pair,
        _old: Option<&CompiledGroup>,
        _new: Option<&CompiledGroup>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        let (namespace, name) = (namespace.clone(), name.clone());
        vec![
            Subscription::Gateway { namespace: namespace.clone(), name: name.clone() },
            Subscription::Inbound { namespace, group: name },
        ]
    }
}

pub(super) fn labelled(namespace: &Arc<str>, key: &str, value: &str) -> Topic {
    Topic::Labelled(namespace.clone(), key.into(), value.into())
}

/// Groups of `namespace` with all labels of `selector`, sorted; none for an empty one, as in Kubernetes.
pub(crate) fn groups_selected(
    namespace: &Arc<str>,
    selector: &BTreeMap<String, String>,
    read: &WorldReader<'_>,
) -> Vec<Pair> {
    let with = |(key, value): (&String, &String)| read.members(labelled(namespace, key, value));
    let Some(fewest) = selector.iter().map(with).min_by_key(Vec::len) else { return Vec::new() };
    // Who is found under all these topics has all these labels: the groups themselves need not be noted.
    let groups = &read.outputs().workload_group;
    let has_all = |pair: &&Pair| groups.get(*pair).is_some_and(|group| selects(selector, &group.labels));
    let pairs = fewest.into_iter().filter_map(|member| match member {
        UnitKey::WorkloadGroup(pair) => Some(pair),
        _ => None,
    });
    pairs.filter(has_all).cloned().collect()
}

/// Whether all of `selector` is in `labels`.
pub(crate) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a namespace has the labels that are asked for.
pub(super) fn selects_namespace(
    selector: Option<&LabelSelector>,
    namespace: &str,
    read: &WorldReader<'_>,
) -> bool {
    let object = read.object(&ObjectRef::new("Namespace", "", namespace));
    let found = object.zip(selector);
    found.is_some_and(|(object, selector)| selects(&selector.match_labels, &object.meta.labels))
}

/// The identity that a group's workloads have.
pub(crate) fn identity(group: &Pair, read: &WorldReader<'_>) -> Option<SpiffeId> {
    let group = read.workload_group(group)?;
    Some(SpiffeId {
        trust_domain: read.started_as().trust_domain.clone(),
        namespace: group.namespace.clone(),
        service_account: group.service_account.clone(),
    })
}

/// Groups of one namespace or of all, sorted. Not noted.
pub(crate) fn groups_near<'w>(
    namespace: Option<&Arc<str>>,
    read: &WorldReader<'w>,
) -> impl Iterator<Item = (&'w Pair, &'w CompiledGroup)> {
    let only = namespace.cloned();
    let start = (only.clone().unwrap_or_default(), Arc::from(""));
    let groups = read.outputs().workload_group.range(start..);
    let near =
        groups.take_while(move |((namespace, _), _)| only.as_ref().is_none_or(|only| namespace == only));
    near.map(|(pair, group)| (pair, &**group))
}
