//! The kinds that Leno reads, and the names that Kubernetes-shaped paths and the command line use for them.

pub mod authorization_policy;
pub mod backend;
pub mod cluster;
pub mod gateway;
pub mod global_service;
pub mod http_route;
pub mod mesh_settings;
mod replaced;
pub mod service;
pub mod workload_group;

pub(crate) use replaced::REPLACED;

use crate::decode::{self, Ignored};
use crate::ignored;
use crate::meta::{Meta, NameSyntax, RawMeta};
use crate::node::Node;
use crate::validation::ValidationReport;
use authorization_policy::AuthorizationPolicySpec;
use backend::BackendSpec;
use cluster::ClusterSpec;
use gateway::GatewaySpec;
use global_service::GlobalServiceSpec;
use http_route::HttpRouteSpec;
use mesh_settings::MeshSettingsSpec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::ServiceSpec;
use workload_group::WorkloadGroupSpec;

/// One kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// For example `HTTPRoute`.
    pub kind: &'static str,
    /// For example `httproutes`, as in paths.
    pub plural: &'static str,
    /// For example `httproute`.
    pub singular: &'static str,
    /// Short names for the command line.
    pub short: &'static [&'static str],
    /// API group; empty for core.
    pub group: &'static str,
    /// Accepted versions, the preferred one first.
    pub versions: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
}

/// Gateway API's group.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// Istio's networking group.
pub const ISTIO_NETWORKING_GROUP: &str = "networking.istio.io";
/// Istio's security group.
pub const ISTIO_SECURITY_GROUP: &str = "security.istio.io";
/// Our own group.
pub const LENO_GROUP: &str = "leno.dev";

const fn kind(
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static [&'static str],
    group: &'static str,
    versions: &'static [&'static str],
    namespaced: bool,
) -> Kind {
    Kind { kind, plural, singular, short, group, versions, namespaced }
}

/// All kinds, in the order in which they are listed.
pub const ALL: &[Kind] = &[
    kind("Namespace", "namespaces", "namespace", &["ns"], "", &["v1"], false),
    kind("Service", "services", "service", &["svc"], "", &["v1"], true),
    kind("Gateway", "gateways", "gateway", &["gtw"], GATEWAY_GROUP, &["v1", "v1beta1"], true),
    kind("HTTPRoute", "httproutes", "httproute", &["hr"], GATEWAY_GROUP, &["v1", "v1beta1"], true),
    kind(
        "WorkloadGroup",
        "workloadgroups",
        "workloadgroup",
        &["wg"],
        ISTIO_NETWORKING_GROUP,
        &["v1", "v1beta1", "v1alpha3"],
        true,
    ),
    kind(
        "AuthorizationPolicy",
        "authorizationpolicies",
        "authorizationpolicy",
        &["ap"],
        ISTIO_SECURITY_GROUP,
        &["v1", "v1beta1"],
        true,
    ),
    kind("MeshSettings", "meshsettings", "meshsettings", &[], LENO_GROUP, &["v1alpha1"], false),
    kind("Cluster", "clusters", "cluster", &[], LENO_GROUP, &["v1alpha1"], false),
    kind("GlobalService", "globalservices", "globalservice", &["gs"], LENO_GROUP, &["v1alpha1"], true),
    kind("Backend", "backends", "backend", &[], LENO_GROUP, &["v1alpha1"], true),
];

impl Kind {
    /// `v1` or `GROUP/VERSION`, with the preferred version.
    pub fn api_version(&self) -> String {
        let version = self.versions.first().copied().unwrap_or("v1");
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }
}

/// Splits `GROUP/VERSION`; the core group is empty.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// The kind with this name, for example `HTTPRoute` (kind names are unique among those read).
pub fn by_kind(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| k.kind == name)
}

/// The kind at this path, for example (`gateway.networking.k8s.io`, `httproutes`).
pub fn by_plural(group: &str, plural: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| k.group == group && k.plural == plural)
}

