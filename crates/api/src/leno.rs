//! Our own kinds, group `leno.dev/v1alpha1`: only what no standard has.

use crate::core::{ServicePort, Transport};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// `MeshSettings` `spec` (cluster-scoped, name `default`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshSettingsSpec {
    /// SPIFFE trust domain of this mesh.
    pub trust_domain: Option<String>,
    /// `Strict`; nothing else is supported yet.
    pub mtls: Option<MtlsMode>,
    /// What happens to destinations that the mesh does not know; absent: `AllowAny`.
    pub outbound: Option<OutboundMode>,
    /// Names that the mesh answers for.
    pub dns: DnsSettings,
    /// What is recorded.
    pub telemetry: TelemetrySettings,
    /// How paths of requests are read and passed on.
    pub path_normalization: PathNormalizationSettings,
    /// How connections of callers are treated.
    pub http_connection_manager: HttpConnectionManagerSettings,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `pathNormalization`, as in Istio's mesh configuration and Envoy's HTTP connection manager.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathNormalizationSettings {
    /// Absent: `BASE`.
    pub normalization: Option<Normalization>,
    /// Absent: `KEEP_UNCHANGED`.
    pub path_with_escaped_slashes_action: Option<EscapedSlashesAction>,
}

/// See `model::settings::Normalization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Normalization {
    /// Byte for byte.
    None,
    /// Dot segments and unreserved escapes.
    Base,
    /// And runs of slashes.
    MergeSlashes,
    /// And encoded slashes first.
    DecodeAndMergeSlashes,
}

/// See `model::settings::EscapedSlashesAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EscapedSlashesAction {
    /// As it came.
    KeepUnchanged,
    /// 400.
    RejectRequest,
    /// 307.
    UnescapeAndRedirect,
    /// As plain slashes.
    UnescapeAndForward,
}

/// `httpConnectionManager`, with Envoy's names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpConnectionManagerSettings {
    /// Proxies in front of the gateways, 0 to 32; absent: 0.
    pub xff_num_trusted_hops: Option<u32>,
    /// Their addresses, `a.b.c.d/n` or single ones, instead of the number.
    pub xff_trusted_cidrs: Vec<String>,
    /// A duration from 1 s to 24 h; absent: 620 s.
    pub idle_timeout: Option<String>,
    /// A duration from 1 s to 24 h; absent: 300 s.
    pub stream_idle_timeout: Option<String>,
}

/// Mutual TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum MtlsMode {
    /// Plaintext is refused.
    Strict,
    /// Not supported yet.
    Permissive,
}

/// Traffic to unknown destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OutboundMode {
    /// Passed through.
    AllowAny,
    /// Refused; not supported yet.
    RegistryOnly,
}

/// `dns`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsSettings {
    /// Zones that the mesh owns: what it does not know there does not exist (NXDOMAIN). `mesh.internal` is owned
    /// as soon as a GlobalService has a name in it. `svc.cluster.local` is not owned unless it is listed here:
    /// the mesh answers for its Services, and queries for other names in it are forwarded.
    pub suffixes: Vec<String>,
}

/// `telemetry`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetrySettings {
    /// Ignored, with a warning: each proxy is told on its command line.
    pub access_log: Option<bool>,
}

/// `Cluster` `spec` (cluster-scoped, name = cluster).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSpec {
    /// `Hosts` (default); `Kubernetes` is the same, with a warning.
    #[serde(rename = "type")]
    pub cluster_type: Option<ClusterType>,
    /// Addresses are valid within one network.
    pub network: Option<String>,
    /// For example `eu-west`.
    pub region: Option<String>,
    /// For example `eu-west-1a`.
    pub zone: Option<String>,
    /// East-west gateways as other networks reach them: `IP` or `IP:PORT` (default 15008).
    pub gateways: Vec<String>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// What runs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ClusterType {
    /// Kubernetes.
    Kubernetes,
    /// Machines.
    Hosts,
}

/// `GlobalService` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalServiceSpec {
    /// At least one; for example `purchase.mesh.internal`.
    pub hosts: Vec<String>,
    /// Absent: those of the services behind it.
    #[serde(default)]
    pub ports: Vec<ServicePort>,
    /// What stands behind it in each cluster that has it.
    #[serde(default)]
    pub backends: Vec<GlobalBackend>,
    /// Where to when the local endpoints are gone.
    #[serde(default)]
    pub failover: Failover,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `backends[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalBackend {
    /// A `Service` of the cluster.
    pub service: ServiceRef,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// A `Service`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// Name.
    pub name: String,
    /// Absent: the GlobalService's own.
    #[serde(default)]
    pub namespace: Option<String>,
}

/// `failover`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// Clusters, best first; empty: by locality.
    pub order: Vec<String>,
}

/// `Backend` `spec`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendSpec {
    /// `Static`.
    #[serde(rename = "type")]
    pub backend_type: BackendType,
    /// At least one.
    pub addresses: Vec<BackendAddress>,
    /// What it speaks: `http` (default), `http2`, `grpc` or `tcp`.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// Which sort of backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum BackendType {
    /// Fixed addresses.
    Static,
}

/// `addresses[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendAddress {
    /// An IP address, or `localhost`.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl BackendAddress {
    /// The address that the host stands for. `localhost` needs no name server (RFC 6761 section 6.3); other names
    /// are not resolved yet.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host.as_str() {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            text => text.parse().ok(),
        }
    }
}

impl ServicePort {
    /// Whether the mesh carries it.
    pub fn is_tcp(&self) -> bool {
        matches!(self.protocol, None | Some(Transport::Tcp))
    }
}

/// Reads an entry of `Cluster` `spec.gateways`: `IP` (then the mesh port) or `IP:PORT`.
pub fn gateway_address(text: &str) -> Option<SocketAddr> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, model::address::PORT_MESH)),
        Err(_) => text.parse().ok().filter(|address: &SocketAddr| address.port() > 0),
    }
}
