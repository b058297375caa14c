//! Gateway API `HTTPRoute` (v1, v1beta1), with the experimental `retry` and `timeouts`: what it may say, and the
//! rules of the CRD (its CEL rules) that matter without Kubernetes.

mod cors;
mod filters;
mod matches;

pub use cors::HttpCorsFilter;
pub use filters::{
    HttpPathModifier, HttpPathModifierType, HttpRequestRedirectFilter, HttpRouteFilter, HttpRouteFilterType,
    HttpUrlRewriteFilter,
};
pub use matches::{HttpMethod, HttpPathMatch, HttpRouteMatch, PathMatchType};

use super::{GATEWAY_GROUP, KindSpec, ObjectKind};
use crate::decode::Unsupported;
use crate::duration;
use crate::fields::backend_ref::{self, BackendRef};
use crate::fields::parent_ref::ParentRef;
use crate::fields::request_rules::{self, RuleOutline};
use crate::meta::Meta;
use crate::validation::ValidationReport;
use serde::Deserialize;
use std::time::Duration;

/// `HTTPRoute` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// At most 32.
    pub parent_refs: Box<[ParentRef]>,
    /// At most 16.
    pub hostnames: Box<[String]>,
    /// 1 to 16; absent means one rule that matches everything and leads nowhere.
    pub rules: Box<[HttpRouteRule]>,
    /// Not supported yet.
    pub use_default_gateways: Option<Unsupported>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl KindSpec for HttpRouteSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "HTTPRoute",
        plural: "httproutes",
        singular: "httproute",
        short: &["hr"],
        group: GATEWAY_GROUP,
        versions: &["v1", "v1beta1"],
        namespaced: true,
        doc: "Rules for HTTP requests to a Gateway or a service",
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

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRule {
    /// Unique in the route.
    pub name: Option<String>,
    /// Any must match; empty: all requests.
    pub matches: Box<[HttpRouteMatch]>,
    /// In order.
    pub filters: Box<[HttpRouteFilter]>,
    /// Weighted destinations.
    pub backend_refs: Box<[HttpBackendRef]>,
    /// Time limits.
    pub timeouts: Option<Box<HttpRouteTimeouts>>,
    /// Experimental channel.
    pub retry: Option<Box<HttpRouteRetry>>,
    /// Not supported yet.
    pub session_persistence: Option<Unsupported>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// One destination.
pub type HttpBackendRef = BackendRef<HttpRouteFilter>;

/// `timeouts`, GEP-2257 durations; `0s` switches one off.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteTimeouts {
    /// The whole exchange.
    pub request: Option<String>,
    /// Each attempt; at most `request`.
    pub backend_request: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `retry` (experimental channel).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRetry {
    /// 400 to 599.
    pub codes: Vec<u16>,
    /// Further attempts; 0: none; absent: 1.
    pub attempts: Option<u32>,
    /// Smallest wait, a GEP-2257 duration.
    pub backoff: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

const RETRY_ATTEMPTS_MAX: u32 = 25;

fn one_rule(rule: &HttpRouteRule, at: &str, report: &mut ValidationReport<'_>) {
    for (index, one) in rule.matches.iter().enumerate() {
        matches::check(one, &format!("{at}.matches[{index}]"), report);
    }
    filters::check_rule(rule, at, report);
    backend_ref::check(rule.backend_refs.iter().map(HttpBackendRef::target), at, report);
    if let Some(limits) = &rule.timeouts {
        timeouts(limits, &format!("{at}.timeouts"), report);
    }
    if let Some(policy) = &rule.retry {
        retry(policy, &format!("{at}.retry"), report);
        let is_repeated_never =
            |one: &HttpRouteMatch| one.method.is_some_and(|method| !is_idempotent(method));
        if !policy.codes.is_empty() && !rule.matches.is_empty() && rule.matches.iter().all(is_repeated_never)
        {
            let cause = "has no effect: the rule's methods are not repeated once a request may have arrived";
            report.no_effect(&format!("{at}.retry.codes"), cause, "remove it");
        }
    }
}

fn timeouts(limits: &HttpRouteTimeouts, at: &str, report: &mut ValidationReport<'_>) {
    let mut read = |field: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        let value = duration::parse(text);
        if value.is_none() {
            let cause = format!("cannot be `{text}`");
            report.bad(&format!("{at}.{field}"), &cause, "write a duration such as 1m30s, 10s or 500ms");
        }
        value
    };
    let (request, attempt) =
        (read("request", &limits.request), read("backendRequest", &limits.backend_request));
    if let (Some(request), Some(attempt)) = (request, attempt)
        && request > Duration::ZERO
        && attempt > request
    {
        report.bad(&format!("{at}.backendRequest"), "is longer than `request`", "shorten it");
    }
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: HttpMethod) -> bool {
    match method {
        HttpMethod::Get
        | HttpMethod::Head
        | HttpMethod::Options
        | HttpMethod::Trace
        | HttpMethod::Put
        | HttpMethod::Delete => true,
        HttpMethod::Post | HttpMethod::Patch | HttpMethod::Connect => false,
    }
}

fn retry(policy: &HttpRouteRetry, at: &str, report: &mut ValidationReport<'_>) {
    for (index, code) in policy.codes.iter().enumerate() {
        if !(400..=599).contains(code) {
            report.bad(
                &format!("{at}.codes[{index}]"),
                &format!("cannot be {code}"),
                "write a status from 400 to 599",
            );
        }
    }
    if let Some(attempts) = policy.attempts
        && attempts > RETRY_ATTEMPTS_MAX
    {
        let fix = format!("write a number from 0 to {RETRY_ATTEMPTS_MAX}");
        report.bad(&format!("{at}.attempts"), &format!("cannot be {attempts}"), fix);
    }
    if let Some(text) = &policy.backoff
        && duration::parse(text).is_none()
    {
        report.bad(
            &format!("{at}.backoff"),
            &format!("cannot be `{text}`"),
            "write a duration such as 100ms",
        );
    }
}

#[cfg(test)]
mod tests;
