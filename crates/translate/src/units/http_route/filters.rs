//! The filters of a rule or a backend of an `HTTPRoute`.

use crate::units::WorldReader;
use crate::units::missing::RouteFindings;
use crate::units::request_parts::{header_edit, mirror};
use api::Object;
use api::kinds::http_route::{HttpCorsFilter, HttpPathModifier, HttpPathModifierType, HttpRouteFilter};
use model::filter::{
    Cors, FilterConfig, OriginMatch, PathRewrite, Redirect, RequestHeaders, ResponseHeaders, Rewrite,
    UnmatchedPreflights,
};
use std::sync::Arc;

const STATUS_REDIRECT_DEFAULT: u16 = 302;
/// Gateway API's.
const MAX_AGE_DEFAULT_S: u32 = 5;

/// In the order in which they are written, but those that answer browsers first: nothing may be in their way.
pub(super) fn compile(
    filters: &[HttpRouteFilter],
    route: &Object,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Vec<FilterConfig> {
    let compiled = filters.iter().filter_map(|one| filter(one, route, read, findings));
    let mut compiled: Vec<FilterConfig> = compiled.collect();
    compiled.sort_by_key(|filter| !matches!(filter, FilterConfig::Cors(_)));
    compiled
}

fn filter(
    filter: &HttpRouteFilter,
    route: &Object,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> Option<FilterConfig> {
    if let Some(edit) = &filter.request_header_modifier {
        return Some(FilterConfig::RequestHeaders(RequestHeaders(header_edit(edit))));
    }
    if let Some(edit) = &filter.response_header_modifier {
        return Some(FilterConfig::ResponseHeaders(ResponseHeaders(header_edit(edit))));
    }
    if let Some(redirect) = &filter.request_redirect {
        return Some(FilterConfig::Redirect(Redirect {
            scheme: redirect.scheme.as_deref().map(Arc::from),
            hostname: redirect.hostname.as_deref().map(Arc::from),
            port: redirect.port,
            path: redirect.path.as_ref().map(path_rewrite),
            status: redirect.status_code.unwrap_or(STATUS_REDIRECT_DEFAULT),
            ..Redirect::default()
        }));
    }
    if let Some(copies) = &filter.request_mirror {
        return mirror(copies, route, read, findings).map(FilterConfig::Mirror);
    }
    if let Some(pages) = &filter.cors {
        return Some(FilterConfig::Cors(Box::new(cors(pages))));
    }
    filter.url_rewrite.as_ref().map(|rewrite| {
        FilterConfig::Rewrite(Rewrite {
            hostname: rewrite.hostname.as_deref().map(Arc::from),
            path: rewrite.path.as_ref().map(path_rewrite),
        })
    })
}

fn path_rewrite(path: &HttpPathModifier) -> PathRewrite {
    match path.modifier_type {
        HttpPathModifierType::ReplaceFullPath => {
            PathRewrite::Full(path.replace_full_path.as_deref().unwrap_or("/").into())
        }
        HttpPathModifierType::ReplacePrefixMatch => {
            PathRewrite::Prefix(path.replace_prefix_match.as_deref().unwrap_or_default().into())
        }
    }
}

fn cors(pages: &HttpCorsFilter) -> Cors {
    let arcs = |list: &[String]| list.iter().map(|text| Arc::from(text.as_str())).collect();
    Cors {
        allow_origins: pages.allow_origins.iter().map(|text| origin(text)).collect(),
        allow_methods: arcs(&pages.allow_methods),
        allow_headers: arcs(&pages.allow_headers),
        expose_headers: arcs(&pages.expose_headers),
        allow_credentials: pages.allow_credentials.unwrap_or(false),
        max_age_s: Some(pages.max_age.unwrap_or(MAX_AGE_DEFAULT_S)),
        unmatched_preflights: UnmatchedPreflights::Answered,
    }
}

fn origin(text: &str) -> OriginMatch {
    if text == "*" {
        return OriginMatch::Any;
    }
    // Browsers leave the usual port out.
    let usual = if text.starts_with("https:") { ":443" } else { ":80" };
    let text = text.strip_suffix(usual).unwrap_or(text);
    match text.split_once('*') {
        Some((before, after)) => OriginMatch::Wildcard { before: before.into(), after: after.into() },
        None => OriginMatch::Exact(text.into()),
    }
}
