//! One `WorkloadEntry`: a place without a proxy, found by its labels.

use super::workload_group::{labelled, selects};
use super::{Topic, Unit, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::service_entry::ServiceEntrySpec;
use api::kinds::workload_entry::WorkloadEntrySpec;
use api::{Object, Spec};
use model::{ObjectRef, Subscription};

pub(crate) struct WorkloadEntryUnit;

impl Unit for WorkloadEntryUnit {
    type Key = Pair;
    type Output = WorkloadEntrySpec;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::WorkloadEntry(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile((namespace, name): &Pair, read: &WorldReader<'_>) -> Option<WorkloadEntrySpec> {
        match &read.own_object(&ObjectRef::new("WorkloadEntry", namespace, name))?.spec {
            Spec::WorkloadEntry(spec) => Some((**spec).clone()),
            _ => None,
        }
    }

    fn topics((namespace, _): &Pair, entry: &WorkloadEntrySpec) -> Vec<Topic> {
        entry.labels.iter().map(|(key, value)| labelled(namespace, key, value)).collect()
    }

    /// Whoever has read it tells whom that concerns.
    fn touches(
        _key: &Pair,
        _old: Option<&WorkloadEntrySpec>,
        _new: Option<&WorkloadEntrySpec>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }
}

/// Those that a `ServiceEntry` selects; none without a selector.
pub(super) fn selected<'w>(
    object: &Object,
    spec: &ServiceEntrySpec,
    read: &WorldReader<'w>,
) -> impl Iterator<Item = &'w WorkloadEntrySpec> {
    let labels = spec.workload_selector.as_ref().map(|selector| &selector.labels);
    let namespace = &object.meta.namespace;
    let with = |(key, value): (&String, &String)| read.members(labelled(namespace, key, value));
    let fewest = labels.and_then(|labels| labels.iter().map(with).min_by_key(Vec::len));
    let mut found = Vec::new();
    for member in fewest.into_iter().flatten() {
        let UnitKey::WorkloadEntry(pair) = member else { continue };
        let entry = read.workload_entry(pair);
        found.extend(entry.filter(|entry| labels.is_some_and(|labels| selects(labels, &entry.labels))));
    }
    found.into_iter()
}
