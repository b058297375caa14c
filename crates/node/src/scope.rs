//! Which traffic is captured on a host: what its owner says by flags, and what the proxy tells of its mesh.
//!
//! How both are read and put together is `model::capture_scope`. Read next: `capture`.

use model::address::MeshPrefix;
use model::capture_scope::CaptureScope;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a proxy tells of its mesh, in JSON.
#[derive(Deserialize)]
struct MeshCapture {
    /// Where mesh-only addresses of IPv6 lie.
    ipv6_prefix: String,
    /// Of the workload group, about capture.
    annotations: BTreeMap<String, String>,
}

/// What is to be captured by this; `None`: it has no reading, which the log says.
pub(crate) fn wanted(owner: &CaptureScope, told: &str) -> Option<CaptureScope> {
    let told: MeshCapture = serde_json::from_str(told)
        .inspect_err(
            |error| tracing::error!(%error, "what the proxy tells has no reading: capture stays as it was"),
        )
        .ok()?;
    let Some(mesh_prefix) = MeshPrefix::parse(&told.ipv6_prefix) else {
        tracing::error!(prefix = told.ipv6_prefix, "is no /48 out of fd00::/8: capture stays as it was");
        return None;
    };
    let owner = CaptureScope { mesh_prefix, ..owner.clone() };
    let annotations = told.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    owner
        .annotated(annotations)
        .inspect_err(|error| tracing::error!(%error, "an annotation has no reading: capture stays as it was"))
        .ok()
}

#[cfg(test)]
mod tests;
