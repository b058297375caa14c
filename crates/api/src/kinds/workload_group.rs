//! Istio `WorkloadGroup`.

use crate::decode::Ignored;
use crate::validation::ValidationReport;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `WorkloadGroup` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadGroupSpec {
    /// Labels and annotations of every workload of the group.
    #[serde(default)]
    pub metadata: GroupMetadata,
    /// What all have in common.
    pub template: WorkloadTemplate,
    /// Ignored, with a warning: health is the proxy's readiness so far.
    #[serde(default)]
    pub probe: Option<Ignored>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `WorkloadGroup` `spec.metadata`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupMetadata {
    /// What services and policies select by.
    pub labels: BTreeMap<String, String>,
    /// Ignored, with a warning.
    pub annotations: BTreeMap<String, String>,
}

/// `WorkloadGroup` `spec.template`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadTemplate {
    /// Absent: `default`.
    pub service_account: Option<String>,
    /// Labels beside `spec.metadata.labels` (both select).
    pub labels: BTreeMap<String, String>,
    /// Ignored, with a warning: services name numbers.
    pub ports: Option<Ignored>,
    /// Ignored, with a warning: the address comes from the registration.
    pub address: Option<Ignored>,
    /// `region/zone`; absent: the cluster's.
    pub locality: Option<String>,
    /// Ignored, with a warning: the network is the cluster's.
    pub network: Option<Ignored>,
    /// Share of traffic; absent: 1.
    pub weight: Option<u32>,
}

pub(crate) fn check(spec: &WorkloadGroupSpec, report: &mut ValidationReport<'_>) {
    report.labels("spec.metadata.labels", &spec.metadata.labels);
    report.labels("spec.template.labels", &spec.template.labels);
    if let Some(account) = &spec.template.service_account {
        report.subdomain("spec.template.serviceAccount", account);
    }
    if !spec.metadata.annotations.is_empty() {
        report.ignored("spec.metadata.annotations", "remove it");
    }
    if spec.template.locality.as_deref().is_some_and(|locality| locality.split('/').count() > 2) {
        let cause = "has more than a region and a zone, and the rest has no effect";
        report.no_effect("spec.template.locality", cause, "write REGION/ZONE");
    }
    if spec.template.weight == Some(0) {
        let fix = "write 1 or more; to take workloads out, stop them or let no selector match them";
        report.no_effect("spec.template.weight", "is 0, which has no effect: it counts as 1", fix);
    }
}
