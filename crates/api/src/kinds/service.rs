//! Kubernetes core `Service`. Fields without a meaning for the mesh are ignored, with a warning.

use crate::decode::Ignored;
use crate::fields::port::{self, ServicePort};
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use serde::de::IgnoredAny;
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

pub(crate) fn check(spec: &ServiceSpec, report: &mut ValidationReport<'_>) {
    if spec.service_type == Some(ServiceType::ExternalName) {
        let fix = "describe the destination as a Backend (leno.dev/v1alpha1) with its addresses instead";
        report.later("spec.type", "type ExternalName", fix);
        return;
    }
    report.labels("spec.selector", &spec.selector);
    match spec.service_type {
        Some(ServiceType::NodePort | ServiceType::LoadBalancer) => {
            report.ignored("spec.type", "write `ClusterIP`, and a Gateway for callers from outside");
        }
        Some(ServiceType::ClusterIP | ServiceType::ExternalName) | None => {}
    }
    if spec.ports.is_empty() {
        report.refuse(Code::MissingField, "spec.ports", "is missing or empty", "add at least one port");
    }
    port::check("spec.ports", &spec.ports, report);
}
