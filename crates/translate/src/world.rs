//! All that `translate` knows, and what it has made of it. It changes by [`World::apply`] alone, which says who is concerned.
//!
//! What is known from outside lies in `world/inputs.rs`, what is made of it in `units.rs`; `world/engine.rs` keeps the
//! second in line with the first. The rest is made when asked for (`resources`). Read `units` next.

mod engine;
pub(crate) mod graph;
pub(crate) mod inputs;
mod trial;

use crate::units::{self, CompiledGroup, Fact, Outputs, UnitKey, WorldReader};
use api::object::ByName;
use api::{Object, Spec};
use graph::Graph;
use inputs::{Inputs, JoinedWorkload, LocalCluster};
use model::federation::{Export, RemoteCluster, RemoteGateway};
use model::mtls::EffectiveMtls;
use model::service::EndpointState;
use model::trust::TrustBundle;
use model::{Finding, Hostname, ObjectRef, Severity, SpiffeId, Subscription};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum WorldChange {
    /// An object is new or different.
    Object(Arc<Object>),
    /// An object is gone.
    ObjectGone(ObjectRef),
    /// A workload is new or different.
    Workload(JoinedWorkload),
    /// A workload is gone, by uid.
    WorkloadGone(Arc<str>),
    /// What another cluster offers.
    Remote(RemoteCluster),
    /// Another cluster left, by name.
    RemoteGone(Arc<str>),
    /// All trust bundles.
    Trust(Vec<TrustBundle>),
    /// Mesh-only addresses stored by an earlier run: they win. Give them before objects.
    Addresses(BTreeMap<Hostname, Ipv4Addr>),
}

/// Every subscription whose members or their contents may have changed.
///
/// When it holds `Gateway` or `Exports`, ask [`crate::visible`] again for the proxies of that group.
pub type Touched = HashSet<Subscription>;

/// All that is known, and all that is made of it.
pub struct World {
    inputs: Inputs,
    outputs: Outputs,
    graph: Graph<Fact>,
    /// What is wrong with the units where something is.
    findings: BTreeMap<UnitKey, Box<[Finding]>>,
    /// Units where that must be looked for again.
    stale: BTreeSet<UnitKey>,
}

impl World {
    /// Nothing known yet.
    pub fn new(place: LocalCluster) -> Self {
        let mut world = Self {
            inputs: Inputs::new(place),
            outputs: Outputs::default(),
            graph: Graph::new(),
            findings: BTreeMap::new(),
            stale: BTreeSet::new(),
        };
        world.recompute(Vec::new(), BTreeSet::from([UnitKey::LocalCluster(())]));
        world
    }

