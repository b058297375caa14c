//! Leno `Cluster`: a place with a control plane, and how others reach it.

use super::{KindSpec, LENO_GROUP, ObjectKind};
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

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

impl KindSpec for ClusterSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "Cluster",
        plural: "clusters",
        singular: "cluster",
        short: &[],
        group: LENO_GROUP,
        versions: &["v1alpha1"],
        namespaced: false,
        doc: "A place with a control plane, and how others reach it",
        columns: &[("NETWORK", "spec.network")],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        if self.cluster_type == Some(ClusterType::Kubernetes) {
            report.ignored("spec.type", "write `Hosts`: workloads are those that join, on whatever they run");
        }
        for (index, gateway) in self.gateways.iter().enumerate() {
            if gateway_address(gateway).is_none() {
                let path = format!("spec.gateways[{index}]");
                report.bad(&path, &format!("cannot be `{gateway}`"), "write IP or IP:PORT");
            }
        }
    }
}

/// What runs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ClusterType {
    /// Kubernetes.
    Kubernetes,
    /// Machines.
    Hosts,
}

/// Reads an entry of `Cluster` `spec.gateways`: `IP` (then the mesh port) or `IP:PORT`.
pub fn gateway_address(text: &str) -> Option<SocketAddr> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, model::address::PORT_MESH)),
        Err(_) => text.parse().ok().filter(|address: &SocketAddr| address.port() > 0),
    }
}
