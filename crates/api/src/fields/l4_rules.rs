//! `rules` of routes for connections and datagrams.

use super::backend_ref::{self, BackendRef};
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4RouteRule {
    /// Unique in the route.
    pub name: Option<String>,
    /// Weighted destinations; 1 to 16.
    pub backend_refs: Box<[BackendRef]>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// Checks `spec.rules`. There is one: a second one would never be asked.
pub(crate) fn check(rules: &[L4RouteRule], report: &mut ValidationReport<'_>) {
    if rules.is_empty() {
        report.refuse(Code::MissingField, "spec.rules", "is empty", "add a rule with backendRefs");
    }
    if rules.len() > 1 {
        let cause = format!("has {} entries, and only the first would ever be followed", rules.len());
        report.bad("spec.rules", &cause, "put all backendRefs into one rule, with weights");
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = format!("spec.rules[{index}]");
        if let Some(name) = &rule.name {
            report.subdomain(&format!("{at}.name"), name);
        }
        if rule.backend_refs.is_empty() {
            let path = format!("{at}.backendRefs");
            report.refuse(Code::MissingField, &path, "is empty", "name at least one backend");
        }
        backend_ref::check(rule.backend_refs.iter().map(BackendRef::target), &at, report);
    }
}
