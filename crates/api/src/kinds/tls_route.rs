//! Gateway API `TLSRoute` (v1): connections in TLS, by server name to backends. Whether TLS ends at the listener or at the
//! backend, the listener says.

use super::{GATEWAY_GROUP, KindSpec, ObjectKind};
use crate::decode::Unsupported;
use crate::fields::l4_rules::{self, L4RouteRule};
use crate::fields::parent_ref::{self, ParentRef};
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::net::IpAddr;

/// Server names of one route at most, as in the Gateway API.
const HOSTNAMES_MAX: usize = 1024;

/// `TLSRoute` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRouteSpec {
    /// At most 32.
    pub parent_refs: Box<[ParentRef]>,
    /// Server names, or `*.` and a name; 1 to 1024.
    pub hostnames: Box<[String]>,
    /// Exactly one.
    pub rules: Box<[L4RouteRule]>,
    /// Not supported yet.
    pub use_default_gateways: Option<Unsupported>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl KindSpec for TlsRouteSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "TLSRoute",
        plural: "tlsroutes",
        singular: "tlsroute",
        short: &[],
        group: GATEWAY_GROUP,
        versions: &["v1", "v1alpha3", "v1alpha2"],
        namespaced: true,
        doc: "Where connections in TLS go, by server name",
        columns: &[("HOSTNAMES", "spec.hostnames[]"), ("PARENTS", "spec.parentRefs[].name")],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        parent_ref::check(&self.parent_refs, report);
        if self.hostnames.is_empty() {
            let fix = "name the server names that callers ask for";
            report.refuse(Code::MissingField, "spec.hostnames", "is empty", fix);
        }
        report.at_most("spec.hostnames", self.hostnames.len(), HOSTNAMES_MAX);
        for (index, name) in self.hostnames.iter().enumerate() {
            if !syntax::is_host(name, true) || name.parse::<IpAddr>().is_ok() {
                let cause = format!("cannot be `{name}`");
                report.bad(&format!("spec.hostnames[{index}]"), &cause, "write a name, or `*.` and a name");
            }
        }
        l4_rules::check(&self.rules, report);
    }
}

#[cfg(test)]
mod tests;
