//! What a policy is attached to.

use super::selector::WorkloadSelector;
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;

const TARGETS_MAX: usize = 16;
/// The only group that has targets so far.
const GROUP: &str = "gateway.networking.k8s.io";

/// What a policy is attached to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// For example `gateway.networking.k8s.io`.
    #[serde(default)]
    pub group: Option<String>,
    /// `Gateway`; others are not supported yet.
    pub kind: String,
    /// Name in the policy's namespace.
    pub name: String,
    /// Only the policy's own.
    #[serde(default)]
    pub namespace: Option<String>,
    /// A listener of a Gateway; absent: all of it.
    #[serde(default)]
    pub section_name: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// Checks `targetRef` and `targetRefs` of a policy, which stand beside its `selector`.
pub(crate) fn check(
    target_ref: Option<&PolicyTarget>,
    target_refs: &[PolicyTarget],
    selector: Option<&WorkloadSelector>,
    meta: &Meta,
    report: &mut ValidationReport<'_>,
) {
    if (target_ref.is_some() || !target_refs.is_empty()) && selector.is_some() {
        report.bad("spec.selector", "cannot stand beside targetRefs", "use one of them");
    }
    if target_ref.is_some() && !target_refs.is_empty() {
        report.bad("spec.targetRef", "cannot stand beside targetRefs", "use targetRefs");
    }
    report.at_most("spec.targetRefs", target_refs.len(), TARGETS_MAX);
    for (index, target) in target_refs.iter().enumerate() {
        one_target(target, &format!("spec.targetRefs[{index}]"), meta, report);
    }
    if let Some(target) = target_ref {
        one_target(target, "spec.targetRef", meta, report);
    }
}

fn one_target(target: &PolicyTarget, at: &str, meta: &Meta, report: &mut ValidationReport<'_>) {
    if target.kind != "Gateway" {
        let fix = "name a Gateway, or select workloads with `selector`; without a target the policy is for the \
                   whole namespace";
        report.unsupported(&format!("{at}.kind"), &format!("target kind {}", target.kind), fix);
    }
    if target.section_name.is_some() {
        let fix = "name the Gateway alone: the policy is for all of its listeners then";
        report.unsupported(&format!("{at}.sectionName"), "a listener as a target", fix);
    }
    if target.group.as_deref().is_some_and(|group| group != GROUP) {
        let fix = format!("write `{GROUP}`");
        report.no_effect(&format!("{at}.group"), "is not that of Gateway, and has no effect", fix);
    }
    let is_other = |namespace: &str| !namespace.is_empty() && namespace != &*meta.namespace;
    if target.namespace.as_deref().is_some_and(is_other) {
        let fix = "put the policy into that namespace, or name a Gateway of the policy's own";
        report.bad(&format!("{at}.namespace"), "is not the policy's own", fix);
    }
}
