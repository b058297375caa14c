//! `parentRefs`, which routes of all kinds have.

use crate::validation::ValidationReport;
use serde::Deserialize;

const PARENTS_MAX: usize = 32;
/// As in `kinds`, which uses this file.
const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
const LENO_GROUP: &str = "leno.dev";

/// What a route is attached to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Absent: `gateway.networking.k8s.io`; empty: core.
    #[serde(default)]
    pub group: Option<Box<str>>,
    /// Absent: `Gateway`.
    #[serde(default)]
    pub kind: Option<Box<str>>,
    /// Absent: the route's.
    #[serde(default)]
    pub namespace: Option<Box<str>>,
    /// Name of the parent.
    pub name: Box<str>,
    /// Listener of a gateway.
    #[serde(default)]
    pub section_name: Option<Box<str>>,
    /// Port of a service, or of a gateway's listeners.
    #[serde(default)]
    pub port: Option<u16>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

impl ParentRef {
    /// Whether it names a gateway, or listeners of one.
    pub fn is_gateway(&self) -> bool {
        matches!(self.kind.as_deref().unwrap_or("Gateway"), "Gateway" | "ListenerSet")
    }
}

/// Checks `spec.parentRefs`.
pub(crate) fn check(parents: &[ParentRef], report: &mut ValidationReport<'_>) {
    report.at_most("spec.parentRefs", parents.len(), PARENTS_MAX);
    for (index, parent) in parents.iter().enumerate() {
        one(parent, &format!("spec.parentRefs[{index}]"), report);
    }
}

fn one(parent: &ParentRef, at: &str, report: &mut ValidationReport<'_>) {
    report.subdomain(&format!("{at}.name"), &parent.name);
    if let Some(namespace) = &parent.namespace {
        report.label(&format!("{at}.namespace"), namespace);
    }
    if let Some(port) = parent.port {
        report.port(&format!("{at}.port"), port);
    }
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    let kind = parent.kind.as_deref().unwrap_or("Gateway");
    match (group, kind) {
        (GATEWAY_GROUP, "Gateway" | "ListenerSet") => {}
        ("", "Service") | (LENO_GROUP, "GlobalService") => {
            if parent.section_name.is_some() {
                let fix = "remove it, and write `port` to choose one port";
                report.unsupported(&format!("{at}.sectionName"), &format!("sectionName of a {kind}"), fix);
            }
        }
        (_, "Service") => {
            report.bad(&format!("{at}.group"), "is not that of Service", "write `group: \"\"`");
        }
        (_, "GlobalService") => {
            report.bad(&format!("{at}.group"), "is not that of GlobalService", "write `group: leno.dev`");
        }
        _ => {
            let fix = "name a Gateway, a ListenerSet, a Service or a GlobalService";
            report.unsupported(&format!("{at}.kind"), &format!("parent kind {kind} of group `{group}`"), fix);
        }
    }
}
