//! The state that is translated. It changes by [`World::apply`] alone, which says who is concerned.
//!
//! Hosts and routes are kept compiled and are recompiled when something that they read has changed
//! (`recompute`); the rest is made when asked for (`resources`). Read `recompute` next.

mod recompute;
mod trial;

use crate::addresses::Addresses;
use crate::hosts::{self, HostEntry};
use crate::routes::RouteEntry;
use api::kinds::workload_group::WorkloadGroupSpec;
use api::{Object, Spec};
use model::federation::{Export, RemoteCluster, RemoteGateway};
use model::service::EndpointState;
use model::trust::TrustBundle;
use model::{Finding, Hostname, Level, Locality, ObjectRef, Origin, SpiffeId, Subscription, TrustDomain};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    /// Share of traffic of each workload, from 1.
    pub weight: u32,
}

/// Namespace and name.
pub(crate) type Pair = (Arc<str>, Arc<str>);

/// When it was created, then namespace and name: the smallest claim on a host wins.
pub(crate) type Claim = (u64, Arc<str>, Arc<str>);

/// All that is known.
pub struct World {
    pub(crate) place: ClusterPlace,
    pub(crate) objects: BTreeMap<ObjectRef, Arc<Object>>,
    /// Written somewhere, but not in force. Findings read it, nothing else.
    pub(crate) refused: BTreeMap<ObjectRef, Origin>,
    pub(crate) groups: BTreeMap<Pair, Group>,
    workloads: BTreeMap<Arc<str>, Registration>,
    workloads_by_group: HashMap<Pair, BTreeSet<Arc<str>>>,
    pub(crate) remotes: BTreeMap<Arc<str>, RemoteCluster>,
    pub(crate) trust: BTreeMap<Arc<str>, TrustBundle>,
    pub(crate) addresses: Addresses,
    /// Compiled hosts.
    pub(crate) hosts: HashMap<Hostname, HostEntry>,
    /// Which `GlobalService`s want a host.
    pub(crate) claims: BTreeMap<Hostname, BTreeSet<Claim>>,
    /// Which `GlobalService`s (namespace, name) stand on a `Service` (namespace, name).
    pub(crate) globals_of_service: HashMap<Pair, BTreeSet<Pair>>,
    /// Names of the services of its namespace that select a group.
    pub(crate) services_of_group: HashMap<Pair, BTreeSet<Arc<str>>>,
    /// Compiled routes.
    pub(crate) routes: HashMap<Pair, RouteEntry>,
    /// Which routes mention an object, existing or not.
    routes_of: HashMap<ObjectRef, BTreeSet<Pair>>,
    /// Rules by the subscription of their parent.
    pub(crate) rules: HashMap<Subscription, BTreeSet<model::ResourceKey>>,
    /// Which subscriptions lead to a host, by which route.
    leads: HashMap<Hostname, BTreeSet<(Subscription, Pair)>>,
}

impl World {
    /// Nothing known yet.
    pub fn new(place: ClusterPlace) -> Self {
        Self {
            place,
            objects: BTreeMap::new(),
            refused: BTreeMap::new(),
            groups: BTreeMap::new(),
            workloads: BTreeMap::new(),
            workloads_by_group: HashMap::new(),
            remotes: BTreeMap::new(),
            trust: BTreeMap::new(),
            addresses: Addresses::default(),
            hosts: HashMap::new(),
            claims: BTreeMap::new(),
            globals_of_service: HashMap::new(),
            services_of_group: HashMap::new(),
            routes: HashMap::new(),
            routes_of: HashMap::new(),
            rules: HashMap::new(),
            leads: HashMap::new(),
        }
    }

