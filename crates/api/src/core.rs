//! Kubernetes core kinds: `Service`. Fields without a meaning for the mesh are ignored, with a warning.

use crate::decode::{Accepted, Later};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `Service` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Which workloads; empty: none.
    pub selector: BTreeMap<String, String>,
    /// Never empty after checking.
    pub ports: Vec<ServicePort>,
    /// `type`; `ExternalName` is refused.
    #[serde(rename = "type")]
    pub service_type: Option<ServiceType>,
    /// Not supported yet.
    pub external_name: Option<Later>,
    /// Ignored, with a warning: the mesh has its own addresses.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<Accepted>,
    /// Ignored, with a warning.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Option<Accepted>,
    /// Ignored, with a warning.
    #[serde(rename = "externalIPs")]
    pub external_ips: Option<Accepted>,
    /// Ignored, with a warning.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: Option<Accepted>,
    /// Ignored, with a warning.
    pub load_balancer_class: Option<Accepted>,
    /// Ignored, with a warning.
    pub load_balancer_source_ranges: Option<Accepted>,
    /// Ignored, with a warning.
    pub allocate_load_balancer_node_ports: Option<Accepted>,
    /// Ignored, with a warning.
    pub health_check_node_port: Option<Accepted>,
    /// Ignored, with a warning.
    pub publish_not_ready_addresses: Option<Accepted>,
    /// Ignored, with a warning.
    pub session_affinity: Option<Accepted>,
    /// Ignored, with a warning.
    pub session_affinity_config: Option<Accepted>,
    /// Ignored, with a warning.
    pub internal_traffic_policy: Option<Accepted>,
    /// Ignored, with a warning.
    pub external_traffic_policy: Option<Accepted>,
    /// Ignored, with a warning.
    pub traffic_distribution: Option<Accepted>,
    /// Ignored, with a warning.
    pub ip_families: Option<Accepted>,
    /// Ignored, with a warning.
    pub ip_family_policy: Option<Accepted>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// How a cluster would expose it; the mesh treats all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ServiceType {
    /// The default.
    ClusterIP,
    /// As `ClusterIP`.
    NodePort,
    /// As `ClusterIP`.
    LoadBalancer,
    /// Not supported yet.
    ExternalName,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// `name`; its prefix (`http`, `http2`, `grpc`, `tcp`, `tls`, `https`) declares the protocol.
    #[serde(default)]
    pub name: Option<String>,
    /// 1 to 65535.
    pub port: u16,
    /// Number only; absent: the same as `port`.
    #[serde(default)]
    pub target_port: Option<u16>,
    /// `TCP` (default), `UDP` or `SCTP`; the latter two are ignored by the mesh.
    #[serde(default)]
    pub protocol: Option<Transport>,
    /// Wins over the name if it is one of Kubernetes' own or of the words of names; else it says nothing.
    #[serde(default)]
    pub app_protocol: Option<String>,
    /// Ignored, with a warning.
    #[serde(default)]
    pub node_port: Option<Accepted>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// The one that the mesh carries.
    Tcp,
    /// Left alone.
    Udp,
    /// Left alone.
    Sctp,
}
