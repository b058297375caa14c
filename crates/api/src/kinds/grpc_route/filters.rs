//! The filters of a `GRPCRoute` rule, and of its backends.

use crate::fields::header_edits::{self, EditedMessage, HttpHeaderFilter};
use crate::fields::mirror::{self, HttpRequestMirrorFilter};
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// One filter; exactly the field that `type` names is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteFilter {
    /// Which.
    #[serde(rename = "type")]
    pub filter_type: GrpcRouteFilterType,
    /// For `RequestHeaderModifier`.
    #[serde(default)]
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For `ResponseHeaderModifier`.
    #[serde(default)]
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// For `RequestMirror`.
    #[serde(default)]
    pub request_mirror: Option<Box<HttpRequestMirrorFilter>>,
    /// Not supported yet.
    #[serde(default)]
    pub extension_ref: Option<IgnoredAny>,
}

/// The filters of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the names are Gateway API's")]
pub enum GrpcRouteFilterType {
    RequestHeaderModifier,
    ResponseHeaderModifier,
    RequestMirror,
    ExtensionRef,
}

const FILTERS_MAX: usize = 16;

/// Checks one list of filters.
pub(super) fn check(filters: &[GrpcRouteFilter], at: &str, report: &mut ValidationReport<'_>) {
    report.at_most(&format!("{at}.filters"), filters.len(), FILTERS_MAX);
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{at}.filters[{index}]");
        let repeats = filters[..index].iter().any(|before| before.filter_type == filter.filter_type);
        if repeats && filter.filter_type != GrpcRouteFilterType::RequestMirror {
            report.bad(&format!("{path}.type"), "occurs twice", "merge the two filters");
        }
        one_filter(filter, &path, report);
    }
}

fn one_filter(filter: &GrpcRouteFilter, at: &str, report: &mut ValidationReport<'_>) {
    use GrpcRouteFilterType as Type;
    let fields = [
        (Type::RequestHeaderModifier, "requestHeaderModifier", filter.request_header_modifier.is_some()),
        (Type::ResponseHeaderModifier, "responseHeaderModifier", filter.response_header_modifier.is_some()),
        (Type::RequestMirror, "requestMirror", filter.request_mirror.is_some()),
    ];
    for (filter_type, field, is_set) in fields {
        let is_wanted = filter.filter_type == filter_type;
        let path = format!("{at}.{field}");
        if is_wanted && !is_set {
            report.refuse(Code::MissingField, &path, "is missing", format!("add `{field}`"));
        } else if is_set && !is_wanted {
            report.bad(&path, "does not belong to the filter's type", "remove it or correct `type`");
        }
    }
    if filter.filter_type == Type::ExtensionRef {
        report.unsupported(at, "this filter", "remove it");
    }
    if let Some(edit) = &filter.request_header_modifier {
        header_edits::check(edit, EditedMessage::Request, &format!("{at}.requestHeaderModifier"), report);
    }
    if let Some(edit) = &filter.response_header_modifier {
        header_edits::check(edit, EditedMessage::Response, &format!("{at}.responseHeaderModifier"), report);
    }
    if let Some(copies) = &filter.request_mirror {
        mirror::check(copies, &format!("{at}.requestMirror"), report);
    }
}
