//! Kubernetes core `Service`. Fields without a meaning for the mesh are ignored, with a warning.

use super::{KindSpec, ObjectKind};
use crate::decode::Ignored;
use crate::fields::port::{self, ServicePortSpec};
use crate::ignored::{self, IgnoredField};
use crate::meta::{Meta, NameSyntax};
use crate::validation::ValidationReport;
use model::Code;
use model::port_list::{self, OPAQUE_PORTS};
use model::service::Headless;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// What `clusterIP` says of a service whose name resolves to its workloads' own addresses.
const HEADLESS: &str = "None";
const FIX_ADDRESS: &str = "remove it: the mesh gives each service an address of its own";

/// `Service` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Which workloads; empty: none.
    pub selector: BTreeMap<String, String>,
    /// Never empty after checking.
    pub ports: Vec<ServicePortSpec>,
    /// `type`; `ExternalName` is refused.
    #[serde(rename = "type")]
    pub service_type: Option<ServiceType>,
    /// Belongs to type `ExternalName`, which is refused.
    pub external_name: Option<IgnoredAny>,
    /// `None`: headless. Other values are ignored, with a warning: the mesh has its own addresses.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    /// Ignored: what counts is `clusterIP`.
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
    /// Of a headless service: its name resolves to workloads that are not ready, too. Of others ignored, with a warning.
    pub publish_not_ready_addresses: bool,
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

impl ServiceSpec {
    /// How its name is answered for, if that is by the addresses of its workloads.
    pub fn headless(&self) -> Option<Headless> {
        let is_headless = self.cluster_ip.as_deref() == Some(HEADLESS);
        is_headless.then_some(Headless { publishes_unready: self.publish_not_ready_addresses })
    }
}

/// Linkerd's time-outs of a Service, each told.
const LINKERD_TIMEOUTS: [&str; 3] =
    ["timeout.linkerd.io/request", "timeout.linkerd.io/response", "timeout.linkerd.io/idle"];

impl KindSpec for ServiceSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Service",
        plural: "services",
        singular: "service",
        short: &["svc"],
        group: "",
        versions: &["v1"],
        namespaced: true,
        doc: "A name and ports for the workloads that a selector picks",
        columns: &[("PORTS", "spec.ports[].port"), ("SELECTOR", "spec.selector")],
    };
    const IGNORED: &'static [IgnoredField] = &[
        IgnoredField::new("spec.clusterIPs", &[HEADLESS], FIX_ADDRESS),
        IgnoredField::new("spec.ipFamilies", &["IPv4"], FIX_ADDRESS),
        IgnoredField::new("spec.ipFamilyPolicy", &["SingleStack"], FIX_ADDRESS),
        IgnoredField::new("spec.externalIPs", &[], port::FIX_OUTSIDE),
        IgnoredField::new("spec.loadBalancerIP", &[], port::FIX_OUTSIDE),
        IgnoredField::new("spec.loadBalancerClass", &[], port::FIX_OUTSIDE),
        IgnoredField::new("spec.loadBalancerSourceRanges", &[], port::FIX_OUTSIDE),
        IgnoredField::new("spec.allocateLoadBalancerNodePorts", &["false"], port::FIX_OUTSIDE),
        IgnoredField::new("spec.healthCheckNodePort", &[], port::FIX_OUTSIDE),
        IgnoredField::new("spec.externalTrafficPolicy", &["Cluster"], port::FIX_OUTSIDE),
        port::NODE_PORT,
        IgnoredField::new(
            "spec.sessionAffinity",
            &["None"],
            "remove it: each request chooses its endpoint anew",
        ),
        IgnoredField::new("spec.internalTrafficPolicy", &["Cluster"], ignored::FIX),
    ];
    // It is a label of a DNS name.
    const NAME_SYNTAX: NameSyntax = NameSyntax::Label;

    fn check(&self, meta: &Meta, report: &mut ValidationReport<'_>) {
        if let Some(Err(error)) = meta.annotations.get(OPAQUE_PORTS).map(|list| port_list::parse(list)) {
            let cause = format!("has `{OPAQUE_PORTS}`, which has no reading: {error}");
            report.bad("metadata.annotations", &cause, "list ports of the Service, as in `3306,8000-8010`");
        }
        for key in LINKERD_TIMEOUTS.into_iter().filter(|key| meta.annotations.contains_key(*key)) {
            let fix = "write `timeouts` into an HTTPRoute whose parent is the Service";
            report.entry_without_effect("metadata.annotations", key, "has no effect", fix);
        }
        if self.service_type == Some(ServiceType::ExternalName) {
            let fix = "describe the destination as a Backend (leno.dev/v1alpha1) with its addresses instead";
            report.unsupported("spec.type", "type ExternalName", fix);
            return;
        }
        report.labels("spec.selector", &self.selector);
        if self.headless().is_none() {
            if self.cluster_ip.as_ref().is_some_and(|address| !address.is_empty()) {
                report.ignored("spec.clusterIP", FIX_ADDRESS);
            }
            if self.publish_not_ready_addresses {
                let fix = "remove it: workloads are told when they are ready; a headless service may have it";
                report.ignored("spec.publishNotReadyAddresses", fix);
            }
        }
        match self.service_type {
            Some(ServiceType::NodePort | ServiceType::LoadBalancer) => {
                report.ignored("spec.type", "write `ClusterIP`, and a Gateway for callers from outside");
            }
            Some(ServiceType::ClusterIP | ServiceType::ExternalName) | None => {}
        }
        if self.ports.is_empty() {
            report.refuse(Code::MissingField, "spec.ports", "is missing or empty", "add at least one port");
        }
        port::check("spec.ports", &self.ports, report);
    }
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
