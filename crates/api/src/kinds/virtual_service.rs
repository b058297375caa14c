//! Istio `VirtualService`: where requests and connections to its hosts go. What it may say, and the rules of Istio's
//! own validation.
//!
//! Routes for HTTP are in `http`, what they do beside routing in `http/edits` and `http/handling`, those for TCP and TLS in `l4`.

mod http;
mod l4;

pub use http::{
    CorsPolicySpec, DelegateSpec, DestinationSpec, DirectResponseBody, DirectResponseSpec, FaultAbortSpec,
    FaultDelaySpec, FaultSpec, HeaderOperationsSpec, HeadersSpec, HttpDestinationSpec, MirrorSpec,
    PercentSpec, PreflightSpec, RedirectPortSpec, RedirectSpec, RegexRewriteSpec, RetrySpec, RewriteSpec,
    VirtualHttpMatch, VirtualHttpRoute, is_authority,
};
pub use l4::{L4MatchSpec, TlsMatchSpec, VirtualTcpRoute, VirtualTlsRoute, WeightedDestinationSpec};

use super::{ISTIO_NETWORKING_GROUP, KindSpec, ObjectKind};
use crate::decode::UnsupportedField;
use crate::fields::visibility;
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use std::collections::HashSet;

/// The gateway that stands for the mesh.
pub const MESH: &str = "mesh";

/// `VirtualService` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    /// Whose traffic; a name of one label is a Service of the object's namespace. Empty: others delegate to it.
    pub hosts: Vec<String>,
    /// Where: Istio Gateways as `NAME` or `NAMESPACE/NAME`, and `mesh`; absent: in the mesh.
    pub gateways: Vec<String>,
    /// The first that matches is followed.
    pub http: Vec<VirtualHttpRoute>,
    /// By server name, for TLS that is passed on.
    pub tls: Vec<VirtualTlsRoute>,
    /// For opaque connections.
    pub tcp: Vec<VirtualTcpRoute>,
    /// For whose calls; absent: everybody's.
    pub export_to: Vec<String>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl VirtualServiceSpec {
    /// Whether others delegate to it.
    pub fn is_delegate(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether it is for calls in the mesh.
    pub fn is_for_mesh(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|gateway| gateway == MESH)
    }
}

const HOSTS_MAX: usize = 256;
const GATEWAYS_MAX: usize = 64;
const ROUTES_MAX: usize = 512;

impl KindSpec for VirtualServiceSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "VirtualService",
        plural: "virtualservices",
        singular: "virtualservice",
        short: &["vs"],
        group: ISTIO_NETWORKING_GROUP,
        versions: &["v1", "v1beta1", "v1alpha3"],
        namespaced: true,
        doc: "Where requests and connections to hosts go (Istio)",
        columns: &[("GATEWAYS", "spec.gateways[]"), ("HOSTS", "spec.hosts[]")],
    };
    const IGNORED: &'static [IgnoredField] = http::IGNORED;
    const UNSUPPORTED: &'static [UnsupportedField] = http::UNSUPPORTED;

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        hosts(self, report);
        report.at_most("spec.gateways", self.gateways.len(), GATEWAYS_MAX);
        check_gateways(&self.gateways, "spec.gateways", report);
        visibility::check_export_to(&self.export_to, "spec.exportTo", report);
        if self.http.is_empty() && self.tls.is_empty() && self.tcp.is_empty() {
            report.refuse(Code::MissingField, "spec", "has no routes", "add `http`, `tls` or `tcp`");
        }
        report.at_most("spec.http", self.http.len(), ROUTES_MAX);
        for (index, route) in self.http.iter().enumerate() {
            route.check(self.is_delegate(), &format!("spec.http[{index}]"), report);
        }
        report.at_most("spec.tls", self.tls.len(), ROUTES_MAX);
        for (index, route) in self.tls.iter().enumerate() {
            route.check(&self.hosts, &format!("spec.tls[{index}]"), report);
        }
        report.at_most("spec.tcp", self.tcp.len(), ROUTES_MAX);
        for (index, route) in self.tcp.iter().enumerate() {
            route.check(&format!("spec.tcp[{index}]"), report);
        }
        if self.is_delegate() {
            delegate(self, report);
        }
    }
}

fn hosts(spec: &VirtualServiceSpec, report: &mut ValidationReport<'_>) {
    report.at_most("spec.hosts", spec.hosts.len(), HOSTS_MAX);
    let mut seen = HashSet::new();
    for (index, host) in spec.hosts.iter().enumerate() {
        let path = format!("spec.hosts[{index}]");
        let is_suffix =
            host.strip_prefix('*').is_some_and(|rest| syntax::is_host(rest.trim_start_matches('-'), false));
        if !visibility::is_istio_host(host) && !is_suffix {
            let fix = "write a lower-case name, or `*.` and a name";
            report.bad(&path, &format!("cannot be `{host}`"), fix);
        }
        if host == "*" && spec.is_for_mesh() {
            let fix = "name hosts, or only gateways other than `mesh`";
            report.bad(&path, "is `*`, which is not possible for `mesh`", fix);
        }
        if !seen.insert(host) {
            report.bad(&path, &format!("`{host}` occurs twice"), "remove one of the two");
        }
    }
}

/// What a VirtualService without hosts cannot say.
fn delegate(spec: &VirtualServiceSpec, report: &mut ValidationReport<'_>) {
    for (path, is_there) in [
        ("spec.gateways", !spec.gateways.is_empty()),
        ("spec.tcp", !spec.tcp.is_empty()),
        ("spec.tls", !spec.tls.is_empty()),
    ] {
        if is_there {
            let fix = "add `spec.hosts`, or remove it: others delegate HTTP to an object without hosts";
            report.bad(path, "cannot stand without `spec.hosts`", fix);
        }
    }
}

/// Names of Istio Gateways, and `mesh`.
fn check_gateways(gateways: &[String], at: &str, report: &mut ValidationReport<'_>) {
    for (index, gateway) in gateways.iter().enumerate() {
        let (namespace, name) = gateway
            .split_once('/')
            .map_or((None, gateway.as_str()), |(namespace, name)| (Some(namespace), name));
        if !namespace.is_none_or(syntax::is_label) || !syntax::is_subdomain(name) {
            let fix = "write `mesh`, NAME or NAMESPACE/NAME";
            report.bad(&format!("{at}[{index}]"), &format!("cannot be `{gateway}`"), fix);
        }
    }
}

#[cfg(test)]
mod tests;
