//! How units look at the world: what they look at is noted, so that they are compiled anew when it changes.

use super::{Fact, Outputs, Topic, UnitKey, UnitKind, UnitRow};
use crate::world::graph::Graph;
use crate::world::inputs::{Inputs, JoinedWorkload, LocalCluster, Pair, find_export};
use api::Object;
use model::federation::{Export, RemoteCluster};
use model::{Hostname, ObjectRef, Origin};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The world as it is. For each unit there is a method of its name that finds its output (`units!`).
pub(crate) struct WorldReader<'w> {
    inputs: &'w Inputs,
    outputs: &'w Outputs,
    graph: &'w Graph<Fact>,
    notes: Option<RefCell<Vec<Fact>>>,
}

impl<'w> WorldReader<'w> {
    /// One that notes nothing.
    pub(crate) fn new(inputs: &'w Inputs, outputs: &'w Outputs, graph: &'w Graph<Fact>) -> Self {
        Self { inputs, outputs, graph, notes: None }
    }

    /// One that notes what is looked at.
    pub(crate) fn noting(inputs: &'w Inputs, outputs: &'w Outputs, graph: &'w Graph<Fact>) -> Self {
        Self { notes: Some(RefCell::default()), ..Self::new(inputs, outputs, graph) }
    }

    /// What was looked at.
    pub(crate) fn into_notes(self) -> Vec<Fact> {
        self.notes.map(RefCell::into_inner).unwrap_or_default()
    }

    fn note(&self, fact: impl FnOnce() -> Fact) {
        if let Some(notes) = &self.notes {
            notes.borrow_mut().push(fact());
        }
    }

    /// Notes that all units of these sorts are looked at, and gives a reader that does not note each of them.
    pub(crate) fn every(&self, kinds: &[UnitKind]) -> WorldReader<'w> {
        kinds.iter().for_each(|kind| self.note(|| Fact::Every(*kind)));
        Self::new(self.inputs, self.outputs, self.graph)
    }

    /// All outputs. Nothing of this is noted: for who asks once, or has noted it otherwise.
    pub(crate) fn outputs(&self) -> &'w Outputs {
        self.outputs
    }

    pub(super) fn output<U: UnitRow>(&self, key: &U::Key) -> Option<&'w U::Output> {
        self.note(|| Fact::Output(U::key(key.clone())));
        U::outputs(self.outputs).get(key).map(|output| &**output)
    }

    /// The units that are found under a topic, sorted.
    pub(crate) fn members(&self, topic: Topic) -> Vec<&'w UnitKey> {
        let topic = Fact::Members(topic);
        let members = self.graph.members(&topic).filter_map(|member| match member {
            Fact::Output(key) => Some(key),
            _ => None,
        });
        let mut members: Vec<_> = members.collect();
        members.sort_unstable();
        self.note(|| topic);
        members
    }

    /// An object that makes the unit that reads it: that is compiled anew with it in any case (`Unit::keys`).
    pub(crate) fn own_object(&self, object: &ObjectRef) -> Option<&'w Arc<Object>> {
        self.inputs.object(object)
    }

    /// The same of all objects of a kind in a namespace: whether there is one.
    pub(crate) fn has_own_objects(&self, kind: &str, namespace: &str) -> bool {
        let first = self.inputs.objects_from(ObjectRef::new(kind, namespace, "")).next();
        first.is_some_and(|first| *first.object.kind == *kind && *first.object.namespace == *namespace)
    }

    /// Any other object, as it is in force.
    pub(crate) fn object(&self, object: &ObjectRef) -> Option<&'w Arc<Object>> {
        self.note(|| Fact::Object(object.clone()));
        self.inputs.object(object)
    }

    /// The names of all objects of a kind, in one namespace or in all.
    pub(crate) fn names(&self, kind: &str, namespace: Option<&str>) -> Vec<&'w Arc<str>> {
        self.note(|| Fact::Names(kind.into(), namespace.map(Arc::from)));
        let objects = self.inputs.objects_from(ObjectRef::new(kind, namespace.unwrap_or_default(), ""));
        let is_meant = |object: &ObjectRef| {
            *object.kind == *kind && namespace.is_none_or(|namespace| *object.namespace == *namespace)
        };
        objects
            .map(|object| &object.object)
            .take_while(|object| is_meant(object))
            .map(|object| &object.name)
            .collect()
    }

    /// The namespaces with objects of a kind.
    pub(crate) fn namespaces(&self, kind: &str) -> Vec<Arc<str>> {
        self.note(|| Fact::Names(kind.into(), None));
        let objects = self.inputs.objects_from(ObjectRef::new(kind, "", ""));
        let of_kind = objects.map(|object| &object.object).take_while(|object| *object.kind == *kind);
        let mut namespaces: Vec<Arc<str>> = of_kind.map(|object| object.namespace.clone()).collect();
        namespaces.dedup();
        namespaces
    }

    /// Where an object is written that was refused.
    pub(crate) fn refused(&self, object: &ObjectRef) -> Option<&'w Origin> {
        self.note(|| Fact::Refused(object.clone()));
        self.inputs.refused.get(object)
    }

    /// The workloads of a group, sorted by uid.
    pub(crate) fn workloads_of(&self, group: &Pair) -> impl Iterator<Item = &'w JoinedWorkload> {
        self.note(|| Fact::Workloads(group.clone()));
        self.inputs.workloads_of(group)
    }

    /// The workload at an address; of several, one that may be chosen. Not noted.
    pub(crate) fn workload_at(&self, address: IpAddr) -> Option<&'w JoinedWorkload> {
        self.inputs.workload_at(address)
    }

    /// What other clusters say of a host, sorted by cluster.
    pub(crate) fn exports(&self, host: &Hostname) -> Vec<(&'w RemoteCluster, &'w Export)> {
        self.note(|| Fact::Exports(host.clone()));
        let of = |remote: &'w RemoteCluster| find_export(remote, host).map(|export| (remote, export));
        self.inputs.others().filter_map(of).collect()
    }

    /// Names of the other clusters.
    pub(crate) fn clusters(&self) -> impl Iterator<Item = &'w Arc<str>> {
        self.note(|| Fact::Clusters);
        self.inputs.remotes.keys()
    }

    /// As the program was started; that does not change.
    pub(crate) fn started_as(&self) -> &'w LocalCluster {
        &self.inputs.started_as
    }

    /// The mesh-only address of a host. It does not change either.
    pub(crate) fn address(&self, host: &Hostname) -> Option<Ipv4Addr> {
        self.inputs.addresses.all().get(host).copied()
    }
}
