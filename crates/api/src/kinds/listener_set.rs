//! Gateway API `ListenerSet` (v1): further listeners for a `Gateway`, written by others than who writes that.

use super::gateway::{self, FILTERS_FIX, Listener};
use super::{GATEWAY_GROUP, KindSpec, ObjectKind};
use crate::decode::UnsupportedField;
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;

/// `ListenerSet` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The gateway that they are for.
    pub parent_ref: ListenerSetParent,
    /// 1 to 64.
    pub listeners: Vec<Listener>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `parentRef`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetParent {
    /// Absent: `gateway.networking.k8s.io`.
    #[serde(default)]
    pub group: Option<String>,
    /// Absent: `Gateway`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Absent: the set's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Name of the gateway.
    pub name: String,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl KindSpec for ListenerSetSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "ListenerSet",
        plural: "listenersets",
        singular: "listenerset",
        short: &["lset"],
        group: GATEWAY_GROUP,
        versions: &["v1"],
        namespaced: true,
        doc: "Further listeners for a Gateway",
        columns: &[("GATEWAY", "spec.parentRef.name"), ("PORTS", "spec.listeners[].port")],
    };

    const UNSUPPORTED: &'static [UnsupportedField] =
        &[UnsupportedField { path: "].filters", fix: FILTERS_FIX }];

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        report.subdomain("spec.parentRef.name", &self.parent_ref.name);
        if let Some(namespace) = &self.parent_ref.namespace {
            report.label("spec.parentRef.namespace", namespace);
        }
        let group = self.parent_ref.group.as_deref().unwrap_or(GATEWAY_GROUP);
        let kind = self.parent_ref.kind.as_deref().unwrap_or("Gateway");
        if (group, kind) != (GATEWAY_GROUP, "Gateway") {
            let what = format!("parent kind {kind} of group `{group}`");
            report.unsupported("spec.parentRef.kind", &what, "name a Gateway");
        }
        gateway::check_listeners(&self.listeners, report);
    }
}

#[cfg(test)]
mod tests;
