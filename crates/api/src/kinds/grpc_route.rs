//! Gateway API `GRPCRoute` (v1): rules for calls of gRPC, by service and method.

mod filters;

pub use filters::{GrpcRouteFilter, GrpcRouteFilterType};

use super::{GATEWAY_GROUP, KindSpec, ObjectKind};
use crate::decode::Unsupported;
use crate::fields::backend_ref::{self, BackendRef};
use crate::fields::parent_ref::ParentRef;
use crate::fields::request_rules::{self, RuleOutline};
use crate::fields::value_match::{self, HttpValueMatch, NameCase, ValueMatchType};
use crate::meta::Meta;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;

/// `GRPCRoute` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteSpec {
    /// At most 32.
    pub parent_refs: Box<[ParentRef]>,
    /// At most 16.
    pub hostnames: Box<[String]>,
    /// 1 to 16; absent means one rule that matches every call and leads nowhere.
    pub rules: Box<[GrpcRouteRule]>,
    /// Not supported yet.
    pub use_default_gateways: Option<Unsupported>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteRule {
    /// Unique in the route.
    pub name: Option<String>,
    /// Any must match; empty: all calls.
    pub matches: Box<[GrpcRouteMatch]>,
    /// In order.
    pub filters: Box<[GrpcRouteFilter]>,
    /// Weighted destinations.
    pub backend_refs: Box<[GrpcBackendRef]>,
    /// Not supported yet.
    pub session_persistence: Option<Unsupported>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// One destination.
pub type GrpcBackendRef = BackendRef<GrpcRouteFilter>;

/// Conditions; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteMatch {
    /// Absent: every method.
    pub method: Option<GrpcMethodSpec>,
    /// All must hold.
    pub headers: Box<[HttpValueMatch]>,
}

/// Which methods are meant: `service`, `method` or both.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcMethodSpec {
    /// How both are compared; absent: `Exact`.
    #[serde(rename = "type")]
    pub match_type: Option<ValueMatchType>,
    /// With its package; absent: any.
    pub service: Option<Box<str>>,
    /// Absent: any.
    pub method: Option<Box<str>>,
}

const NAME_BYTES_MAX: usize = 1024;

impl KindSpec for GrpcRouteSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "GRPCRoute",
        plural: "grpcroutes",
        singular: "grpcroute",
        short: &[],
        group: GATEWAY_GROUP,
        versions: &["v1"],
        namespaced: true,
        doc: "Rules for gRPC calls to a Gateway or a service",
        columns: &[("HOSTNAMES", "spec.hostnames[]"), ("PARENTS", "spec.parentRefs[].name")],
    };

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        let rules = self.rules.iter();
        let rules = rules.map(|rule| RuleOutline { name: rule.name.as_deref(), matches: rule.matches.len() });
        request_rules::check(&self.parent_refs, &self.hostnames, rules, report);
        for (index, rule) in self.rules.iter().enumerate() {
            one_rule(rule, &format!("spec.rules[{index}]"), report);
        }
    }
}

fn one_rule(rule: &GrpcRouteRule, at: &str, report: &mut ValidationReport<'_>) {
    for (index, one) in rule.matches.iter().enumerate() {
        let at = format!("{at}.matches[{index}]");
        if let Some(method) = &one.method {
            method_match(method, &format!("{at}.method"), report);
        }
        value_match::check(&one.headers, &format!("{at}.headers"), NameCase::Ignored, report);
    }
    filters::check(&rule.filters, at, report);
    backend_ref::check(rule.backend_refs.iter().map(GrpcBackendRef::target), at, report);
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        filters::check(&backend.filters, &format!("{at}.backendRefs[{index}]"), report);
    }
}

fn method_match(wanted: &GrpcMethodSpec, at: &str, report: &mut ValidationReport<'_>) {
    if wanted.service.is_none() && wanted.method.is_none() && wanted.match_type.is_some() {
        let fix = "add `service` or `method`, or remove `type`";
        report.refuse(Code::MissingField, &format!("{at}.service"), "is missing", fix);
    }
    let parts = [
        ("service", &wanted.service, is_service as fn(&str) -> bool, "write a name such as shop.v1.Cart"),
        ("method", &wanted.method, is_identifier, "write a name such as GetCart"),
    ];
    for (field, text, is_name, fix) in parts {
        let Some(text) = text.as_deref() else { continue };
        let at = format!("{at}.{field}");
        match wanted.match_type.unwrap_or(ValueMatchType::Exact) {
            ValueMatchType::RegularExpression => report.regex(&at, text),
            ValueMatchType::Exact if text.len() > NAME_BYTES_MAX => {
                report.bad(&at, &format!("has more than {NAME_BYTES_MAX} bytes"), fix);
            }
            ValueMatchType::Exact if !is_name(text) => {
                report.bad(&at, &format!("cannot be `{text}`"), fix);
            }
            ValueMatchType::Exact => {}
        }
    }
}

/// Identifiers with dots between them; one dot may stand before them.
fn is_service(text: &str) -> bool {
    text.strip_prefix('.').unwrap_or(text).split('.').all(is_identifier)
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests;
