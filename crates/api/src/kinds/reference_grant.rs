//! Gateway API `ReferenceGrant` (v1, v1beta1): what objects of other namespaces may refer to in this one.

use super::{GATEWAY_GROUP, KindSpec, ObjectKind};
use crate::meta::Meta;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;

const ENTRIES_MAX: usize = 16;

/// `ReferenceGrant` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantSpec {
    /// Who may refer; 1 to 16.
    pub from: Box<[ReferenceGrantFrom]>,
    /// To what; 1 to 16.
    pub to: Box<[ReferenceGrantTo]>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// One sort of objects that may refer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantFrom {
    /// For example `gateway.networking.k8s.io`; empty: core.
    pub group: String,
    /// For example `HTTPRoute`.
    pub kind: String,
    /// Theirs.
    pub namespace: String,
}

/// One sort of objects that may be referred to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantTo {
    /// For example `leno.dev`; empty: core.
    pub group: String,
    /// For example `Service`.
    pub kind: String,
    /// Absent or empty: all of this kind.
    #[serde(default)]
    pub name: Option<String>,
}

impl KindSpec for ReferenceGrantSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "ReferenceGrant",
        plural: "referencegrants",
        singular: "referencegrant",
        short: &["refgrant"],
        group: GATEWAY_GROUP,
        versions: &["v1", "v1beta1"],
        namespaced: true,
        doc: "What objects of other namespaces may refer to in this one",
        columns: &[("FROM", "spec.from[].namespace"), ("TO", "spec.to[].kind")],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        for (path, count) in [("spec.from", self.from.len()), ("spec.to", self.to.len())] {
            if count == 0 {
                report.refuse(Code::MissingField, path, "is empty", "add an entry, or delete the object");
            }
            report.at_most(path, count, ENTRIES_MAX);
        }
        for (index, from) in self.from.iter().enumerate() {
            report.label(&format!("spec.from[{index}].namespace"), &from.namespace);
            kind(&from.kind, &format!("spec.from[{index}]"), report);
        }
        for (index, to) in self.to.iter().enumerate() {
            kind(&to.kind, &format!("spec.to[{index}]"), report);
            if let Some(name) = to.name.as_deref().filter(|name| !name.is_empty()) {
                report.subdomain(&format!("spec.to[{index}].name"), name);
            }
        }
    }
}

impl ReferenceGrantSpec {
    /// Whether objects `from` this group, kind and namespace may refer `to` the object of this group, kind and name.
    pub fn allows(&self, from: (&str, &str, &str), to: (&str, &str, &str)) -> bool {
        let is_from = |known: &ReferenceGrantFrom| (&*known.group, &*known.kind, &*known.namespace) == from;
        let is_to = |known: &ReferenceGrantTo| {
            let is_named = known.name.as_deref().is_none_or(|name| name.is_empty() || name == to.2);
            (&*known.group, &*known.kind) == (to.0, to.1) && is_named
        };
        self.from.iter().any(is_from) && self.to.iter().any(is_to)
    }
}

fn kind(kind: &str, at: &str, report: &mut ValidationReport<'_>) {
    if kind.is_empty() {
        report.bad(&format!("{at}.kind"), "is empty", "name a kind, for example HTTPRoute or Service");
    }
}

#[cfg(test)]
mod tests;
