//! The filters of an `HTTPRoute` rule.

use super::HttpRouteRule;
use super::cors::{self, HttpCorsFilter};
use super::matches::{HttpRouteMatch, PathMatchType, path_fault};
use crate::fields::header_edits::{self, EditedMessage, HttpHeaderFilter};
use crate::fields::mirror::{self, HttpRequestMirrorFilter};
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// One filter; exactly the field that `type` names is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteFilter {
    /// Which.
    #[serde(rename = "type")]
    pub filter_type: HttpRouteFilterType,
    /// For `RequestHeaderModifier`.
    #[serde(default)]
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For `ResponseHeaderModifier`.
    #[serde(default)]
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// For `RequestRedirect`.
    #[serde(default)]
    pub request_redirect: Option<HttpRequestRedirectFilter>,
    /// For `URLRewrite`.
    #[serde(default)]
    pub url_rewrite: Option<HttpUrlRewriteFilter>,
    /// For `RequestMirror`.
    #[serde(default)]
    pub request_mirror: Option<Box<HttpRequestMirrorFilter>>,
    /// For `CORS`.
    #[serde(default)]
    pub cors: Option<Box<HttpCorsFilter>>,
    /// Not supported yet.
    #[serde(default)]
    pub external_auth: Option<IgnoredAny>,
    /// Not supported yet.
    #[serde(default)]
    pub extension_ref: Option<IgnoredAny>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// The filters of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are Gateway API's")]
pub enum HttpRouteFilterType {
    RequestHeaderModifier,
    ResponseHeaderModifier,
    RequestRedirect,
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    RequestMirror,
    #[serde(rename = "CORS")]
    Cors,
    ExternalAuth,
    ExtensionRef,
}

/// `requestRedirect`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRequestRedirectFilter {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// New host.
    pub hostname: Option<String>,
    /// New path.
    pub path: Option<HttpPathModifier>,
    /// New port.
    pub port: Option<u16>,
    /// 301, 302 (default), 303, 307, 308.
    pub status_code: Option<u16>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `urlRewrite`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpUrlRewriteFilter {
    /// New host.
    pub hostname: Option<String>,
    /// New path.
    pub path: Option<HttpPathModifier>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// How a path is replaced; exactly the field that `type` names is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPathModifier {
    /// Which.
    #[serde(rename = "type")]
    pub modifier_type: HttpPathModifierType,
    /// For `ReplaceFullPath`.
    #[serde(default)]
    pub replace_full_path: Option<String>,
    /// For `ReplacePrefixMatch`.
    #[serde(default)]
    pub replace_prefix_match: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// Which part is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are Gateway API's")]
pub enum HttpPathModifierType {
    ReplaceFullPath,
    ReplacePrefixMatch,
}

const FILTERS_MAX: usize = 16;

/// Checks the filters of a rule and of its backends.
pub(super) fn check_rule(rule: &HttpRouteRule, at: &str, report: &mut ValidationReport<'_>) {
    check(&rule.filters, &rule.matches, at, report);
    let redirects = |filter: &HttpRouteFilter| filter.filter_type == HttpRouteFilterType::RequestRedirect;
    if rule.filters.iter().any(redirects) && !rule.backend_refs.is_empty() {
        let fix = "remove backendRefs or the redirect";
        report.bad(&format!("{at}.backendRefs"), "cannot stand beside a RequestRedirect", fix);
    }
    for (index, backend) in rule.backend_refs.iter().enumerate() {
        check(&backend.filters, &rule.matches, &format!("{at}.backendRefs[{index}]"), report);
    }
}

/// Checks one list of filters, for requests that meet `matches`.
fn check(
    filters: &[HttpRouteFilter],
    matches: &[HttpRouteMatch],
    at: &str,
    report: &mut ValidationReport<'_>,
) {
    report.at_most(&format!("{at}.filters"), filters.len(), FILTERS_MAX);
    let has = |wanted| filters.iter().any(|filter| filter.filter_type == wanted);
    if has(HttpRouteFilterType::RequestRedirect) && has(HttpRouteFilterType::UrlRewrite) {
        report.bad(&format!("{at}.filters"), "has both RequestRedirect and URLRewrite", "use one of them");
    }
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{at}.filters[{index}]");
        let repeats = filters[..index].iter().any(|before| before.filter_type == filter.filter_type);
        if repeats && filter.filter_type != HttpRouteFilterType::RequestMirror {
            report.bad(&format!("{path}.type"), "occurs twice", "merge the two filters");
        }
        let edits_request = filter.filter_type == HttpRouteFilterType::RequestHeaderModifier;
        if edits_request && has(HttpRouteFilterType::RequestRedirect) {
            report.no_effect(&path, "has no effect beside a RequestRedirect", "remove one of the two");
        }
        one_filter(filter, &path, matches, report);
    }
}

