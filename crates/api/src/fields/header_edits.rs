//! The filters `RequestHeaderModifier` and `ResponseHeaderModifier` of an `HTTPRoute` or a `GRPCRoute`.

use crate::syntax;
use crate::validation::ValidationReport;
use model::header::{PROTECTED_PREFIX, Untouched, untouched};
use serde::Deserialize;

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpHeaderFilter {
    /// Replace.
    pub set: Vec<HttpHeader>,
    /// Append.
    pub add: Vec<HttpHeader>,
    /// Delete.
    pub remove: Vec<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct HttpHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

const HEADERS_MAX: usize = 16;
const HEADER_VALUE_BYTES_MAX: usize = 4096;

/// What an edit is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EditedMessage {
    Request,
    Response,
}

/// Checks the edits of one filter.
pub(crate) fn check(
    edit: &HttpHeaderFilter,
    message: EditedMessage,
    at: &str,
    report: &mut ValidationReport<'_>,
) {
    for (field, headers) in [("set", &edit.set), ("add", &edit.add)] {
        report.at_most(&format!("{at}.{field}"), headers.len(), HEADERS_MAX);
        for (index, header) in headers.iter().enumerate() {
            let path = format!("{at}.{field}[{index}]");
            name(&header.name, message, &format!("{path}.name"), report);
            let printable = header.value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
            if !printable
                || header.value.len() > HEADER_VALUE_BYTES_MAX
                || header.value.trim() != header.value
            {
                report.bad(&format!("{path}.value"), "is no header value", "write printable characters only");
            }
        }
    }
    report.at_most(&format!("{at}.remove"), edit.remove.len(), HEADERS_MAX);
    for (index, header) in edit.remove.iter().enumerate() {
        name(header, message, &format!("{at}.remove[{index}]"), report);
    }
}

const FIX_HOST: &str = "use a URLRewrite filter with `hostname`";

fn name(header: &str, message: EditedMessage, at: &str, report: &mut ValidationReport<'_>) {
    if !syntax::is_token(header) {
        let fix = match header {
            ":authority" => FIX_HOST,
            ":path" => "use a URLRewrite filter with `path`",
            _ => "write a header name",
        };
        report.bad(at, &format!("cannot be `{header}`"), fix);
    } else if header.to_ascii_lowercase().starts_with(PROTECTED_PREFIX) {
        report.bad(at, "is one of the mesh's own headers", "use another name");
    } else if let Some(why) = untouched(header) {
        let (why, fix) = match why {
            Untouched::Host if message == EditedMessage::Request => ("names the request's host", FIX_HOST),
            Untouched::Host => ("is no header of a response", "remove it"),
            Untouched::Framing => ("says where the message ends", "remove it: the proxy writes what is true"),
            Untouched::OneHop => ("is for one hop only, and the proxy is one", "remove it"),
            Untouched::Protected => ("is written by proxies only", "remove it, or use another name"),
        };
        report.no_effect(at, &format!("is `{header}`, which {why}, so the edit has no effect"), fix);
    }
}
