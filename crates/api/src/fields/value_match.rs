//! Conditions on headers and query parameters, of an `HTTPRoute` or a `GRPCRoute`.

use crate::syntax;
use crate::validation::ValidationReport;
use serde::Deserialize;
use std::collections::HashSet;

/// A condition on a header or query parameter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpValueMatch {
    /// Absent: `Exact`.
    #[serde(rename = "type", default)]
    pub match_type: Option<ValueMatchType>,
    /// Name.
    pub name: String,
    /// Value or expression.
    pub value: String,
}

/// How a value is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ValueMatchType {
    /// Equal.
    Exact,
    /// RE2-like, over the whole value.
    RegularExpression,
}

const CONDITIONS_MAX: usize = 16;

/// Whether names that differ in case alone are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCase {
    Ignored,
    Kept,
}

/// Checks the conditions of one match.
pub(crate) fn check(
    conditions: &[HttpValueMatch],
    at: &str,
    case: NameCase,
    report: &mut ValidationReport<'_>,
) {
    report.at_most(at, conditions.len(), CONDITIONS_MAX);
    let mut names = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        if !syntax::is_token(&condition.name) {
            report.bad(
                &format!("{at}[{index}].name"),
                &format!("cannot be `{}`", condition.name),
                "write a token",
            );
        }
        let name = match case {
            NameCase::Ignored => condition.name.to_ascii_lowercase(),
            NameCase::Kept => condition.name.clone(),
        };
        if !names.insert(name) {
            let cause = format!("`{}` occurs twice", condition.name);
            report.bad(&format!("{at}[{index}].name"), &cause, "put one condition on each name");
        }
        let path = format!("{at}[{index}].value");
        if condition.match_type == Some(ValueMatchType::RegularExpression) {
            report.regex(&path, &condition.value);
        } else if condition.value.is_empty() {
            report.bad(&path, "is empty", "write the value");
        }
    }
}