    pub(crate) fn read(&self) -> WorldReader<'_> {
        WorldReader::new(&self.inputs, &self.outputs, &self.graph)
    }

    pub(crate) fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Takes note of objects that are written somewhere and were refused: who refers to one is told so, not that
    /// it does not exist. `findings` are those of reading; an object that is in force all the same is left out.
    pub fn set_refused(&mut self, findings: &[Finding]) {
        let is_refused = |finding: &&Finding| {
            finding.code.level() == Severity::Error && self.inputs.object(&finding.origin.object).is_none()
        };
        let refused = findings.iter().filter(is_refused);
        let refused: BTreeMap<_, _> =
            refused.map(|finding| (finding.origin.object.clone(), finding.origin.clone())).collect();
        let old = std::mem::replace(&mut self.inputs.refused, refused);
        let all = old.keys().chain(self.inputs.refused.keys());
        let changed = all.filter(|object| old.get(*object) != self.inputs.refused.get(*object));
        let changed: Vec<Fact> = changed.cloned().map(Fact::Refused).collect();
        self.recompute(changed, BTreeSet::new());
    }

    /// What is wrong with the objects as a whole, sorted by file and line. Only where something has changed is it
    /// looked for again.
    pub fn findings(&mut self) -> Vec<Finding> {
        self.look_again(self.stale.clone());
        let warnings = self.objects().flat_map(|object| &object.warnings);
        let mut findings: Vec<Finding> = warnings.chain(self.findings.values().flatten()).cloned().collect();
        findings.sort_by(|a, b| {
            let place = |f: &Finding| (f.origin.file.clone(), f.origin.line, f.code, f.origin.object.clone());
            place(a).cmp(&place(b))
        });
        findings
    }

    /// What is wrong with these objects among the others.
    pub fn findings_about<'a>(&mut self, objects: impl IntoIterator<Item = &'a ObjectRef>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for object in objects {
            let Some(object) = self.inputs.object(object).cloned() else { continue };
            let keys = units::keys(&object);
            self.look_again(keys.iter().filter(|key| self.stale.contains(key)).cloned().collect());
            let found = keys.iter().filter_map(|key| self.findings.get(key)).flat_map(|found| found.iter());
            let about = found.filter(|finding| finding.origin.object == object.object);
            findings.extend(object.warnings.iter().chain(about).cloned());
        }
        findings
    }

    /// This cluster as the others shall see it.
    pub fn export(&self) -> RemoteCluster {
        let place = self.local_cluster();
        let read = self.read();
        let exported = self.outputs.global_host.iter().filter(|(_, entry)| entry.exported);
        let exports = exported.map(|(host, entry)| Export {
            host: host.clone(),
            ports: entry.service.ports.clone(),
            weight: u32::try_from(self.local_ready(host, &place.cluster)).unwrap_or(u32::MAX),
            identities: entry
                .groups
                .iter()
                .filter_map(|group| units::identity(group, &read))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        });
        RemoteCluster {
            cluster: place.cluster.clone(),
            network: place.network.clone(),
            locality: place.locality.clone(),
            gateways: self.gateways(&place),
            exports: exports.collect(),
        }
    }

    /// Ready endpoints of a global host in this cluster.
    fn local_ready(&self, host: &Hostname, cluster: &str) -> usize {
        let endpoints =
            self.outputs.global_endpoints.get(host).into_iter().flat_map(|slices| slices.endpoints());
        endpoints.filter(|e| &*e.cluster == cluster && e.state == EndpointState::Ready).count()
    }

    /// The `Cluster` object's gateways, with the identity of the first east-west gateway's group.
    fn gateways(&self, place: &LocalCluster) -> Vec<RemoteGateway> {
        let read = self.read();
        let identity = units::first_east_west(&read).and_then(|group| units::identity(group, &read));
        let Some(identity) = identity else { return Vec::new() };
        match self.inputs.object(&ObjectRef::new("Cluster", "", &place.cluster)).map(|object| &object.spec) {
            Some(Spec::Cluster(spec)) => {
                let addresses =
                    spec.gateways.iter().filter_map(|text| api::kinds::cluster::gateway_address(text));
                let gateway = |address: SocketAddr| RemoteGateway {
                    address: address.ip(),
                    port: address.port(),
                    identity: identity.clone(),
                };
                addresses.map(gateway).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Mesh-only addresses that hosts got since the last call, to be stored.
    pub fn take_new_addresses(&mut self) -> Vec<(Hostname, Ipv4Addr)> {
        self.inputs.addresses.take_new()
    }

    /// All mesh-only addresses.
    pub fn addresses(&self) -> BTreeMap<Hostname, Ipv4Addr> {
        self.inputs.addresses.all().clone()
    }

    /// Where this cluster is, `Cluster` object included.
    pub fn local_cluster(&self) -> LocalCluster {
        self.read().local_cluster(&()).unwrap_or(&self.inputs.started_as).clone()
    }

    /// A workload group.
    pub fn group(&self, namespace: &str, name: &str) -> Option<CompiledGroup> {
        self.read().workload_group(&(namespace.into(), name.into())).cloned()
    }

    /// The identity of a group's workloads.
    pub fn identity(&self, namespace: &str, name: &str) -> Option<SpiffeId> {
        units::identity(&(namespace.into(), name.into()), &self.read())
    }

    /// What the workloads of a group take from their callers, and who says so.
    pub fn mtls(&self, namespace: &str, name: &str) -> Option<EffectiveMtls> {
        self.read().group_mtls(&(namespace.into(), name.into())).cloned()
    }

    /// A registered workload.
    pub fn workload(&self, uid: &str) -> Option<&JoinedWorkload> {
        self.inputs.workload(uid)
    }

    /// All registered workloads, by uid.
    pub fn workloads(&self) -> Vec<&JoinedWorkload> {
        self.inputs.group_of_uid.keys().filter_map(|uid| self.inputs.workload(uid)).collect()
    }

    /// An object as it is in force.
    pub fn object(&self, object: &ObjectRef) -> Option<&Arc<Object>> {
        self.inputs.object(object)
    }

    /// All objects as they are in force, by kind, namespace and name.
    pub fn objects(&self) -> impl ExactSizeIterator<Item = &Arc<Object>> {
        self.inputs.objects.iter().map(|ByName(object)| object)
    }

    /// Those of a kind.
    pub fn objects_of(&self, kind: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.inputs
            .objects_from(ObjectRef::new(kind, "", ""))
            .take_while(move |object| *object.object.kind == *kind)
    }
}

#[cfg(test)]
mod tests;
