//! Istio `DestinationRule`: how a host's endpoints are used, and which of them are a subset by their labels.
//!
//! What it says of the use of endpoints is in `destination_rule/policy.rs`.

mod policy;

pub use policy::{
    DestinationBalancerSpec, DestinationHashSpec, DestinationPolicySpec, PortNumberSpec, PortPolicySpec,
    SimpleBalancerSpec,
};

use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::decode::{Unsupported, UnsupportedField};
use crate::fields::visibility;
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::node::{Node, NodeValue};
use crate::scan::values;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// `DestinationRule` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRuleSpec {
    /// Of a service; a name of one label is a Service of the rule's namespace.
    pub host: String,
    /// For all of it.
    #[serde(default)]
    pub traffic_policy: Option<Box<DestinationPolicySpec>>,
    /// Parts of it.
    #[serde(default)]
    pub subsets: Vec<SubsetSpec>,
    /// For whose calls; absent: everybody's.
    #[serde(default)]
    pub export_to: Vec<String>,
    /// Not supported yet.
    #[serde(default)]
    pub workload_selector: Option<Unsupported>,
    /// It stands for one that was refused and speaks of TLS: nothing may be sent to its host in plaintext.
    #[serde(skip)]
    pub is_unreadable: bool,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `subsets[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubsetSpec {
    /// Unique in the rule.
    pub name: String,
    /// All must be on the workload; empty: all workloads are in it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Before that of the rule, by field.
    #[serde(default)]
    pub traffic_policy: Option<Box<DestinationPolicySpec>>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

const SUBSETS_MAX: usize = 64;

impl KindSpec for DestinationRuleSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "DestinationRule",
        plural: "destinationrules",
        singular: "destinationrule",
        short: &["dr"],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "Subsets of a service, and how its endpoints are used (Istio)",
        columns: &[("HOST", "spec.host"), ("SUBSETS", "spec.subsets[].name")],
    };
    const IGNORED: &'static [IgnoredField] = policy::IGNORED;
    const UNSUPPORTED: &'static [UnsupportedField] = policy::UNSUPPORTED;

    /// Without it what is meant for TLS would go in plaintext.
    fn fail_closed(document: Option<&Node>) -> Option<Self> {
        let document = document?;
        let host = document.get("spec").and_then(|spec| spec.get("host")).and_then(Node::as_str);
        speaks_of_tls(document).then(|| Self::closed(host))
    }

    fn fail_closed_by_words(text: &str) -> Option<Self> {
        let has_tls = values(text, "tls").next().is_some();
        let has_mode = values(text, "mode").any(is_tls_mode);
        (has_tls || has_mode).then(|| Self::closed(values(text, "host").next()))
    }

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        if !visibility::is_istio_host(&self.host) {
            let fix =
                "write the host of a service, for example `reviews` or `reviews.shop.svc.cluster.local`";
            report.bad("spec.host", &format!("cannot be `{}`", self.host), fix);
        }
        visibility::check_export_to(&self.export_to, "spec.exportTo", report);
        if self.export_to.iter().any(|to| !matches!(to.as_str(), "*" | "~")) {
            let cause = "has no effect: a rule counts for all callers of its host";
            report.no_effect("spec.exportTo", cause, "remove it");
        }
        if let Some(policy) = &self.traffic_policy {
            policy.check("spec.trafficPolicy", report);
        }
        report.at_most("spec.subsets", self.subsets.len(), SUBSETS_MAX);
        let mut names = HashSet::new();
        for (index, subset) in self.subsets.iter().enumerate() {
            let at = format!("spec.subsets[{index}]");
            let name = format!("{at}.name");
            match subset.name.as_str() {
                "" => report.refuse(Code::MissingField, &name, "is empty", "name the subset"),
                text => report.label(&name, text),
            }
            if !names.insert(&subset.name) {
                report.bad(&name, &format!("`{}` occurs twice", subset.name), "use another name");
            }
            report.labels(&format!("{at}.labels"), &subset.labels);
            if let Some(policy) = &subset.traffic_policy {
                policy.check(&format!("{at}.trafficPolicy"), report);
            }
        }
        if self.traffic_policy.is_none() && self.subsets.is_empty() {
            report.no_effect("spec", "says nothing of its host", "add `trafficPolicy` or `subsets`");
        }
    }
}

impl DestinationRuleSpec {
    /// For one that is refused: nothing leaves in plaintext to its host, or, where that cannot be read, to any host of its
    /// namespace that has no rule of its own.
    fn closed(host: Option<&str>) -> Self {
        let host =
            host.map(|host| host.trim().to_ascii_lowercase()).filter(|host| visibility::is_istio_host(host));
        Self { host: host.unwrap_or_else(|| "*".to_owned()), is_unreadable: true, ..Self::default() }
    }
}

/// Whether something in it is called `tls`, or has a mode that only TLS has.
fn speaks_of_tls(node: &Node) -> bool {
    match &node.value {
        NodeValue::Mapping(entries) => entries.iter().any(|(key, node)| {
            let is_mode = key.eq_ignore_ascii_case("mode") && node.as_str().is_some_and(is_tls_mode);
            key.eq_ignore_ascii_case("tls") || is_mode || speaks_of_tls(node)
        }),
        NodeValue::Sequence(items) => items.iter().any(speaks_of_tls),
        _ => false,
    }
}

fn is_tls_mode(text: &str) -> bool {
    ["SIMPLE", "MUTUAL", "ISTIO_MUTUAL"].iter().any(|mode| text.trim().eq_ignore_ascii_case(mode))
}

#[cfg(test)]
mod tests;
