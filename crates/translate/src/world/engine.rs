//! Taking in a change: note it, compile anew what has read what changed, say who is concerned.
//!
//! Units are compiled in the order of the table in `units.rs`, each at most once for a change, because each reads only
//! those above it. A unit that comes out unchanged concerns nobody. Findings are looked for when somebody asks.

use super::{Touched, World, WorldChange};
use crate::units::{self, Fact, UnitKey};
use crate::world::inputs::{JoinedWorkload, find_export};
use api::Object;
use api::object::ByName;
use model::federation::RemoteCluster;
use model::workload_host::workload_host;
use model::{ObjectRef, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

impl World {
    /// Takes in one change. Cost grows with what the change concerns, not with the mesh.
    pub fn apply(&mut self, change: WorldChange) -> Touched {
        let mut touched = self.take_in(change);
        self.touch_workload_hosts(&mut touched);
        touched
    }

    fn take_in(&mut self, change: WorldChange) -> Touched {
        match change {
            WorldChange::Object(object) => {
                let name = object.object.clone();
                self.object_changed(&name, Some(object))
            }
            WorldChange::ObjectGone(object) => self.object_changed(&object, None),
            WorldChange::Workload(workload) => {
                let (group, address) = (workload.group(), workload.address);
                let old = self.inputs.put_workload(workload);
                let mut touched = self.workloads_changed(old, Some(Fact::Workloads(group)));
                touched.extend(workload_host(address).map(Subscription::Host));
                touched
            }
            WorldChange::WorkloadGone(uid) => {
                let old = self.inputs.remove_workload(&uid);
                self.workloads_changed(old, None)
            }
            WorldChange::Remote(remote) => {
                let old = self.inputs.remotes.insert(remote.cluster.clone(), remote.clone());
                self.remote_changed(old.as_ref(), Some(&remote))
            }
            WorldChange::RemoteGone(cluster) => {
                let old = self.inputs.remotes.remove(&cluster);
                self.remote_changed(old.as_ref(), None)
            }
            WorldChange::Trust(bundles) => {
                let named = bundles.into_iter().map(|bundle| (bundle.trust_domain.as_str().into(), bundle));
                let trust = named.collect();
                let is_same = self.inputs.trust == trust;
                self.inputs.trust = trust;
                if is_same { Touched::new() } else { Touched::from([Subscription::Mesh]) }
            }
            WorldChange::Addresses(stored) => {
                self.inputs.addresses.restore(stored);
                Touched::new()
            }
        }
    }

    fn object_changed(&mut self, name: &ObjectRef, new: Option<Arc<Object>>) -> Touched {
        let old = match &new {
            Some(new) => self.inputs.objects.replace(ByName(new.clone())),
            None => self.inputs.objects.take(name),
        };
        let old = old.map(|ByName(old)| old);
        if old == new {
            return Touched::new();
        }
        let mut changed = vec![Fact::Object(name.clone())];
        if old.is_some() != new.is_some() {
            changed.push(Fact::Names(name.kind.clone(), Some(name.namespace.clone())));
            changed.push(Fact::Names(name.kind.clone(), None));
        }
        let units: BTreeSet<UnitKey> =
            [old, new].into_iter().flatten().flat_map(|object| units::keys(&object)).collect();
        self.stale.extend(units.iter().cloned());
        self.recompute(changed, units)
    }

    fn workloads_changed(&mut self, old: Option<JoinedWorkload>, new: Option<Fact>) -> Touched {
        let host = old.as_ref().and_then(|old| workload_host(old.address));
        let old = old.map(|old| Fact::Workloads(old.group())).filter(|old| new.as_ref() != Some(old));
        let mut touched = self.recompute(old.into_iter().chain(new).collect(), BTreeSet::new());
        touched.extend(host.map(Subscription::Host));
        touched
    }

    /// What a group's workloads take, and whether they are a gateway, is also told to who calls one of them by its address
    /// (`units/workload_host.rs`).
    fn touch_workload_hosts(&self, touched: &mut Touched) {
        let groups = touched.iter().filter_map(|subscription| match subscription {
            Subscription::Inbound { namespace, group: name } | Subscription::Gateway { namespace, name } => {
                Some((namespace.clone(), name.clone()))
            }
            _ => None,
        });
        let workloads = groups.flat_map(|group| self.inputs.workloads_of(&group).collect::<Vec<_>>());
        let hosts = workloads.filter_map(|workload| workload_host(workload.address));
        let hosts: Vec<_> = hosts.map(Subscription::Host).collect();
        touched.extend(hosts);
    }

    fn remote_changed(&mut self, old: Option<&RemoteCluster>, new: Option<&RemoteCluster>) -> Touched {
        if old == new {
            return Touched::new();
        }
        let mut changed = Vec::new();
        if old.is_some() != new.is_some() {
            changed.push(Fact::Clusters);
        }
        let same_way = matches!((old, new), (Some(old), Some(new)) if old.gateways == new.gateways && old.locality == new.locality);
        let states = || [old, new].into_iter().flatten();
        for host in states().flat_map(|remote| &remote.exports).map(|export| &export.host) {
            let of =
                |remote: Option<&RemoteCluster>| remote.and_then(|remote| find_export(remote, host).cloned());
            if !same_way || of(old) != of(new) {
                changed.push(Fact::Exports(host.clone()));
            }
        }
        let mut touched = self.recompute(changed, BTreeSet::new());
        touched.insert(Subscription::Clusters);
        touched
    }

    /// Compiles these units, and all that have read what has changed, and so on.
    pub(super) fn recompute(&mut self, changed: Vec<Fact>, mut units: BTreeSet<UnitKey>) -> Touched {
        let mut touched = Touched::new();
        self.mark_readers(&changed, &mut units);
        while let Some(unit) = units.pop_first() {
            let recompiled = units::compile(&unit, &mut self.inputs, &mut self.outputs, &mut self.graph);
            let Some(recompiled) = recompiled else { continue };
            touched.extend(recompiled.touched);
            self.mark_readers(&recompiled.changed, &mut units);
            debug_assert!(
                units.first().is_none_or(|next| *next > unit),
                "{unit:?} was read by a unit above it"
            );
        }
        touched
    }

    /// Who has read this must be compiled anew, or looked at for findings again.
    fn mark_readers(&mut self, changed: &[Fact], units: &mut BTreeSet<UnitKey>) {
        for fact in changed {
            units.extend(self.graph.readers(fact).filter_map(Fact::unit).cloned());
            self.stale.extend(self.graph.lookers(fact).filter_map(Fact::unit).cloned());
        }
    }

    /// Looks for what is wrong with these units again.
    pub(super) fn look_again(&mut self, units: BTreeSet<UnitKey>) {
        for unit in units {
            let read = crate::units::WorldReader::noting(&self.inputs, &self.outputs, &self.graph);
            let findings = units::findings(&unit, &read);
            let notes = read.into_notes();
            self.graph.set_looks(&Fact::Output(unit.clone()), &notes);
            self.stale.remove(&unit);
            if findings.is_empty() {
                self.findings.remove(&unit);
            } else {
                self.findings.insert(unit, findings.into());
            }
        }
    }
}
