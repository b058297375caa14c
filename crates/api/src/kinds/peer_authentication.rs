//! Istio `PeerAuthentication`: what workloads take from their callers. Where nobody says anything it is STRICT, while
//! Istio's own default is PERMISSIVE.

use super::{ISTIO_SECURITY_GROUP, KindSpec, ObjectKind};
use crate::decode;
use crate::fields::selector::WorkloadSelector;
use crate::meta::{Meta, ROOT_NAMESPACE};
use crate::node::Node;
use crate::validation::ValidationReport;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `PeerAuthentication` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PeerAuthenticationSpec {
    /// Absent: the whole namespace; in the root namespace: the whole mesh.
    pub selector: Option<WorkloadSelector>,
    /// Absent: as [`MutualTlsMode::Unset`].
    pub mtls: Option<MutualTls>,
    /// By port of the workload, as text; only beside a selector.
    pub port_level_mtls: Option<BTreeMap<String, MutualTls>>,
    /// It stands for one that cannot be read: no other may say less than STRICT for whom it may concern.
    #[serde(skip)]
    pub is_unreadable: bool,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl KindSpec for PeerAuthenticationSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "PeerAuthentication",
        plural: "peerauthentications",
        singular: "peerauthentication",
        short: &["pa"],
        group: ISTIO_SECURITY_GROUP,
        versions: &["v1", "v1beta1"],
        namespaced: true,
        doc: "Whether callers prove who they are: mutual TLS, plaintext, or both",
        columns: &[("MODE", "spec.mtls.mode"), ("SELECTOR", "spec.selector.matchLabels")],
    };

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn fail_closed(document: Option<&Node>) -> Option<Self> {
        let selector = document.and_then(|document| document.get("spec")?.get("selector"));
        Some(Self {
            // One that cannot be read may mean anybody in the namespace.
            selector: selector.and_then(decode::whole),
            mtls: Some(MutualTls { mode: Some(MutualTlsMode::Strict) }),
            is_unreadable: true,
            ..Self::default()
        })
    }

    fn check(&self, meta: &Meta, report: &mut ValidationReport<'_>) {
        let labels = self.selector.as_ref().map(|selector| &selector.match_labels);
        if let Some(labels) = labels {
            report.labels("spec.selector.matchLabels", labels);
            if &*meta.namespace == ROOT_NAMESPACE {
                let cause =
                    format!("has no effect in {ROOT_NAMESPACE}, whose policies are for the whole mesh");
                report.no_effect("spec.selector", &cause, "put the policy into the workloads' own namespace");
            }
        }
        let Some(ports) = &self.port_level_mtls else { return };
        if ports.is_empty() {
            report.bad("spec.portLevelMtls", "is empty", "remove it");
        } else if labels.is_none_or(BTreeMap::is_empty) {
            let fix = "add `selector.matchLabels`, or say the same for all ports with `mtls`";
            report.bad("spec.portLevelMtls", "stands without a selector", fix);
        }
        for port in ports.keys().filter(|port| !port.parse().is_ok_and(|number: u16| number > 0)) {
            let path = format!("spec.portLevelMtls.{port}");
            report.bad(&path, "is no port", "write a port from 1 to 65535");
        }
    }
}

/// `mtls`, and one entry of `portLevelMtls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MutualTls {
    /// Absent: `UNSET`.
    pub mode: Option<MutualTlsMode>,
}

/// What a workload takes from its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MutualTlsMode {
    /// What holds for the namespace, else for the mesh, which is STRICT by default.
    Unset,
    /// Plaintext alone.
    Disable,
    /// Both.
    Permissive,
    /// Mutual TLS alone.
    Strict,
}

#[cfg(test)]
mod tests;
