//! Istio's `StringMatch`: how a `VirtualService` compares a text.

use crate::validation::ValidationReport;
use serde::Deserialize;

/// At most one of its fields; none: the text is there at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StringMatchSpec {
    /// Equal.
    pub exact: Option<String>,
    /// Begins so.
    pub prefix: Option<String>,
    /// RE2 expression over the whole text.
    pub regex: Option<String>,
}

impl StringMatchSpec {
    /// Whether it compares with nothing: a text matches that is there at all. An empty text says nothing either, as
    /// in Istio.
    pub fn is_presence(&self) -> bool {
        [&self.exact, &self.prefix, &self.regex].iter().all(|text| text.as_deref().is_none_or(str::is_empty))
    }

    pub(crate) fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        let set = [self.exact.is_some(), self.prefix.is_some(), self.regex.is_some()];
        if set.iter().filter(|set| **set).count() > 1 {
            report.bad(at, "sets more than one of `exact`, `prefix` and `regex`", "keep one of them");
        }
        if let Some(regex) = &self.regex {
            report.regex(&format!("{at}.regex"), regex);
        }
    }

    /// As [`StringMatchSpec::check`], where a text is always there, so that none of the fields would say nothing.
    pub(crate) fn check_said(&self, at: &str, report: &mut ValidationReport<'_>) {
        self.check(at, report);
        if self.is_presence() {
            report.no_effect(at, "says nothing, and matches everything", "remove it");
        }
    }
}
