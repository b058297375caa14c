//! Accepted fields that have no effect yet: each one that says something is told, so that nobody relies on it.
//!
//! Whatever the types mark as `Ignored` comes here by itself; `metadata` and `status` are the server's. Fields
//! that are typed and have no effect are told by the rules of their kind.

use crate::node::{Node, Value};
use crate::validation::ValidationReport;

/// What is known of an accepted field, by its path without indices.
struct Known {
    path: &'static str,
    /// What it may say without a word, because that holds anyway; Kubernetes fills some of these in.
    holds_anyway: &'static [&'static str],
    fix: &'static str,
}

const fn known(path: &'static str, holds_anyway: &'static [&'static str], fix: &'static str) -> Known {
    Known { path, holds_anyway, fix }
}

const FIX: &str = "remove it";
const FIX_ADDRESS: &str = "remove it: the mesh gives each service an address of its own";
const FIX_OUTSIDE: &str = "remove it, and write a Gateway for callers from outside";

const KNOWN: &[Known] = &[
    known("spec.clusterIP", &[], FIX_ADDRESS),
    known("spec.clusterIPs", &[], FIX_ADDRESS),
    known("spec.ipFamilies", &["IPv4"], FIX_ADDRESS),
    known("spec.ipFamilyPolicy", &["SingleStack"], FIX_ADDRESS),
    known("spec.externalIPs", &[], FIX_OUTSIDE),
    known("spec.loadBalancerIP", &[], FIX_OUTSIDE),
    known("spec.loadBalancerClass", &[], FIX_OUTSIDE),
    known("spec.loadBalancerSourceRanges", &[], FIX_OUTSIDE),
    known("spec.allocateLoadBalancerNodePorts", &["false"], FIX_OUTSIDE),
    known("spec.healthCheckNodePort", &[], FIX_OUTSIDE),
    known("spec.externalTrafficPolicy", &["Cluster"], FIX_OUTSIDE),
    known("spec.ports[].nodePort", &[], FIX_OUTSIDE),
    known("spec.publishNotReadyAddresses", &["false"], "remove it: workloads are told when they are ready"),
    known("spec.sessionAffinity", &["None"], "remove it: each request chooses its endpoint anew"),
    known("spec.internalTrafficPolicy", &["Cluster"], FIX),
    known("spec.probe", &[], "remove it: a workload is ready when its proxy is"),
    known("spec.template.ports", &[], "remove it, and write `targetPort` as a number in the Service"),
    known("spec.template.address", &[], "remove it: each workload registers its own address"),
    known("spec.template.network", &[], "remove it: the network is that of the Cluster object"),
    known("spec.provider", &[], "leave it out of policies whose action is not CUSTOM"),
];

/// Tells of the fields at these paths of the document.
pub(crate) fn accepted(paths: &[String], node: &Node, report: &mut ValidationReport<'_>) {
    for path in paths.iter().filter(|path| path.starts_with("spec.")) {
        let Some(found) = node.find(path) else { continue };
        let known = KNOWN.iter().find(|known| *known.path == without_indices(path));
        let said = text(found);
        let holds = known.is_some_and(|known| known.holds_anyway.contains(&said.as_str()));
        if !said.is_empty() && !holds {
            report.ignored(path, known.map_or(FIX, |known| known.fix));
        }
    }
}

/// `spec.ports[3].nodePort` as `spec.ports[].nodePort`.
fn without_indices(path: &str) -> String {
    let names = path.split('.').map(|part| match part.split_once('[') {
        Some((name, _)) => format!("{name}[]"),
        None => part.to_owned(),
    });
    names.collect::<Vec<_>>().join(".")
}

/// What a field says; empty when it says nothing. What is not a plain value is never what holds anyway.
fn text(node: &Node) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Mapping(entries) if entries.is_empty() => String::new(),
        Value::Mapping(_) => "{}".to_owned(),
    }
}

#[cfg(test)]
mod tests;
