//! Gateway API `Gateway` (v1, v1beta1). HTTP listeners work; what does not yet gives a finding.

use crate::decode::{Ignored, Unsupported};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The class of gateways for callers from outside.
pub const CLASS: &str = "leno";
/// The class of gateways between networks; its listeners carry the mesh's own transport.
pub const EAST_WEST_CLASS: &str = "leno-east-west";
/// Annotation: the address that all listeners bind, instead of all.
pub const BIND_ADDRESS: &str = "leno.dev/bind-address";

/// `Gateway` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// `leno` or `leno-east-west`.
    pub gateway_class_name: String,
    /// 1 to 64.
    pub listeners: Vec<Listener>,
    /// Not supported yet.
    #[serde(default)]
    pub addresses: Option<Unsupported>,
    /// Ignored, with a warning.
    #[serde(default)]
    pub infrastructure: Option<Ignored>,
    /// Not supported yet.
    #[serde(default)]
    pub allowed_listeners: Option<Unsupported>,
    /// Not supported yet.
    #[serde(default)]
    pub default_scope: Option<Unsupported>,
    /// Not supported yet.
    #[serde(default)]
    pub tls: Option<Unsupported>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// One listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Unique in the gateway.
    pub name: String,
    /// `*.example.com` or a name; absent: all.
    #[serde(default)]
    pub hostname: Option<String>,
    /// 1 to 65535.
    pub port: u16,
    /// `HTTP`; others are not supported yet.
    pub protocol: String,
    /// Not supported yet, except on the listeners of an east-west gateway, where it is ignored.
    #[serde(default)]
    pub tls: Option<Ignored>,
    /// Which routes may attach.
    #[serde(default)]
    pub allowed_routes: Option<AllowedRoutes>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `allowedRoutes`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedRoutes {
    /// Absent: the gateway's own namespace.
    pub namespaces: Option<RouteNamespaces>,
    /// Empty: those that fit the protocol.
    pub kinds: Vec<RouteKind>,
}

/// `allowedRoutes.namespaces`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteNamespaces {
    /// Absent: `Same`.
    pub from: Option<FromNamespaces>,
    /// With `Selector`: labels of namespaces.
    pub selector: Option<LabelSelector>,
}

/// Where routes may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FromNamespaces {
    /// Any namespace.
    All,
    /// Namespaces with the labels.
    Selector,
    /// The gateway's own.
    Same,
}

/// Kubernetes label selector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All must be there.
    pub match_labels: BTreeMap<String, String>,
    /// Not supported yet.
    pub match_expressions: Option<Unsupported>,
}

/// One allowed kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteKind {
    /// Absent: `gateway.networking.k8s.io`.
    #[serde(default)]
    pub group: Option<String>,
    /// For example `HTTPRoute`.
    pub kind: String,
}
