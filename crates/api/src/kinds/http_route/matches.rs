//! The conditions of an `HTTPRoute` rule.

use crate::fields::value_match::{self, HttpValueMatch, NameCase};
use crate::validation::ValidationReport;
use serde::Deserialize;

/// Conditions; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteMatch {
    /// Absent: prefix `/`.
    pub path: Option<HttpPathMatch>,
    /// All must hold.
    pub headers: Box<[HttpValueMatch]>,
    /// All must hold.
    pub query_params: Box<[HttpValueMatch]>,
    /// Exact method.
    pub method: Option<HttpMethod>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// The methods that a match may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
}

impl HttpMethod {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
        }
    }
}

/// A condition on the path.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPathMatch {
    /// Absent: `PathPrefix`.
    #[serde(rename = "type")]
    pub match_type: Option<PathMatchType>,
    /// Absent: `/`.
    pub value: Option<Box<str>>,
}

/// How a path is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PathMatchType {
    /// Byte for byte.
    Exact,
    /// By whole segments.
    PathPrefix,
    /// RE2-like, over the whole path.
    RegularExpression,
}

const PATH_BYTES_MAX: usize = 1024;

pub(crate) fn check(one: &HttpRouteMatch, at: &str, report: &mut ValidationReport<'_>) {
    if let Some(path) = &one.path {
        path_match(path, &format!("{at}.path"), report);
    }
    value_match::check(&one.headers, &format!("{at}.headers"), NameCase::Ignored, report);
    value_match::check(&one.query_params, &format!("{at}.queryParams"), NameCase::Kept, report);
}

fn path_match(path: &HttpPathMatch, at: &str, report: &mut ValidationReport<'_>) {
    let Some(value) = &path.value else { return };
    let at = format!("{at}.value");
    match path.match_type {
        Some(PathMatchType::RegularExpression) => report.regex(&at, value),
        Some(PathMatchType::Exact | PathMatchType::PathPrefix) | None => {
            if let Some(cause) = path_fault(value) {
                report.bad(&at, cause, "write a normalised path such as /a/b");
            }
        }
    }
}

/// What is wrong with a path in a match or rewrite: nothing that normalising would change may be in it.
pub(crate) fn path_fault(path: &str) -> Option<&'static str> {
    let lower = path.to_ascii_lowercase();
    if !path.starts_with('/') {
        Some("does not begin with `/`")
    } else if path.len() > PATH_BYTES_MAX {
        Some("has more than 1024 bytes")
    } else if path.contains("//") {
        Some("contains `//`")
    } else if path.split('/').any(|segment| segment == "." || segment == "..") {
        Some("contains `.` or `..` as a segment")
    } else if lower.contains("%2f") || path.contains('#') || path.contains('?') {
        Some("contains `%2f`, `#` or `?`")
    } else if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&b)) {
        Some("contains a character that must be percent-encoded")
    } else {
        None
    }
}
