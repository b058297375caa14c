//! What a route of a `VirtualService` makes of a request beside routing it: edits, redirects, answers.

use super::VirtualHttpRoute;
use crate::decode::{Unsupported, UnsupportedField};
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use model::header::{Untouched, untouched};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `redirect`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedirectSpec {
    /// The whole path, or what the match of the path is replaced by.
    pub uri: Option<String>,
    /// What the prefix that was matched is replaced by.
    pub prefix_rewrite: Option<String>,
    /// Another host.
    pub authority: Option<String>,
    /// Another port.
    pub port: Option<u16>,
    /// Where the port comes from otherwise.
    pub derive_port: Option<RedirectPortSpec>,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// 301 (default), 302, 303, 307 or 308.
    pub redirect_code: Option<u16>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `redirect.derivePort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RedirectPortSpec {
    /// The usual one of the scheme.
    FromProtocolDefault,
    /// The one that was called.
    FromRequestPort,
}

/// `directResponse`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectResponseSpec {
    /// 200 to 599.
    pub status: u16,
    /// Absent: none.
    #[serde(default)]
    pub body: Option<DirectResponseBody>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `directResponse.body`: one of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DirectResponseBody {
    /// As text.
    pub string: Option<String>,
    /// Not supported yet.
    pub bytes: Option<Unsupported>,
}

/// `rewrite`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RewriteSpec {
    /// What the match of the path is replaced by.
    pub uri: Option<String>,
    /// Another host.
    pub authority: Option<String>,
    /// By a regular expression.
    pub uri_regex_rewrite: Option<RegexRewriteSpec>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `rewrite.uriRegexRewrite`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegexRewriteSpec {
    /// What is replaced.
    #[serde(rename = "match")]
    pub pattern: Option<String>,
    /// By what; `\1` is a group.
    pub rewrite: Option<String>,
}

/// `headers`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HeadersSpec {
    /// Of requests.
    pub request: Option<HeaderOperationsSpec>,
    /// Of responses.
    pub response: Option<HeaderOperationsSpec>,
}

/// `headers.request`, `headers.response`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HeaderOperationsSpec {
    /// Replace.
    pub set: BTreeMap<String, String>,
    /// Append.
    pub add: BTreeMap<String, String>,
    /// Delete.
    pub remove: Vec<String>,
}

/// By how paths end.
pub(in crate::kinds::virtual_service) const UNSUPPORTED: &[UnsupportedField] = &[
    UnsupportedField { path: "body.bytes", fix: "write the text as `string`" },
    UnsupportedField { path: "delay.exponentialDelay", fix: "use `fixedDelay`" },
    UnsupportedField { path: "abort.http2Error", fix: "use `httpStatus`" },
];

const HEADERS_MAX: usize = 32;
const HEADER_VALUE_BYTES_MAX: usize = 4096;
const BODY_BYTES_MAX: usize = 1024 * 1024;

impl VirtualHttpRoute {
    pub(super) fn check_edits(&self, at: &str, report: &mut ValidationReport<'_>) {
        if let Some(redirect) = &self.redirect {
            redirect.check(&format!("{at}.redirect"), report);
            for (field, is_there) in [("fault", self.fault.is_some()), ("rewrite", self.rewrite.is_some())] {
                if is_there {
                    let cause = "cannot stand beside a redirect";
                    report.bad(&format!("{at}.{field}"), cause, "remove one of the two");
                }
            }
        }
        if let Some(answer) = &self.direct_response {
            if !(200..=599).contains(&answer.status) {
                let cause = format!("cannot be {}", answer.status);
                report.bad(&format!("{at}.directResponse.status"), &cause, "write a status from 200 to 599");
            }
            let text = answer.body.as_ref().and_then(|body| body.string.as_deref()).unwrap_or_default();
            if text.len() > BODY_BYTES_MAX {
                let cause = format!("has more than {BODY_BYTES_MAX} bytes");
                report.bad(&format!("{at}.directResponse.body"), &cause, "write less");
            }
        }
        if let Some(rewrite) = &self.rewrite {
            rewrite.check(&format!("{at}.rewrite"), report);
        }
        if let Some(headers) = &self.headers {
            headers.check(&format!("{at}.headers"), report);
            if headers.request.is_some() && (self.redirect.is_some() || self.direct_response.is_some()) {
                let cause = "has no effect: the route answers by itself";
                report.no_effect(&format!("{at}.headers.request"), cause, "remove it");
            }
        }
    }
}

fn authority(text: Option<&str>, at: &str, report: &mut ValidationReport<'_>) {
    let host = |text: &str| {
        text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(host, _)| host.to_owned())
    };
    if let Some(text) = text {
        let name = host(text).unwrap_or_else(|| text.to_owned());
        if !syntax::is_host(&name.to_ascii_lowercase(), false) && name.parse::<std::net::IpAddr>().is_err() {
            report.bad(at, &format!("cannot be `{text}`"), "write a host name, with a port if need be");
        }
    }
}

fn path(text: Option<&str>, at: &str, report: &mut ValidationReport<'_>) {
    let is_printable = |text: &str| text.bytes().all(|b| (b'!'..=b'~').contains(&b));
    if let Some(text) = text.filter(|text| !is_printable(text)) {
        report.bad(at, &format!("cannot be `{text}`"), "write a path of printable characters, such as /a/b");
    }
}

impl RedirectSpec {
    fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        path(self.uri.as_deref(), &format!("{at}.uri"), report);
        path(self.prefix_rewrite.as_deref(), &format!("{at}.prefixRewrite"), report);
        authority(self.authority.as_deref(), &format!("{at}.authority"), report);
        if self.uri.is_some() && self.prefix_rewrite.is_some() {
            report.bad(at, "sets both `uri` and `prefixRewrite`", "keep one of them");
        }
        if self.port.is_some() && self.derive_port.is_some() {
            report.bad(at, "sets both `port` and `derivePort`", "keep one of them");
        }
        if let Some(port) = self.port {
            report.port(&format!("{at}.port"), port);
        }
        if let Some(scheme) = self.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https")) {
            report.bad(&format!("{at}.scheme"), &format!("cannot be `{scheme}`"), "write `http` or `https`");
        }
        if let Some(code) = self.redirect_code
            && !matches!(code, 301 | 302 | 303 | 307 | 308)
        {
            let fix = "write 301, 302, 303, 307 or 308";
            report.bad(&format!("{at}.redirectCode"), &format!("cannot be {code}"), fix);
        }
    }
}

impl RewriteSpec {
    fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        path(self.uri.as_deref(), &format!("{at}.uri"), report);
        authority(self.authority.as_deref(), &format!("{at}.authority"), report);
        let Some(regex) = &self.uri_regex_rewrite else {
            if self.uri.is_none() && self.authority.is_none() {
                let fix = "add `uri`, `authority` or `uriRegexRewrite`";
                report.refuse(Code::MissingField, at, "says nothing", fix);
            }
            return;
        };
        if self.uri.is_some() {
            report.bad(at, "sets both `uri` and `uriRegexRewrite`", "keep one of them");
        }
        let at = format!("{at}.uriRegexRewrite");
        match regex.pattern.as_deref() {
            Some(pattern) if !pattern.is_empty() => report.regex(&format!("{at}.match"), pattern),
            _ => report.refuse(Code::MissingField, &format!("{at}.match"), "is missing", "add `match`"),
        }
        match regex.rewrite.as_deref() {
            Some(text) => path(Some(text), &format!("{at}.rewrite"), report),
            None => {
                report.refuse(Code::MissingField, &format!("{at}.rewrite"), "is missing", "add `rewrite`")
            }
        }
    }
}

impl HeadersSpec {
    pub(super) fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        if let Some(request) = &self.request {
            request.check(true, &format!("{at}.request"), report);
        }
        if let Some(response) = &self.response {
            response.check(false, &format!("{at}.response"), report);
        }
    }
}

impl HeaderOperationsSpec {
    fn check(&self, is_request: bool, at: &str, report: &mut ValidationReport<'_>) {
        for (field, headers) in [("set", &self.set), ("add", &self.add)] {
            let at = format!("{at}.{field}");
            report.at_most(&at, headers.len(), HEADERS_MAX);
            for (name, value) in headers {
                if is_request && is_authority(name) {
                    continue;
                }
                operation(name, &at, report);
                let is_printable = value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
                if !is_printable || value.len() > HEADER_VALUE_BYTES_MAX || value.trim() != value {
                    report.bad_entry(&at, name, "is no header value", "write printable characters only");
                } else if value.contains('%') {
                    let fix = "write a fixed value, or leave the field to the application";
                    report.bad_entry(&at, name, "has a variable of Envoy's, which is not supported yet", fix);
                }
            }
        }
        let at = format!("{at}.remove");
        report.at_most(&at, self.remove.len(), HEADERS_MAX);
        for name in &self.remove {
            operation(name, &at, report);
        }
    }
}

/// Whether an edit of this field is one of the request's host.
pub fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

fn operation(name: &str, at: &str, report: &mut ValidationReport<'_>) {
    if !syntax::is_token(name) {
        report.bad(at, &format!("has `{name}`, which is no name of a header field"), "correct the name");
        return;
    }
    let (why, fix) = match untouched(name) {
        None => return,
        Some(Untouched::Host) => ("names the request's host", "use `rewrite.authority`"),
        Some(Untouched::Framing) => {
            ("says where the message ends", "remove it: the proxy writes what is true")
        }
        Some(Untouched::OneHop) => ("is for one hop only, and the proxy is one", "remove it"),
        Some(Untouched::Protected) => ("is written by proxies only", "remove it, or use another name"),
    };
    report.no_effect(at, &format!("has `{name}`, which {why}, so the edit has no effect"), fix);
}
