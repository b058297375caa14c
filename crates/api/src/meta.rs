//! `metadata`: as written, and checked and completed.

use crate::decode::Ignored;
use crate::node::{Node, NodeValue};
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where objects without a namespace go.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// Where objects that shall hold for the whole mesh go (Istio's root namespace).
pub const ROOT_NAMESPACE: &str = "leno-system";

/// The part of `metadata` that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.namespace`, `default` when a namespaced kind has none; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.creationTimestamp` as seconds since the epoch; 0 when absent.
    pub created: u64,
    /// `metadata.generation`; 0 when absent.
    pub generation: u64,
    /// `metadata.resourceVersion`; absent also when it is empty or `0`, which mean any, as in Kubernetes.
    pub resource_version: Option<Box<ResourceVersion>>,
}

/// Which state of a stored object a copy was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceVersion {
    /// As written.
    pub text: String,
    /// Line in the file.
    pub line: u32,
}

/// `metadata` as written; what the server sets is accepted.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RawMeta {
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) creation_timestamp: Option<String>,
    pub(crate) generation: Option<u64>,
    #[serde(rename = "uid")]
    _uid: Option<Ignored>,
    #[serde(rename = "resourceVersion")]
    _resource_version: Option<Ignored>,
    #[serde(rename = "managedFields")]
    _managed_fields: Option<Ignored>,
    #[serde(rename = "finalizers")]
    _finalizers: Option<Ignored>,
    #[serde(rename = "ownerReferences")]
    _owner_references: Option<Ignored>,
    #[serde(rename = "deletionTimestamp")]
    _deletion_timestamp: Option<Ignored>,
    #[serde(rename = "deletionGracePeriodSeconds")]
    _deletion_grace_period_seconds: Option<Ignored>,
    #[serde(rename = "generateName")]
    _generate_name: Option<Ignored>,
    #[serde(rename = "selfLink")]
    _self_link: Option<Ignored>,
}

/// What `metadata.name` must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameSyntax {
    /// A DNS-1123 label: the name is a part of a host name.
    Label,
    /// A DNS-1123 subdomain.
    Subdomain,
}

/// Checks and completes `metadata`.
pub(crate) fn check(
    raw: RawMeta,
    name_syntax: NameSyntax,
    namespaced: bool,
    report: &mut ValidationReport<'_>,
) -> Meta {
    let name = raw.name.unwrap_or_default();
    if name.is_empty() {
        report.refuse(Code::MissingField, "metadata.name", "is missing", "add `metadata.name`");
    } else {
        match name_syntax {
            NameSyntax::Label => report.label("metadata.name", &name),
            NameSyntax::Subdomain => report.subdomain("metadata.name", &name),
        }
    }
    let namespace = match (namespaced, raw.namespace) {
        (false, _) => String::new(),
        (true, None) => DEFAULT_NAMESPACE.to_owned(),
        (true, Some(namespace)) if namespace.is_empty() => DEFAULT_NAMESPACE.to_owned(),
        (true, Some(namespace)) => {
            report.label("metadata.namespace", &namespace);
            namespace
        }
    };
    report.labels("metadata.labels", &raw.labels);
    let created = match raw.creation_timestamp.as_deref().map(|text| (text, timestamp(text))) {
        None => 0,
        Some((_, Some(created))) => created,
        Some((text, None)) => {
            let cause = format!("cannot be `{text}`");
            report.bad(
                "metadata.creationTimestamp",
                &cause,
                "write it as 2026-01-31T12:00:00Z, or leave it out",
            );
            0
        }
    };
    Meta {
        name: name.into(),
        namespace: namespace.into(),
        labels: raw.labels,
        annotations: raw.annotations,
        created,
        generation: raw.generation.unwrap_or(0),
        resource_version: resource_version(report.node()),
    }
}

fn resource_version(node: &Node) -> Option<Box<ResourceVersion>> {
    let found = node.find("metadata.resourceVersion")?;
    let text = match &found.value {
        NodeValue::String(text) => text.clone(),
        // A person who writes it leaves out the quotes.
        _ => found.to_json().to_string(),
    };
    (!matches!(text.as_str(), "" | "0" | "null"))
        .then(|| Box::new(ResourceVersion { text, line: found.line }))
}

/// Seconds since the epoch of an RFC 3339 time in UTC (`2026-01-31T12:00:00Z`, fractions dropped).
fn timestamp(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let mut time = time.split(':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from civil: years begin in March, so that leap days come last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    const DAYS_TO_1970: u64 = 719_468;
    Some((days.checked_sub(DAYS_TO_1970)?) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests;
