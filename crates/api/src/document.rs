//! A document as it is written: `apiVersion`, `kind`, `metadata`, `spec` of any type, `status`.

use crate::decode::{self, Ignored, UnsupportedField};
use crate::ignored::{self, IgnoredField};
use crate::meta::RawMeta;
use crate::node::Node;
use crate::validation::ValidationReport;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The fields at the top.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DocumentFields<T> {
    pub(crate) api_version: String,
    #[serde(rename = "kind")]
    _kind: Ignored,
    pub(crate) metadata: RawMeta,
    pub(crate) spec: T,
    #[serde(rename = "status", default)]
    _status: Option<Ignored>,
}

/// What a kind advises about its fields that do nothing.
#[derive(Clone, Copy)]
pub(crate) struct FieldAdvice {
    /// Those that are accepted and ignored.
    pub(crate) ignored: &'static [IgnoredField],
    /// Those that are refused.
    pub(crate) unsupported: &'static [UnsupportedField],
}

/// Reads a document whose `spec` is a `T`.
pub(crate) fn read<T: DeserializeOwned>(
    node: &Node,
    advice: FieldAdvice,
    report: &mut ValidationReport<'_>,
) -> Option<DocumentFields<T>> {
    let found = decode::decode::<DocumentFields<T>>(node, advice.unsupported);
    report.refuse_all(found.problems);
    ignored::report(&found.ignored, advice.ignored, node, report);
    found.value
}
