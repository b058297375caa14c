//! The filter `CORS` of an `HTTPRoute`.

use crate::syntax;
use crate::validation::ValidationReport;
use serde::Deserialize;

/// Which pages may call, and how.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCorsFilter {
    /// `*`, or `http://` or `https://`, a host that may begin with `*`, and perhaps a port.
    pub allow_origins: Vec<String>,
    /// Absent or false: no cookies.
    pub allow_credentials: Option<bool>,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Header names, or `*`.
    pub allow_headers: Vec<String>,
    /// Header names, or `*`.
    pub expose_headers: Vec<String>,
    /// Seconds; absent: 5.
    pub max_age: Option<u32>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

const LIST_MAX: usize = 64;
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"];

pub(super) fn check(cors: &HttpCorsFilter, at: &str, report: &mut ValidationReport<'_>) {
    let mut list = |field: &str, list: &[String], is_valid: fn(&str) -> bool, fix: &str| {
        let at = format!("{at}.{field}");
        report.at_most(&at, list.len(), LIST_MAX);
        for (index, entry) in list.iter().enumerate().filter(|(_, entry)| !is_valid(entry)) {
            report.bad(&format!("{at}[{index}]"), &format!("cannot be `{entry}`"), fix);
        }
        if field != "exposeHeaders" && list.len() > 1 && list.iter().any(|entry| entry == "*") {
            report.bad(&at, "has `*` beside others", "write `*` alone, or leave it out");
        }
    };
    let origin = "write `*`, or a scheme and a host as in https://*.example.com";
    list("allowOrigins", &cors.allow_origins, is_origin, origin);
    let is_method: fn(&str) -> bool = |text| METHODS.contains(&text);
    list("allowMethods", &cors.allow_methods, is_method, "write a method in capitals, or `*`");
    list("allowHeaders", &cors.allow_headers, syntax::is_token, "write a header name, or `*`");
    list("exposeHeaders", &cors.expose_headers, syntax::is_token, "write a header name, or `*`");
    if cors.max_age == Some(0) {
        report.bad(&format!("{at}.maxAge"), "cannot be 0", "write seconds, from 1");
    }
}

/// A star, or a scheme, a host of which the first characters may be one, and perhaps a port.
fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    let (host, port) = rest.split_once(':').unwrap_or((rest, "80"));
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = !name.is_empty()
        && name.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    (host == "*" || is_name) && port.parse::<u16>().is_ok_and(|port| port > 0)
}
