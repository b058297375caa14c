//! The rules of a `GRPCRoute`, independent of their parents.

use crate::units::missing::RouteFindings;
use crate::units::parent::RouteParents;
use crate::units::{WorldReader, backend_ref, request_parts, request_route};
use api::Object;
use api::fields::value_match::ValueMatchType;
use api::kinds::grpc_route::{
    GrpcBackendRef, GrpcMethodSpec, GrpcRouteFilter, GrpcRouteMatch, GrpcRouteRule, GrpcRouteSpec,
};
use model::filter::{FilterConfig, RequestHeaders, ResponseHeaders};
use model::route::{GrpcMethodMatch, PathMatch, Pattern, RouteBackend, RouteMatch, RouteRule};

/// All rules, under a parent that the caller replaces, and what is wrong with them.
pub(super) fn compile(
    route: &RouteParents<'_>,
    spec: &GrpcRouteSpec,
    read: &WorldReader<'_>,
) -> (Vec<RouteRule>, RouteFindings) {
    let mut findings = RouteFindings::new();
    // Without rules a route still takes its calls, and answers them with UNAVAILABLE.
    let default = [GrpcRouteRule { line: spec.line, ..GrpcRouteRule::default() }];
    let rules = if spec.rules.is_empty() { &default[..] } else { &spec.rules };
    let every = [GrpcRouteMatch::default()];
    let compiled = rules.iter().zip(0..).map(|(rule, index)| {
        let matches = if rule.matches.is_empty() { &every[..] } else { &rule.matches };
        let backend = |backend: &GrpcBackendRef, findings: &mut RouteFindings| RouteBackend {
            filters: filters(&backend.filters, route.object, read, findings),
            ..backend_ref::compile(&backend.target(), route.object, read, findings)
        };
        RouteRule {
            matches: matches.iter().map(call_match).collect(),
            filters: filters(&rule.filters, route.object, read, &mut findings).into(),
            backends: rule.backend_refs.iter().map(|one| backend(one, &mut findings)).collect(),
            ..request_route::outline(route, (index, rule.name.as_deref(), rule.line))
        }
    });
    let compiled = compiled.collect();
    (compiled, findings)
}

fn call_match(one: &GrpcRouteMatch) -> RouteMatch {
    let method = one.method.as_ref().map_or(GrpcMethodMatch::ANY, method_match);
    RouteMatch {
        path: PathMatch::Grpc(Box::new(method)),
        headers: request_parts::header_conditions(&one.headers),
        ..RouteMatch::default()
    }
}

fn method_match(wanted: &GrpcMethodSpec) -> GrpcMethodMatch {
    let GrpcMethodSpec { match_type, service, method } = wanted;
    match match_type.unwrap_or(ValueMatchType::Exact) {
        ValueMatchType::Exact => GrpcMethodMatch::Exact {
            service: service.as_deref().map(Into::into),
            method: method.as_deref().map(Into::into),
        },
        ValueMatchType::RegularExpression => GrpcMethodMatch::Regex {
            service: service.as_deref().map(|text| Pattern(text.into())),
            method: method.as_deref().map(|text| Pattern(text.into())),
        },
    }
}

fn filters(
    filters: &[GrpcRouteFilter],
    route: &Object,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Box<[FilterConfig]> {
    let mut filter = |filter: &GrpcRouteFilter| {
        if let Some(edit) = &filter.request_header_modifier {
            return Some(FilterConfig::RequestHeaders(RequestHeaders(request_parts::header_edit(edit))));
        }
        if let Some(edit) = &filter.response_header_modifier {
            return Some(FilterConfig::ResponseHeaders(ResponseHeaders(request_parts::header_edit(edit))));
        }
        let copies = filter.request_mirror.as_deref()?;
        request_parts::mirror(copies, route, read, findings).map(FilterConfig::Mirror)
    };
    filters.iter().filter_map(&mut filter).collect()
}
