//! Gateway API `UDPRoute` (v1, v1alpha2): datagrams to a listener, by weight to backends.

use super::{GATEWAY_GROUP, KindSpec, ObjectKind};
use crate::decode::Unsupported;
use crate::fields::l4_rules::{self, L4RouteRule};
use crate::fields::parent_ref::{self, ParentRef};
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;

/// `UDPRoute` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UdpRouteSpec {
    /// At most 32.
    pub parent_refs: Box<[ParentRef]>,
    /// Exactly one.
    pub rules: Box<[L4RouteRule]>,
    /// Not supported yet.
    pub use_default_gateways: Option<Unsupported>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl KindSpec for UdpRouteSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "UDPRoute",
        plural: "udproutes",
        singular: "udproute",
        short: &[],
        group: GATEWAY_GROUP,
        versions: &["v1", "v1alpha2"],
        namespaced: true,
        doc: "Where datagrams to a Gateway go",
        columns: &[("PARENTS", "spec.parentRefs[].name")],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        parent_ref::check(&self.parent_refs, report);
        l4_rules::check(&self.rules, report);
    }
}
