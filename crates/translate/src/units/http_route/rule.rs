//! The rules of an `HTTPRoute`, independent of their parents.

use super::filters;
use crate::units::host::host_match;
use crate::units::missing::RouteFindings;
use crate::units::{WorldReader, backend_ref};
use api::kinds::http_route::{
    HttpBackendRef, HttpRouteMatch, HttpRouteRetry, HttpRouteRule, HttpRouteSpec, HttpValueMatch,
    PathMatchType, ValueMatchType,
};
use api::{Object, duration};
use model::route::{
    HostMatch, Parent, PathMatch, Pattern, RetryPolicy, RouteBackend, RouteMatch, RouteRule, StringMatch,
    ValueMatch,
};
use std::sync::Arc;

/// All rules, under a parent that the caller replaces.
pub(super) fn compile(
    object: &Object,
    spec: &HttpRouteSpec,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<RouteRule> {
    let hosts: Vec<HostMatch> = spec.hostnames.iter().filter_map(|host| host_match(host)).collect();
    // Without rules a route still takes its requests, and answers them with 500.
    let default = [HttpRouteRule { line: spec.line, ..HttpRouteRule::default() }];
    let rules = if spec.rules.is_empty() { &default[..] } else { &spec.rules };
    let compiled = rules.iter().zip(0..).map(|(rule, index)| {
        let limits = rule.timeouts.as_ref();
        let limit = |text: Option<&String>| {
            text.and_then(|text| duration::parse(text)).filter(|limit| !limit.is_zero())
        };
        let parent = Parent::Gateway { namespace: "".into(), name: "".into(), listener: "".into() };
        RouteRule {
            index,
            name: rule.name.as_deref().map(Into::into),
            created_s: object.meta.created,
            hosts: hosts.clone(),
            matches: rule.matches.iter().map(route_match).collect(),
            filters: filters::compile(&rule.filters, object, read, findings),
            backends: rule
                .backend_refs
                .iter()
                .map(|backend| route_backend(backend, object, read, findings))
                .collect(),
            request_timeout: limit(limits.and_then(|limits| limits.request.as_ref())),
            backend_timeout: limit(limits.and_then(|limits| limits.backend_request.as_ref())),
            retry: rule.retry.as_deref().map(retry).map(Box::new),
            ..RouteRule::new(parent, object.at(rule.line))
        }
    });
    compiled.collect()
}

fn route_backend(
    backend: &HttpBackendRef,
    object: &Object,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> RouteBackend {
    let filters = filters::compile(&backend.filters, object, read, findings).into();
    RouteBackend { filters, ..backend_ref::compile(&backend.target(), object, read, findings) }
}

fn route_match(one: &HttpRouteMatch) -> RouteMatch {
    let path = one.path.as_ref();
    let value = path.and_then(|path| path.value.as_deref()).unwrap_or("/");
    let path = match path.and_then(|path| path.match_type).unwrap_or(PathMatchType::PathPrefix) {
        PathMatchType::Exact => PathMatch::Exact(value.into()),
        PathMatchType::PathPrefix => PathMatch::Prefix(value.trim_end_matches('/').into()),
        PathMatchType::RegularExpression => PathMatch::Regex(Pattern(value.into())),
    };
    let conditions = |list: &[HttpValueMatch], name: fn(&str) -> Arc<str>| {
        let value = |one: &HttpValueMatch| match one.match_type.unwrap_or(ValueMatchType::Exact) {
            ValueMatchType::Exact => StringMatch::Exact(one.value.as_str().into()),
            ValueMatchType::RegularExpression => StringMatch::Regex(Pattern(one.value.as_str().into())),
        };
        list.iter().map(|one| ValueMatch { name: name(&one.name), value: value(one) }).collect()
    };
    RouteMatch {
        path,
        method: one.method.map(|method| StringMatch::Exact(method.as_str().into())),
        headers: conditions(&one.headers, |name| name.to_ascii_lowercase().into()),
        query: conditions(&one.query_params, |name| name.into()),
        extra: None,
    }
}

fn retry(retry: &HttpRouteRetry) -> RetryPolicy {
    RetryPolicy {
        attempts: retry.attempts.unwrap_or(RetryPolicy::ATTEMPTS_DEFAULT),
        codes: retry.codes.clone(),
        backoff: retry.backoff.as_deref().and_then(duration::parse).unwrap_or(RetryPolicy::BACKOFF_DEFAULT),
        ..RetryPolicy::default()
    }
}
