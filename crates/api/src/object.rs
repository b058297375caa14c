//! One object that a user wrote: what it is, where it was written, and its checked content.

use crate::core::ServiceSpec;
use crate::gateway::GatewaySpec;
use crate::httproute::HttpRouteSpec;
use crate::istio::{AuthorizationPolicySpec, WorkloadGroupSpec};
use crate::leno::{BackendSpec, ClusterSpec, GlobalServiceSpec, MeshSettingsSpec};
use model::{Finding, ObjectRef, Origin};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A checked object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Kind, namespace (never empty for namespaced kinds), name.
    pub object: ObjectRef,
    /// As written, for example `gateway.networking.k8s.io/v1`.
    pub api_version: Arc<str>,
    /// File, and the first line of the document in it.
    pub origin: Origin,
    /// `metadata`.
    pub meta: Meta,
    /// `spec`, by kind.
    pub spec: Spec,
    /// The document's own source text, without the `---` lines.
    pub text: Arc<str>,
    /// The whole document as JSON, unknown server-set fields included (for Kubernetes-shaped answers). As text: a
    /// tree of it is fifteen times as large.
    pub json: Box<str>,
    /// What it says in vain. The findings of a file end with the next one that is read; these are told by
    /// whoever has the object in force, from wherever it came.
    pub warnings: Vec<Finding>,
}

impl Object {
    /// [`Object::json`] as a tree.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    /// Where `line` of the object's file is; 0 means the document's first line.
    pub fn at(&self, line: u32) -> Origin {
        Origin { line: if line == 0 { self.origin.line } else { line }, ..self.origin.clone() }
    }
}

/// The part of `metadata` that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.namespace`, `default` when a namespaced kind has none; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.creationTimestamp` as seconds since the epoch; 0 when absent.
    pub created: u64,
    /// `metadata.generation`; 0 when absent.
    pub generation: u64,
    /// `metadata.resourceVersion`; absent also when it is empty or `0`, which mean any, as in Kubernetes.
    pub resource_version: Option<ResourceVersion>,
}

/// Which state of a stored object a copy was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceVersion {
    /// As written.
    pub text: String,
    /// Line in the file.
    pub line: u32,
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
