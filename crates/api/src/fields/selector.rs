//! Label selectors: `matchLabels` and Istio's `selector`.

use crate::decode::Unsupported;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Kubernetes label selector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All must be there.
    pub match_labels: BTreeMap<String, String>,
    /// Not supported yet.
    pub match_expressions: Option<Unsupported>,
}

/// Selects by labels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// All must be there.
    pub match_labels: BTreeMap<String, String>,
}