/// The kind that a person means: kind, plural, singular or short name, in any case.
pub fn by_any(text: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| {
        [k.kind, k.plural, k.singular].iter().chain(k.short).any(|name| name.eq_ignore_ascii_case(text))
    })
}

/// The content, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// v1 `Service`.
    Service(ServiceSpec),
    /// v1 `Namespace`: only its labels and annotations matter.
    Namespace,
    /// Gateway API `Gateway`.
    Gateway(GatewaySpec),
    /// Gateway API `HTTPRoute`.
    HttpRoute(HttpRouteSpec),
    /// Istio `WorkloadGroup`.
    WorkloadGroup(WorkloadGroupSpec),
    /// Istio `AuthorizationPolicy`.
    AuthorizationPolicy(AuthorizationPolicySpec),
    /// Leno `MeshSettings`.
    MeshSettings(MeshSettingsSpec),
    /// Leno `Cluster`.
    Cluster(ClusterSpec),
    /// Leno `GlobalService`.
    GlobalService(GlobalServiceSpec),
    /// Leno `Backend`.
    Backend(BackendSpec),
}

/// A whole document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<T> {
    api_version: String,
    #[serde(rename = "kind")]
    _kind: Ignored,
    metadata: RawMeta,
    spec: T,
    #[serde(rename = "status", default)]
    _status: Option<Ignored>,
}

pub(crate) type Read = (RawMeta, Spec, String);

pub(crate) fn read_spec(kind: &Kind, node: &Node, report: &mut ValidationReport<'_>) -> Option<Read> {
    match kind.kind {
        "Service" => typed(node, report, Spec::Service),
        "Namespace" => typed::<Option<Ignored>>(node, report, |_| Spec::Namespace),
        "Gateway" => typed(node, report, Spec::Gateway),
        "HTTPRoute" => typed(node, report, Spec::HttpRoute),
        "WorkloadGroup" => typed(node, report, Spec::WorkloadGroup),
        "AuthorizationPolicy" => {
            typed::<Option<_>>(node, report, |spec| Spec::AuthorizationPolicy(spec.unwrap_or_default()))
        }
        "MeshSettings" => typed(node, report, Spec::MeshSettings),
        "Cluster" => typed(node, report, Spec::Cluster),
        "GlobalService" => typed(node, report, Spec::GlobalService),
        "Backend" => typed(node, report, Spec::Backend),
        _ => None,
    }
}

fn typed<T: DeserializeOwned>(
    node: &Node,
    report: &mut ValidationReport<'_>,
    spec: impl FnOnce(T) -> Spec,
) -> Option<Read> {
    let found = decode::decode::<Document<T>>(node);
    report.refuse_all(found.problems);
    ignored::accepted(&found.accepted, node, report);
    found.value.map(|document| (document.metadata, spec(document.spec), document.api_version))
}

/// What a name of this kind must be.
pub(crate) fn name_syntax(kind: &Kind) -> NameSyntax {
    match kind.kind {
        // A Service's name is a label of a DNS name.
        "Service" => NameSyntax::Label,
        _ => NameSyntax::Subdomain,
    }
}

/// Checks `spec`.
pub(crate) fn check_spec(spec: &Spec, meta: &Meta, report: &mut ValidationReport<'_>) {
    match spec {
        Spec::Namespace => {}
        Spec::Service(spec) => service::check(spec, report),
        Spec::Gateway(spec) => gateway::check(spec, meta, report),
        Spec::HttpRoute(spec) => http_route::check(spec, report),
        Spec::WorkloadGroup(spec) => workload_group::check(spec, report),
        Spec::AuthorizationPolicy(spec) => authorization_policy::check(spec, meta, report),
        Spec::MeshSettings(spec) => mesh_settings::check(spec, report),
        Spec::Cluster(spec) => cluster::check(spec, report),
        Spec::GlobalService(spec) => global_service::check(spec, report),
        Spec::Backend(spec) => backend::check(spec, report),
    }
}

#[cfg(test)]
mod tests;