fn one_filter(
    filter: &HttpRouteFilter,
    at: &str,
    matches: &[HttpRouteMatch],
    report: &mut ValidationReport<'_>,
) {
    let fields = [
        (
            HttpRouteFilterType::RequestHeaderModifier,
            "requestHeaderModifier",
            filter.request_header_modifier.is_some(),
        ),
        (
            HttpRouteFilterType::ResponseHeaderModifier,
            "responseHeaderModifier",
            filter.response_header_modifier.is_some(),
        ),
        (HttpRouteFilterType::RequestRedirect, "requestRedirect", filter.request_redirect.is_some()),
        (HttpRouteFilterType::UrlRewrite, "urlRewrite", filter.url_rewrite.is_some()),
        (HttpRouteFilterType::RequestMirror, "requestMirror", filter.request_mirror.is_some()),
        (HttpRouteFilterType::Cors, "cors", filter.cors.is_some()),
    ];
    for (filter_type, field, is_set) in fields {
        let wanted = filter.filter_type == filter_type;
        let path = format!("{at}.{field}");
        if wanted && !is_set {
            report.refuse(Code::MissingField, &path, "is missing", format!("add `{field}`"));
        } else if is_set && !wanted {
            report.bad(&path, "does not belong to the filter's type", "remove it or correct `type`");
        }
    }
    match filter.filter_type {
        HttpRouteFilterType::ExternalAuth => {
            let fix = "use an AuthorizationPolicy; without a check in its place everybody passes";
            report.unsupported(at, "the filter ExternalAuth", fix);
        }
        HttpRouteFilterType::ExtensionRef => {
            report.unsupported(at, "this filter", "remove it");
        }
        HttpRouteFilterType::RequestMirror
        | HttpRouteFilterType::Cors
        | HttpRouteFilterType::RequestHeaderModifier
        | HttpRouteFilterType::ResponseHeaderModifier
        | HttpRouteFilterType::RequestRedirect
        | HttpRouteFilterType::UrlRewrite => {}
    }
    if let Some(edit) = &filter.request_header_modifier {
        header_edits::check(edit, EditedMessage::Request, &format!("{at}.requestHeaderModifier"), report);
    }
    if let Some(edit) = &filter.response_header_modifier {
        header_edits::check(edit, EditedMessage::Response, &format!("{at}.responseHeaderModifier"), report);
    }
    if let Some(redirect) = &filter.request_redirect {
        one_redirect(redirect, &format!("{at}.requestRedirect"), matches, report);
    }
    if let Some(rewrite) = &filter.url_rewrite {
        let at = format!("{at}.urlRewrite");
        host(rewrite.hostname.as_deref(), &at, report);
        modifier(rewrite.path.as_ref(), &at, matches, report);
    }
    if let Some(copies) = &filter.request_mirror {
        mirror::check(copies, &format!("{at}.requestMirror"), report);
    }
    if let Some(pages) = &filter.cors {
        cors::check(pages, &format!("{at}.cors"), report);
    }
}

fn one_redirect(
    redirect: &HttpRequestRedirectFilter,
    at: &str,
    matches: &[HttpRouteMatch],
    report: &mut ValidationReport<'_>,
) {
    if let Some(scheme) = redirect.scheme.as_deref()
        && !matches!(scheme, "http" | "https")
    {
        report.bad(&format!("{at}.scheme"), &format!("cannot be `{scheme}`"), "write `http` or `https`");
    }
    if let Some(port) = redirect.port {
        report.port(&format!("{at}.port"), port);
    }
    if let Some(status) = redirect.status_code
        && !matches!(status, 301 | 302 | 303 | 307 | 308)
    {
        report.bad(
            &format!("{at}.statusCode"),
            &format!("cannot be {status}"),
            "write 301, 302, 303, 307 or 308",
        );
    }
    host(redirect.hostname.as_deref(), at, report);
    modifier(redirect.path.as_ref(), at, matches, report);
}

fn host(hostname: Option<&str>, at: &str, report: &mut ValidationReport<'_>) {
    if let Some(hostname) = hostname
        && !syntax::is_host(hostname, false)
    {
        report.bad(
            &format!("{at}.hostname"),
            &format!("cannot be `{hostname}`"),
            "write a lower-case host name",
        );
    }
}

fn modifier(
    path: Option<&HttpPathModifier>,
    at: &str,
    matches: &[HttpRouteMatch],
    report: &mut ValidationReport<'_>,
) {
    let Some(path) = path else { return };
    let at = format!("{at}.path");
    let (full, prefix) = (path.replace_full_path.as_deref(), path.replace_prefix_match.as_deref());
    let (wanted, other, field) = match path.modifier_type {
        HttpPathModifierType::ReplaceFullPath => (full, prefix, "replaceFullPath"),
        HttpPathModifierType::ReplacePrefixMatch => (prefix, full, "replacePrefixMatch"),
    };
    if other.is_some() {
        report.bad(&at, "has a field that does not belong to its type", format!("keep `{field}` only"));
    }
    match wanted {
        None => report.refuse(
            Code::MissingField,
            &format!("{at}.{field}"),
            "is missing",
            format!("add `{field}`"),
        ),
        // An empty replacement of a prefix means `/`.
        Some("") if path.modifier_type == HttpPathModifierType::ReplacePrefixMatch => {}
        Some(text) => {
            if let Some(cause) = path_fault(text) {
                report.bad(&format!("{at}.{field}"), cause, "write a normalised path such as /a/b");
            }
        }
    }
    if path.modifier_type == HttpPathModifierType::ReplacePrefixMatch {
        let prefix = |m: &HttpRouteMatch| {
            m.path
                .as_ref()
                .is_none_or(|path| matches!(path.match_type, None | Some(PathMatchType::PathPrefix)))
        };
        if !matches.iter().all(prefix) {
            report.bad(&at, "replaces a prefix, but a match of the rule has none", "match by PathPrefix");
        }
    }
}
