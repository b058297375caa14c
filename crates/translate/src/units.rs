//! The table of compiled things. Each is one unit: made of what it reads, made anew when something of that changes, and found
//! by others under its key or under topics. What is wrong with it belongs to it.
//!
//! A new kind is a file below and a row of the table here. Read next: `units/read.rs`, then one of the units.

mod compile;
mod read;

mod attached;
mod authorization_policy;
mod backend;
mod backend_ref;
mod backend_tls_policy;
mod client_traffic;
mod entry_claims;
mod entry_host;
mod gateway;
mod gateway_tls;
mod global_host;
mod global_service;
mod group_mtls;
mod grpc_route;
pub(crate) mod host;
mod http_route;
pub(crate) mod inbound;
mod istio;
mod l4_route;
mod listener_set;
mod local_cluster;
mod mesh_settings;
mod missing;
mod parent;
mod peer_authentication;
mod policy_review;
mod reference_grant;
mod request_parts;
mod request_route;
mod route_contest;
mod rules;
mod service;
mod service_entry;
mod service_namespace;
mod tcp_route;
mod tls_route;
mod traffic_policy;
mod udp_route;
mod workload_entry;
mod workload_group;
mod workload_host;

pub(crate) use attached::on_host;
pub(crate) use authorization_policy::{on_gateway, on_group};
pub(crate) use compile::Recompiled;
pub(crate) use entry_claims::claims;
pub(crate) use gateway::{edge_gateway, first_east_west, is_east_west, key_pairs};
pub(crate) use inbound::{exported_hosts, exports, inbound};
pub(crate) use mesh_settings::settings_in_force;
pub(crate) use read::WorldReader;
pub(crate) use rules::{find_l4_rule, find_rule, rules_of, subscription};
pub use workload_group::CompiledGroup;
pub(crate) use workload_group::identity;
pub(crate) use workload_host::{workload_endpoints, workload_service};

