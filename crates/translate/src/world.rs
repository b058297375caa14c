//! The state that is translated, and how it changes. (Signatures first; bodies follow within minutes.)

use api::Object;
use model::federation::RemoteCluster;
use model::service::EndpointState;
use model::trust::TrustBundle;
use model::{Finding, Hostname, Locality, ObjectRef, SpiffeId, Subscription, TrustDomain};
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Where this control plane is. A `Cluster` object named `cluster` overrides network and locality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPlace {
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
pub struct Registration {
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

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is new or different.
    Object(Arc<Object>),
    /// An object is gone.
    ObjectGone(ObjectRef),
    /// A workload is new or different.
    Workload(Registration),
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

/// A workload group, as joining needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
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
}

/// All that is known.
pub struct World {
    place: ClusterPlace,
}

impl World {
    /// Nothing known yet.
    pub fn new(place: ClusterPlace) -> Self {
        Self { place }
    }

    /// Takes in one change. Cost grows with what the change concerns, not with the mesh.
    pub fn apply(&mut self, _change: Change) -> Touched {
        Touched::new()
    }

    /// What is wrong with the objects as a whole, sorted.
    pub fn findings(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// This cluster as the others shall see it.
    pub fn export(&self) -> RemoteCluster {
        RemoteCluster {
            cluster: self.place.cluster.clone(),
            network: self.place.network.clone(),
            locality: self.place.locality.clone(),
            gateways: Vec::new(),
            exports: Vec::new(),
        }
    }

    /// All mesh-only addresses, to be stored.
    pub fn addresses(&self) -> BTreeMap<Hostname, Ipv4Addr> {
        BTreeMap::new()
    }

    /// Where this cluster is, `Cluster` object included.
    pub fn place(&self) -> ClusterPlace {
        self.place.clone()
    }

    /// A workload group.
    pub fn group(&self, _namespace: &str, _name: &str) -> Option<Group> {
        None
    }

    /// The identity of a group's workloads.
    pub fn identity(&self, _namespace: &str, _name: &str) -> Option<SpiffeId> {
        None
    }

    /// A registered workload.
    pub fn workload(&self, _uid: &str) -> Option<&Registration> {
        None
    }

    /// All registered workloads, by uid.
    pub fn workloads(&self) -> Vec<&Registration> {
        Vec::new()
    }

    /// An object as it is in force.
    pub fn object(&self, _object: &ObjectRef) -> Option<&Arc<Object>> {
        None
    }
}