    /// Takes note of objects that are written somewhere and were refused: who refers to one is told so, not that
    /// it does not exist. `findings` are those of reading; an object that is in force all the same is left out.
    pub fn set_refused(&mut self, findings: &[Finding]) {
        let is_refused = |finding: &&Finding| {
            finding.code.level() == Level::Error && !self.objects.contains_key(&finding.origin.object)
        };
        let refused = findings.iter().filter(is_refused);
        self.refused =
            refused.map(|finding| (finding.origin.object.clone(), finding.origin.clone())).collect();
    }

    /// What is wrong with the objects as a whole, sorted by file and line.
    pub fn findings(&self) -> Vec<Finding> {
        crate::problems::all(self)
    }

    /// What is wrong with these objects among the others.
    pub fn findings_about<'a>(&self, objects: impl IntoIterator<Item = &'a ObjectRef>) -> Vec<Finding> {
        crate::problems::of(objects.into_iter().filter_map(|object| self.objects.get(object)), self)
    }

    /// This cluster as the others shall see it.
    pub fn export(&self) -> RemoteCluster {
        let place = self.place();
        let exported =
            self.claims.keys().filter_map(|host| self.hosts.get(host)).filter(|entry| entry.exported);
        let exports = exported.map(|entry| Export {
            host: entry.service.host.clone(),
            ports: entry.service.ports.clone(),
            weight: u32::try_from(entry.local_ready(&place.cluster)).unwrap_or(u32::MAX),
            identities: entry
                .groups
                .iter()
                .filter_map(|group| hosts::identity(group, self))
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

    /// The `Cluster` object's gateways, with the identity of the first east-west gateway's group.
    fn gateways(&self, place: &ClusterPlace) -> Vec<RemoteGateway> {
        let identity = self.objects_of("Gateway", None).find_map(|object| match &object.spec {
            Spec::Gateway(spec) if spec.gateway_class_name == api::kinds::gateway::EAST_WEST_CLASS => {
                self.identity(&object.meta.namespace, &object.meta.name)
            }
            _ => None,
        });
        let Some(identity) = identity else { return Vec::new() };
        match self.objects.get(&ObjectRef::new("Cluster", "", &place.cluster)).map(|object| &object.spec) {
            Some(Spec::Cluster(spec)) => {
                let addresses =
                    spec.gateways.iter().filter_map(|text| api::kinds::cluster::gateway_address(text));
                let gateway = |address: std::net::SocketAddr| RemoteGateway {
                    address: address.ip(),
                    port: address.port(),
                    identity: identity.clone(),
                };
                addresses.map(gateway).collect()
            }
            _ => Vec::new(),
        }
    }

    /// All mesh-only addresses, to be stored.
    pub fn addresses(&self) -> BTreeMap<Hostname, Ipv4Addr> {
        self.addresses.all().clone()
    }

    /// Where this cluster is, `Cluster` object included.
    pub fn place(&self) -> ClusterPlace {
        let mut place = self.place.clone();
        let own = self.objects.get(&ObjectRef::new("Cluster", "", &place.cluster));
        if let Some(Spec::Cluster(spec)) = own.map(|object| &object.spec) {
            let replace = |part: &mut Arc<str>, text: &Option<String>| {
                if let Some(text) = text {
                    *part = text.as_str().into();
                }
            };
            replace(&mut place.network, &spec.network);
            replace(&mut place.locality.region, &spec.region);
            replace(&mut place.locality.zone, &spec.zone);
        }
        place
    }

    /// A workload group.
    pub fn group(&self, namespace: &str, name: &str) -> Option<Group> {
        self.groups.get(&(namespace.into(), name.into())).cloned()
    }

    /// The identity of a group's workloads.
    pub fn identity(&self, namespace: &str, name: &str) -> Option<SpiffeId> {
        hosts::identity(&(namespace.into(), name.into()), self)
    }

    /// A registered workload.
    pub fn workload(&self, uid: &str) -> Option<&Registration> {
        self.workloads.get(uid)
    }

    /// All registered workloads, by uid.
    pub fn workloads(&self) -> Vec<&Registration> {
        self.workloads.values().collect()
    }

    /// An object as it is in force.
    pub fn object(&self, object: &ObjectRef) -> Option<&Arc<Object>> {
        self.objects.get(object)
    }

    /// All objects as they are in force, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Objects of one kind, of one namespace or of all.
    pub(crate) fn objects_of<'a>(
        &'a self,
        kind: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let start = ObjectRef::new(kind, namespace.unwrap_or_default(), "");
        let within = move |object: &ObjectRef| {
            &*object.kind == kind && namespace.is_none_or(|namespace| &*object.namespace == namespace)
        };
        self.objects.range(start..).take_while(move |(object, _)| within(object)).map(|(_, object)| object)
    }

    /// The other clusters; what comes back of our own is no news.
    pub(crate) fn others(&self) -> impl Iterator<Item = &RemoteCluster> {
        self.remotes.values().filter(|remote| remote.cluster != self.place.cluster)
    }

    pub(crate) fn workloads_of(&self, group: &Pair) -> impl Iterator<Item = &Registration> {
        let uids = self.workloads_by_group.get(group).into_iter().flatten();
        uids.filter_map(|uid| self.workloads.get(uid))
    }

    /// Groups of `namespace` with all labels of `selector`; none for an empty one, as in Kubernetes.
    pub(crate) fn groups_selected(
        &self,
        namespace: &Arc<str>,
        selector: &BTreeMap<String, String>,
    ) -> BTreeSet<Pair> {
        if selector.is_empty() {
            return BTreeSet::new();
        }
        let selected = self.groups_in(namespace).filter(|group| selects(selector, &group.labels));
        selected.map(|group| (group.namespace.clone(), group.name.clone())).collect()
    }

    pub(crate) fn groups_in<'a>(&'a self, namespace: &'a Arc<str>) -> impl Iterator<Item = &'a Group> {
        self.groups_near(Some(namespace)).map(|(_, group)| group)
    }

    /// Groups of one namespace, or all.
    pub(crate) fn groups_near<'a>(
        &'a self,
        namespace: Option<&'a Arc<str>>,
    ) -> impl Iterator<Item = (&'a Pair, &'a Group)> {
        let start = (namespace.cloned().unwrap_or_default(), Arc::from(""));
        self.groups.range(start..).take_while(move |((ns, _), _)| namespace.is_none_or(|only| ns == only))
    }

    /// The hosts that a `GlobalService` has won.
    pub(crate) fn hosts_won(&self, object: &Object) -> Vec<Hostname> {
        let Spec::GlobalService(spec) = &object.spec else { return Vec::new() };
        let hosts = spec.hosts.iter().filter_map(|host| Hostname::parse(host));
        hosts.filter(|host| self.winner(host).is_some_and(|winner| winner.object == object.object)).collect()
    }

    /// The `GlobalService` that has a host.
    pub(crate) fn winner(&self, host: &Hostname) -> Option<&Arc<Object>> {
        let (_, namespace, name) = self.claims.get(host)?.first()?;
        self.objects.get(&ObjectRef::new("GlobalService", namespace, name))
    }
}

/// Whether all of `selector` is in `labels`.
pub(crate) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// What a `WorkloadGroup` says.
fn group_of(object: &Object, spec: &WorkloadGroupSpec) -> Group {
    let template = &spec.template;
    let mut labels = template.labels.clone();
    labels.extend(spec.metadata.labels.clone());
    let locality = template.locality.as_deref().unwrap_or_default();
    let mut parts = locality.split('/');
    let mut part = || Arc::from(parts.next().unwrap_or_default());
    Group {
        namespace: object.meta.namespace.clone(),
        name: object.meta.name.clone(),
        labels,
        service_account: template.service_account.as_deref().unwrap_or("default").into(),
        locality: Locality { region: part(), zone: part() },
        weight: template.weight.unwrap_or(1).max(1),
    }
}

#[cfg(test)]
mod tests;