use crate::world::graph::Graph;
use crate::world::inputs::{Inputs, Pair};
use api::Object;
use istio::HostPattern;
use model::{Finding, Hostname, ObjectRef, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How one sort of thing is compiled.
pub(crate) trait Unit {
    /// Its name among those of its sort.
    type Key: Clone + Ord + 'static;
    /// What it is compiled to; one that comes out equal concerns nobody.
    type Output: PartialEq + 'static;

    /// The units that an object makes: they are compiled when it comes, changes or goes.
    fn keys(object: &Object) -> Vec<Self::Key>;

    /// `None`: there is nothing by that name.
    fn compile(key: &Self::Key, read: &WorldReader<'_>) -> Option<Self::Output>;

    /// Where others find it who do not know its key.
    fn topics(_key: &Self::Key, _output: &Self::Output) -> Vec<Topic> {
        Vec::new()
    }

    /// The host that it needs a mesh-only address for.
    fn addressed(_output: &Self::Output) -> Option<&Hostname> {
        None
    }

    /// Whom it concerns that `old` became `new`. What is looked at here is not noted: only the moment counts.
    fn touches(
        key: &Self::Key,
        old: Option<&Self::Output>,
        new: Option<&Self::Output>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription>;

    /// What is wrong with it among all others. It is looked for when somebody asks, so it may read every unit.
    fn findings(_key: &Self::Key, _read: &WorldReader<'_>) -> Vec<Finding> {
        Vec::new()
    }
}

/// Under what units are found, other than by key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Groups and WorkloadEntries of a namespace with a label.
    Labelled(Arc<str>, Arc<str>, Arc<str>),
    /// PeerAuthentications of a namespace that select nothing, or this label before others.
    PeerAuthentications(Arc<str>, Option<(Arc<str>, Arc<str>)>),
    /// Services that select a group.
    OnGroup(Pair),
    /// GlobalServices that stand on a Service.
    OnService(Pair),
    /// GlobalServices that want a host.
    Claiming(Hostname),
    /// ServiceEntries that want a host.
    Entry(Hostname),
    /// Routes with rules that a subscription carries.
    Under(Subscription),
    /// GRPCRoutes with rules that a subscription carries.
    CallsUnder(Subscription),
    /// Routes with rules that lead to a host.
    LeadingTo(Hostname),
    /// Policies that are attached to a host.
    AttachedTo(Hostname),
    /// Policies about those who call a gateway.
    ClientsOf(Pair),
    /// DestinationRules that name hosts so.
    DestinationRules(HostPattern),
    /// VirtualServices that name hosts of the mesh so.
    VirtualHost(HostPattern),
    /// VirtualServices that send to a subset.
    NamingSubset(Hostname),
    /// Subsets of a host.
    SubsetOf(Hostname),
    /// Groups, and gateways, whose proxies serve an Istio Gateway.
    ServersOf(Pair),
    /// VirtualServices with rules that a subscription carries. Not among those under it, which they ask themselves.
    UnderVirtual(Subscription),
}

/// What can change and be read, and who reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fact {
    /// An object as it is in force.
    Object(ObjectRef),
    /// Which objects of a kind there are, in one namespace or in all.
    Names(Arc<str>, Option<Arc<str>>),
    /// That an object is written somewhere and was refused.
    Refused(ObjectRef),
    /// The workloads of a group.
    Workloads(Pair),
    /// What other clusters say of a host.
    Exports(Hostname),
    /// Which other clusters there are.
    Clusters,
    /// What a unit was compiled to.
    Output(UnitKey),
    /// All that the units of a sort are compiled to.
    Every(UnitKind),
    /// Which units are found under a topic.
    Members(Topic),
}

impl Fact {
    /// The unit whose output it is.
    pub(crate) fn unit(&self) -> Option<&UnitKey> {
        match self {
            Self::Output(unit) => Some(unit),
            _ => None,
        }
    }
}

/// A row of the table.
trait UnitRow: Unit {
    const KIND: UnitKind;
    fn key(key: Self::Key) -> UnitKey;
    fn outputs(outputs: &Outputs) -> &BTreeMap<Self::Key, Box<Self::Output>>;
    fn outputs_mut(outputs: &mut Outputs) -> &mut BTreeMap<Self::Key, Box<Self::Output>>;
}

macro_rules! units {
    ($($sort:ident, $outputs:ident: $unit:ty;)*) => {
        /// The sorts of units, in the order in which they are compiled.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum UnitKind {
            $($sort,)*
        }

        /// The name of a unit.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum UnitKey {
            $($sort(<$unit as Unit>::Key),)*
        }

        /// What all units are compiled to. Boxed, because a map has room for twice as many as it holds.
        #[derive(Default)]
        pub(crate) struct Outputs {
            $(pub(crate) $outputs: BTreeMap<<$unit as Unit>::Key, Box<<$unit as Unit>::Output>>,)*
        }

        impl<'w> WorldReader<'w> {
            $(#[allow(dead_code, reason = "of some sorts, outputs are listed and never looked up")]
            pub(crate) fn $outputs(&self, key: &<$unit as Unit>::Key) -> Option<&'w <$unit as Unit>::Output> {
                self.output::<$unit>(key)
            })*
        }

        $(impl UnitRow for $unit {
            const KIND: UnitKind = UnitKind::$sort;

            fn key(key: Self::Key) -> UnitKey {
                UnitKey::$sort(key)
            }

            fn outputs(outputs: &Outputs) -> &BTreeMap<Self::Key, Box<Self::Output>> {
                &outputs.$outputs
            }

            fn outputs_mut(outputs: &mut Outputs) -> &mut BTreeMap<Self::Key, Box<Self::Output>> {
                &mut outputs.$outputs
            }
        })*

        /// The units that an object makes.
        pub(crate) fn keys(object: &Object) -> Vec<UnitKey> {
            let mut all = Vec::new();
            $(all.extend(<$unit>::keys(object).into_iter().map(UnitKey::$sort));)*
            all
        }

        /// Compiles a unit anew; `None` if it came out the same.
        pub(crate) fn compile(
            key: &UnitKey,
            inputs: &mut Inputs,
            outputs: &mut Outputs,
            graph: &mut Graph<Fact>,
        ) -> Option<Recompiled> {
            match key {
                $(UnitKey::$sort(key) => compile::compile::<$unit>(key, inputs, outputs, graph),)*
            }
        }

        /// What is wrong with a unit now.
        pub(crate) fn findings(key: &UnitKey, read: &WorldReader<'_>) -> Vec<Finding> {
            match key {
                $(UnitKey::$sort(key) => <$unit>::findings(key, read),)*
            }
        }
    };
}

