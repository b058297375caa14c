//! What a policy is attached to.

use serde::Deserialize;

/// What a policy is attached to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// For example `gateway.networking.k8s.io`.
    #[serde(default)]
    pub group: Option<String>,
    /// `Gateway`; others are not supported yet.
    pub kind: String,
    /// Name in the policy's namespace.
    pub name: String,
    /// Only the policy's own.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}
