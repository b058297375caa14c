//! What holds for the host names and rules of an `HTTPRoute` as for those of a `GRPCRoute`.

use super::parent_ref::{self, ParentRef};
use crate::syntax;
use crate::validation::ValidationReport;
use std::collections::HashSet;

const HOSTNAMES_MAX: usize = 16;
const RULES_MAX: usize = 16;
const MATCHES_MAX: usize = 64;
const MATCHES_OF_ROUTE_MAX: usize = 128;

/// What is looked at of a rule.
pub(crate) struct RuleOutline<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) matches: usize,
}

/// Checks `spec.parentRefs`, `spec.hostnames`, and how many rules and matches there are and how they are called.
pub(crate) fn check<'a>(
    parent_refs: &[ParentRef],
    hostnames: &[String],
    rules: impl ExactSizeIterator<Item = RuleOutline<'a>>,
    report: &mut ValidationReport<'_>,
) {
    parent_ref::check(parent_refs, report);
    check_hostnames(hostnames, report);
    if !hostnames.is_empty() && !parent_refs.is_empty() && !parent_refs.iter().any(ParentRef::is_gateway) {
        // GAMMA: a service's route takes what goes to the service, by whatever name it was called.
        report.no_effect("spec.hostnames", "has no effect on a route of services", "remove it");
    }
    report.at_most("spec.rules", rules.len(), RULES_MAX);
    let (mut names, mut matches) = (HashSet::new(), 0);
    for (index, rule) in rules.enumerate() {
        let at = format!("spec.rules[{index}]");
        matches += rule.matches;
        report.at_most(&format!("{at}.matches"), rule.matches, MATCHES_MAX);
        let Some(name) = rule.name else { continue };
        report.subdomain(&format!("{at}.name"), name);
        if !names.insert(name) {
            report.bad(&format!("{at}.name"), &format!("`{name}` occurs twice"), "use another name");
        }
    }
    if matches > MATCHES_OF_ROUTE_MAX {
        let cause = format!("have {matches} matches together, more than {MATCHES_OF_ROUTE_MAX}");
        report.bad("spec.rules", &cause, "split the route");
    }
}

fn check_hostnames(hostnames: &[String], report: &mut ValidationReport<'_>) {
    report.at_most("spec.hostnames", hostnames.len(), HOSTNAMES_MAX);
    for (index, host) in hostnames.iter().enumerate() {
        if !syntax::is_host(host, true) {
            let path = format!("spec.hostnames[{index}]");
            report.bad(&path, &format!("cannot be `{host}`"), "write a lower-case name, or `*.` and a name");
        }
    }
}