// In this order they are compiled: when it is compiled, a unit reads only those above it.
units! {
    LocalCluster, local_cluster: local_cluster::LocalClusterUnit;
    WorkloadGroup, workload_group: workload_group::WorkloadGroupUnit;
    WorkloadEntry, workload_entry: workload_entry::WorkloadEntryUnit;
    PeerAuthentication, peer_authentication: peer_authentication::PeerAuthenticationUnit;
    GroupMtls, group_mtls: group_mtls::GroupMtlsUnit;
    ServiceNamespace, service_namespace: service_namespace::ServiceNamespaceUnit;
    Service, service: service::ServiceUnit;
    ServiceEndpoints, service_endpoints: service::ServiceEndpointsUnit;
    Backend, backend: backend::BackendUnit;
    BackendEndpoints, backend_endpoints: backend::BackendEndpointsUnit;
    GlobalService, global_service: global_service::GlobalServiceUnit;
    GlobalHost, global_host: global_host::GlobalHostUnit;
    GlobalEndpoints, global_endpoints: global_host::GlobalEndpointsUnit;
    ServiceEntry, service_entry: service_entry::ServiceEntryUnit;
    EntryHost, entry_host: entry_host::EntryHostUnit;
    EntryEndpoints, entry_endpoints: entry_host::EntryEndpointsUnit;
    VirtualClaims, virtual_claims: istio::claims::VirtualClaimsUnit;
    DestinationRule, destination_rule: istio::destination_rule::DestinationRuleUnit;
    Subset, subset: istio::subset::SubsetUnit;
    SubsetEndpoints, subset_endpoints: istio::subset::SubsetEndpointsUnit;
    TrafficPolicy, traffic_policy: traffic_policy::TrafficPolicyUnit;
    BackendTlsPolicy, backend_tls_policy: backend_tls_policy::BackendTlsPolicyUnit;
    ClientTraffic, client_traffic: client_traffic::ClientTrafficUnit;
    ListenerSet, listener_set: listener_set::ListenerSetUnit;
    HttpRoute, http_route: http_route::HttpRouteUnit;
    GrpcRoute, grpc_route: grpc_route::GrpcRouteUnit;
    TcpRoute, tcp_route: tcp_route::TcpRouteUnit;
    UdpRoute, udp_route: udp_route::UdpRouteUnit;
    TlsRoute, tls_route: tls_route::TlsRouteUnit;
    RouteContest, route_contest: route_contest::RouteContestUnit;
    IstioGateway, istio_gateway: istio::gateway::IstioGatewayUnit;
    IstioServers, istio_servers: istio::servers::IstioServersUnit;
    Gateway, gateway: gateway::GatewayUnit;
    VirtualService, virtual_service: istio::virtual_service::VirtualServiceUnit;
    AuthorizationPolicy, authorization_policy: authorization_policy::AuthorizationPolicyUnit;
    PolicyReview, policy_review: policy_review::PolicyReviewUnit;
    MeshSettings, mesh_settings: mesh_settings::MeshSettingsUnit;
}
