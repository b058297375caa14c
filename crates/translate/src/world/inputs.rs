//! What is known from outside: objects, workloads, other clusters, trust and addresses. Nothing that is made of them.
//!
//! Units see it through a `WorldReader` only, which notes what they look at (`units/read.rs`).

use crate::addresses::Addresses;
use api::Object;
use api::object::ByName;
use model::federation::{Export, RemoteCluster};
use model::service::EndpointState;
use model::trust::TrustBundle;
use model::{Hostname, Locality, ObjectRef, Origin, SpiffeId, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Namespace and name.
pub(crate) type Pair = (Arc<str>, Arc<str>);

/// Where this control plane is. A `Cluster` object named `cluster` overrides network and locality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCluster {
    /// Name of the cluster.
    pub cluster: Arc<str>,
    /// Addresses are valid within one network only.
    pub network: Arc<str>,
    /// Where it is.
    pub locality: Locality,
    /// Who vouches for its workloads.
    pub trust_domain: TrustDomain,
}

/// A workload that joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedWorkload {
    /// Unique in the mesh, stable for the life of one registration.
    pub uid: Arc<str>,
    /// Namespace of its group.
    pub namespace: Arc<str>,
    /// Its `WorkloadGroup`.
    pub group: Arc<str>,
    /// Within the cluster's network.
    pub address: IpAddr,
    /// What its certificate says.
    pub identity: SpiffeId,
    /// Empty: the group's, else the cluster's.
    pub locality: Locality,
    /// Whether it may be chosen.
    pub state: EndpointState,
}

impl JoinedWorkload {
    pub(crate) fn group(&self) -> Pair {
        (self.namespace.clone(), self.group.clone())
    }
}

/// All that is known from outside.
pub(crate) struct Inputs {
    /// As the program was started; see the unit `place` for what is in force.
    pub(crate) started_as: LocalCluster,
    pub(crate) objects: BTreeSet<ByName>,
    /// Written somewhere, but not in force. Findings read it, nothing else.
    pub(crate) refused: BTreeMap<ObjectRef, Origin>,
    /// By group, then by uid.
    pub(crate) workloads: BTreeMap<(Pair, Arc<str>), JoinedWorkload>,
    /// The group of each uid.
    pub(crate) group_of_uid: BTreeMap<Arc<str>, Pair>,
    /// Uids by address: a host that was started anew has two for a while.
    uids_at: BTreeSet<(IpAddr, Arc<str>)>,
    pub(crate) remotes: BTreeMap<Arc<str>, RemoteCluster>,
    pub(crate) trust: BTreeMap<Arc<str>, TrustBundle>,
    pub(crate) addresses: Addresses,
}

impl Inputs {
    pub(crate) fn new(started_as: LocalCluster) -> Self {
        Self {
            started_as,
            objects: BTreeSet::new(),
            refused: BTreeMap::new(),
            workloads: BTreeMap::new(),
            group_of_uid: BTreeMap::new(),
            uids_at: BTreeSet::new(),
            remotes: BTreeMap::new(),
            trust: BTreeMap::new(),
            addresses: Addresses::default(),
        }
    }

    pub(crate) fn object(&self, object: &ObjectRef) -> Option<&Arc<Object>> {
        self.objects.get(object).map(|ByName(object)| object)
    }

    /// Objects from this name on, by kind, namespace and name.
    pub(crate) fn objects_from(&self, first: ObjectRef) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.range(first..).map(|ByName(object)| object)
    }

    pub(crate) fn workload(&self, uid: &str) -> Option<&JoinedWorkload> {
        let (uid, group) = self.group_of_uid.get_key_value(uid)?;
        self.workloads.get(&(group.clone(), uid.clone()))
    }

    pub(crate) fn workloads_of(&self, group: &Pair) -> impl Iterator<Item = &JoinedWorkload> {
        let all = self.workloads.range((group.clone(), Arc::from(""))..);
        all.take_while(move |((of, _), _)| of == group).map(|(_, workload)| workload)
    }

    /// The workload at an address; of several, one that may be chosen.
    pub(crate) fn workload_at(&self, address: IpAddr) -> Option<&JoinedWorkload> {
        let all = self.uids_at.range((address, Arc::from(""))..);
        let here = all.take_while(|(at, _)| *at == address).filter_map(|(_, uid)| self.workload(uid));
        here.min_by_key(|workload| workload.state != EndpointState::Ready)
    }

    /// Puts one in; the one of this uid before it.
    pub(crate) fn put_workload(&mut self, workload: JoinedWorkload) -> Option<JoinedWorkload> {
        let old = self.remove_workload(&workload.uid);
        self.group_of_uid.insert(workload.uid.clone(), workload.group());
        self.uids_at.insert((workload.address, workload.uid.clone()));
        self.workloads.insert((workload.group(), workload.uid.clone()), workload);
        old
    }

    pub(crate) fn remove_workload(&mut self, uid: &Arc<str>) -> Option<JoinedWorkload> {
        let group = self.group_of_uid.remove(uid)?;
        let workload = self.workloads.remove(&(group, uid.clone()))?;
        self.uids_at.remove(&(workload.address, uid.clone()));
        Some(workload)
    }

    /// The other clusters; what comes back of our own is no news.
    pub(crate) fn others(&self) -> impl Iterator<Item = &RemoteCluster> {
        self.remotes.values().filter(|remote| remote.cluster != self.started_as.cluster)
    }
}

/// What a cluster says of a host.
pub(crate) fn find_export<'a>(remote: &'a RemoteCluster, host: &Hostname) -> Option<&'a Export> {
    remote.exports.iter().find(|export| export.host == *host)
}
