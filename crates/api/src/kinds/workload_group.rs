//! Istio `WorkloadGroup`.

mod probe;

pub use probe::{
    ExecAction, GrpcAction, HttpGetAction, ProbeHttpHeader, ProbeSpec, TcpSocketAction, loopback,
};

use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::decode::Ignored;
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::validation::ValidationReport;
use model::capture_scope::{CaptureScope, ScopeError, is_about_capture};
use model::port_list::OPAQUE_PORTS;
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
    /// Whether the application is ready; absent: it is when its proxy is.
    #[serde(default)]
    pub probe: Option<ProbeSpec>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl KindSpec for WorkloadGroupSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "WorkloadGroup",
        plural: "workloadgroups",
        singular: "workloadgroup",
        short: &["wg"],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "Workloads that are alike, with one identity",
        columns: &[("ACCOUNT", "spec.template.serviceAccount"), ("LABELS", "spec.metadata.labels")],
    };
    const IGNORED: &'static [IgnoredField] = &[
        IgnoredField::new(
            "spec.template.ports",
            &[],
            "remove it, and write `targetPort` as a number in the Service",
        ),
        IgnoredField::new("spec.template.address", &[], "remove it: each workload registers its own address"),
        IgnoredField::new(
            "spec.template.network",
            &[],
            "remove it: the network is that of the Cluster object",
        ),
    ];

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        report.labels("spec.metadata.labels", &self.metadata.labels);
        report.labels("spec.template.labels", &self.template.labels);
        if let Some(account) = &self.template.service_account {
            report.subdomain("spec.template.serviceAccount", account);
        }
        if let Some(probe) = &self.probe {
            probe.check(report);
        }
        self.metadata.check_annotations(report);
        if self.template.locality.as_deref().is_some_and(|locality| locality.split('/').count() > 2) {
            let cause = "has more than a region and a zone, and the rest has no effect";
            report.no_effect("spec.template.locality", cause, "write REGION/ZONE");
        }
        if self.template.weight == Some(0) {
            let fix = "write 1 or more; to take workloads out, stop them or let no selector match them";
            report.no_effect("spec.template.weight", "is 0, which has no effect: it counts as 1", fix);
        }
    }
}

/// `WorkloadGroup` `spec.metadata`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupMetadata {
    /// What services and policies select by.
    pub labels: BTreeMap<String, String>,
    /// Those of Istio's and Linkerd's about capture reach the hosts (`capture_scope`); others are ignored, with a warning.
    pub annotations: BTreeMap<String, String>,
}

impl GroupMetadata {
    /// The annotations about capture.
    pub fn capture(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, _)| is_about_capture(name))
    }

    fn check_annotations(&self, report: &mut ValidationReport<'_>) {
        let path = "spec.metadata.annotations";
        for (name, value) in &self.annotations {
            if name == OPAQUE_PORTS {
                let cause = "has no effect here: callers look at the Service";
                report.entry_without_effect(path, name, cause, "write it as an annotation of the Service");
                continue;
            }
            if !is_about_capture(name) {
                report.entry_without_effect(
                    path,
                    name,
                    "is not supported yet and has no effect",
                    "remove it",
                );
                continue;
            }
            match CaptureScope::default().annotate([(name.as_str(), value.as_str())]) {
                Ok(()) => {}
                Err(ScopeError::Annotation { cause, .. }) => {
                    report.bad_entry(path, name, &format!("has no reading: {cause}"), "correct it");
                }
                Err(error) => report.bad_entry(path, name, &format!("has no reading: {error}"), "correct it"),
            }
        }
    }
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

#[cfg(test)]
mod tests;
