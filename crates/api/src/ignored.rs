//! Accepted fields that have no effect yet: each one that says something is told, so that nobody relies on it.
//!
//! Whatever the types mark as `Ignored` comes here by itself; `metadata` and `status` are the server's. Fields
//! that are typed and have no effect are told by the rules of their kind, in `kinds`.

use crate::node::{Node, NodeValue};
use crate::validation::ValidationReport;

/// What is known of an accepted field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IgnoredField {
    /// How its path without indices ends, for example `spec.ports[].nodePort`: some are at several places of a kind.
    pub(crate) path: &'static str,
    /// What it may say without a word, because that holds anyway; Kubernetes fills some of these in.
    pub(crate) holds_anyway: &'static [&'static str],
    /// What to do about it.
    pub(crate) fix: &'static str,
}

impl IgnoredField {
    pub(crate) const fn new(
        path: &'static str,
        holds_anyway: &'static [&'static str],
        fix: &'static str,
    ) -> Self {
        Self { path, holds_anyway, fix }
    }
}

/// The fix where nothing better is known.
pub(crate) const FIX: &str = "remove it";

/// Tells of the fields at these paths of the document; `known` is what its kind knows of them.
pub(crate) fn report(
    paths: &[String],
    known: &[IgnoredField],
    node: &Node,
    report: &mut ValidationReport<'_>,
) {
    for path in paths.iter().filter(|path| path.starts_with("spec.")) {
        let Some(found) = node.find(path) else { continue };
        let known = known.iter().find(|known| without_indices(path).ends_with(known.path));
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
        NodeValue::Null => String::new(),
        NodeValue::Bool(value) => value.to_string(),
        NodeValue::Number(number) => number.to_string(),
        NodeValue::String(text) => text.clone(),
        NodeValue::Sequence(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        NodeValue::Mapping(entries) if entries.is_empty() => String::new(),
        NodeValue::Mapping(_) => "{}".to_owned(),
    }
}

#[cfg(test)]
mod tests;
