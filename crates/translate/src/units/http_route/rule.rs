//! The rules of an `HTTPRoute`, independent of their parents.

use super::filters;
use crate::units::missing::RouteFindings;
use crate::units::parent::RouteParents;
use crate::units::request_parts::{conditions, header_conditions};
use crate::units::{WorldReader, backend_ref, request_route};
use api::kinds::http_route::{
    HttpBackendRef, HttpRouteMatch, HttpRouteRetry, HttpRouteRule, HttpRouteSpec, PathMatchType,
};
use api::{Object, duration};
use model::route::{PathMatch, Pattern, RetryPolicy, RouteBackend, RouteMatch, RouteRule, StringMatch};

/// Gateway API's, where a `retry` names no number.
const ATTEMPTS_DEFAULT: u32 = 1;

/// All rules, under a parent that the caller replaces, and what is wrong with them.
pub(super) fn compile(
    route: &RouteParents<'_>,
    spec: &HttpRouteSpec,
    read: &WorldReader<'_>,
) -> (Vec<RouteRule>, RouteFindings) {
    let mut findings = RouteFindings::new();
    // Without rules a route still takes its requests, and answers them with 500.
    let default = [HttpRouteRule { line: spec.line, ..HttpRouteRule::default() }];
    let rules = if spec.rules.is_empty() { &default[..] } else { &spec.rules };
    let compiled = rules.iter().zip(0..).map(|(rule, index)| {
        let limits = rule.timeouts.as_ref();
        let limit = |text: Option<&String>| {
            text.and_then(|text| duration::parse(text)).filter(|limit| !limit.is_zero())
        };
        let backends = rule.backend_refs.iter();
        RouteRule {
            matches: rule.matches.iter().map(route_match).collect(),
            filters: filters::compile(&rule.filters, route.object, read, &mut findings),
            backends: backends
                .map(|backend| route_backend(backend, route.object, read, &mut findings))
                .collect(),
            request_timeout: limit(limits.and_then(|limits| limits.request.as_ref())),
            backend_timeout: limit(limits.and_then(|limits| limits.backend_request.as_ref())),
            retry: rule.retry.as_deref().map(retry).map(Box::new),
            ..request_route::outline(route, (index, rule.name.as_deref(), rule.line))
        }
    });
    let compiled = compiled.collect();
    (compiled, findings)
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
    RouteMatch {
        path,
        method: one.method.map(|method| StringMatch::Exact(method.as_str().into())),
        headers: header_conditions(&one.headers),
        query: conditions(&one.query_params, |name| name.into()),
        extra: None,
    }
}

fn retry(retry: &HttpRouteRetry) -> RetryPolicy {
    RetryPolicy {
        attempts: retry.attempts.unwrap_or(ATTEMPTS_DEFAULT),
        codes: retry.codes.clone(),
        backoff: retry.backoff.as_deref().and_then(duration::parse).unwrap_or(RetryPolicy::BACKOFF_DEFAULT),
        ..RetryPolicy::default()
    }
}
