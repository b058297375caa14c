//! Kubernetes core kinds: `Service`. Fields without a meaning for the mesh are ignored, with a warning.

use crate::decode::Ignored;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, Visitor};
use std::collections::BTreeMap;
use std::fmt;

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
    /// Belongs to type `ExternalName`, which is refused.
    pub external_name: Option<IgnoredAny>,
    /// Ignored, with a warning: the mesh has its own addresses.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<Ignored>,
    /// Ignored, with a warning.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Option<Ignored>,
    /// Ignored, with a warning.
    #[serde(rename = "externalIPs")]
    pub external_ips: Option<Ignored>,
    /// Ignored, with a warning.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: Option<Ignored>,
    /// Ignored, with a warning.
    pub load_balancer_class: Option<Ignored>,
    /// Ignored, with a warning.
    pub load_balancer_source_ranges: Option<Ignored>,
    /// Ignored, with a warning.
    pub allocate_load_balancer_node_ports: Option<Ignored>,
    /// Ignored, with a warning.
    pub health_check_node_port: Option<Ignored>,
    /// Ignored, with a warning.
    pub publish_not_ready_addresses: Option<Ignored>,
    /// Ignored, with a warning.
    pub session_affinity: Option<Ignored>,
    /// Ignored, with a warning.
    pub session_affinity_config: Option<Ignored>,
    /// Ignored, with a warning.
    pub internal_traffic_policy: Option<Ignored>,
    /// Ignored, with a warning.
    pub external_traffic_policy: Option<Ignored>,
    /// Ignored, with a warning.
    pub traffic_distribution: Option<Ignored>,
    /// Ignored, with a warning.
    pub ip_families: Option<Ignored>,
    /// Ignored, with a warning.
    pub ip_family_policy: Option<Ignored>,
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
    /// Absent: the same as `port`.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
    /// `TCP` (default), `UDP` or `SCTP`; the latter two are ignored by the mesh.
    #[serde(default)]
    pub protocol: Option<Transport>,
    /// Wins over the name if it is one of Kubernetes' own or of the words of names; else it says nothing.
    #[serde(default)]
    pub app_protocol: Option<String>,
    /// Ignored, with a warning.
    #[serde(default)]
    pub node_port: Option<Ignored>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `targetPort`: the port that the application listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// 1 to 65535.
    Number(u16),
    /// A name of the container's port; refused, because nothing defines such names yet.
    Name(String),
}

impl TargetPort {
    /// The number. A checked object has no other.
    pub fn number(&self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for TargetPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetPortVisitor)
    }
}

struct TargetPortVisitor;

impl Visitor<'_> for TargetPortVisitor {
    type Value = TargetPort;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 1 to 65535")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<TargetPort, E> {
        let found = de::Unexpected::Unsigned(number);
        u16::try_from(number).map(TargetPort::Number).map_err(|_| E::invalid_value(found, &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TargetPort, E> {
        // A number in quotes is no name (IANA service names have a letter).
        match text.bytes().any(|b| b.is_ascii_alphabetic()) {
            true => Ok(TargetPort::Name(text.to_owned())),
            false => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
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
