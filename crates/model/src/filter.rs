//! What a rule does to a request and its response beside choosing a backend: each filter's configuration.
//!
//! A filter is one type here, which is also its JSON form on the control stream and in the dump, and one file with its
//! behaviour in `decide::filter`.

use crate::id::Hostname;
use crate::pattern::Pattern;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The filters, by the names of the Gateway API where it has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "filter", content = "config")]
pub enum FilterConfig {
    /// `RequestHeaderModifier`.
    #[serde(rename = "RequestHeaderModifier")]
    RequestHeaders(RequestHeaders),
    /// `ResponseHeaderModifier`.
    #[serde(rename = "ResponseHeaderModifier")]
    ResponseHeaders(ResponseHeaders),
    /// `RequestRedirect`; no backend is called.
    #[serde(rename = "RequestRedirect")]
    Redirect(Redirect),
    /// `URLRewrite`.
    #[serde(rename = "URLRewrite")]
    Rewrite(Rewrite),
    /// Envoy's `direct_response`, Istio's `directResponse`; no backend is called.
    DirectResponse(DirectResponse),
    /// Envoy's `always_set_request_id_in_response`.
    EchoRequestId(EchoRequestId),
    /// `RequestMirror`.
    #[serde(rename = "RequestMirror")]
    Mirror(Mirror),
    /// `CORS`.
    #[serde(rename = "CORS")]
    Cors(Box<Cors>),
    /// Istio's `fault`.
    Fault(Box<FaultInjection>),
}

/// Edits of the request's headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestHeaders(pub HeaderEdit);

/// Edits of the response's headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResponseHeaders(pub HeaderEdit);

/// Applied in the order set, add, remove (Gateway API `HTTPHeaderFilter`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdit {
    /// Replace.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Append.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Delete.
    pub remove: Vec<Arc<str>>,
}

/// `HTTPRequestRedirectFilter`, Istio's `HTTPRedirect`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `None`: keep.
    pub scheme: Option<Arc<str>>,
    /// With a port, if it names one; `None`: keep.
    pub hostname: Option<Arc<str>>,
    /// `None`: it is derived.
    pub port: Option<u16>,
    /// How.
    #[serde(default, skip_serializing_if = "is_default")]
    pub derived_port: DerivedPort,
    /// `None`: keep.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Where a redirect has its port from when it names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DerivedPort {
    /// The usual one of the redirect's scheme; without one the listener's (Gateway API).
    #[default]
    SchemeOrListener,
    /// The listener's (Istio's `FROM_REQUEST_PORT`).
    Listener,
    /// The one that the caller named, if host and scheme stay; else the usual one of the scheme (Envoy, and so Istio's
    /// default).
    Authority,
}

/// `HTTPURLRewriteFilter`, Istio's `HTTPRewrite`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// New host, with a port if it names one; `None`: keep.
    pub hostname: Option<Arc<str>>,
    /// New path; `None`: keep.
    pub path: Option<PathRewrite>,
}

/// `HTTPPathModifier`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PathRewrite {
    /// Replace all of it.
    Full(Arc<str>),
    /// Replace the matched prefix; it ends and what follows begins with one slash.
    Prefix(Arc<str>),
    /// Replace what the match covers by this text as it is (Envoy's `prefix_rewrite`).
    StringPrefix(Arc<str>),
    /// Replace every match of an RE2-like expression; `\1` to `\9` are its groups and `\0` is all of it (Istio's
    /// `uriRegexRewrite`).
    Regex {
        /// What is replaced.
        pattern: Pattern,
        /// By what.
        substitution: Arc<str>,
    },
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// Text; empty: none.
    pub body: Arc<str>,
}

/// Responses carry the `x-request-id` of their request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EchoRequestId {}

/// A share of all requests: `numerator` of `denominator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fraction {
    /// So many.
    pub numerator: u32,
    /// Of so many; 0 counts as 1.
    pub denominator: u32,
}

impl Fraction {
    /// Every request.
    pub const ALL: Self = Self { numerator: 1, denominator: 1 };

    /// So many percent, to a ten-thousandth of one as Envoy has it.
    pub fn percent(percent: f64) -> Self {
        let parts = (percent.clamp(0.0, 100.0) * 10_000.0).round();
        Self { numerator: parts as u32, denominator: 1_000_000 }
    }
}

/// `HTTPRequestMirrorFilter`, Istio's `HTTPMirrorPolicy`: a copy of the request goes to one endpoint of a service. What
/// it answers is not looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Where to.
    pub host: Hostname,
    /// Service port.
    pub port: u16,
    /// Of how many requests.
    pub share: Fraction,
    /// What is put behind the host name of the copy's authority, as Envoy's `-shadow`; empty: nothing.
    #[serde(default)]
    pub host_suffix: Arc<str>,
}

/// `HTTPCORSFilter`, Istio's `CorsPolicy`: says to browsers which pages may call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Whose pages.
    pub allow_origins: Vec<OriginMatch>,
    /// With which methods; `*`: all. `GET`, `HEAD` and `POST` are always allowed by browsers.
    pub allow_methods: Vec<Arc<str>>,
    /// With which header fields; `*`: all.
    pub allow_headers: Vec<Arc<str>>,
    /// Which header fields of the response they may read; `*`: all.
    pub expose_headers: Vec<Arc<str>>,
    /// Whether they may send cookies and the like.
    pub allow_credentials: bool,
    /// How long a browser may remember the answer; `None`: as long as it likes.
    pub max_age_s: Option<u32>,
    /// What becomes of the preflight request of other pages.
    pub unmatched_preflights: UnmatchedPreflights,
}

/// What becomes of a preflight request by a page that no origin matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnmatchedPreflights {
    /// It is answered without the header fields that would allow anything (Gateway API; Istio's `IGNORE`).
    #[default]
    Answered,
    /// It goes on to the backend (Istio's `FORWARD`, and its default).
    Forwarded,
}

/// Which `origin` is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginMatch {
    /// Every one.
    Any,
    /// This one, in any case of its letters.
    Exact(Arc<str>),
    /// Whichever begins so.
    Prefix(Arc<str>),
    /// RE2-like expression over the whole of it.
    Regex(Pattern),
    /// `before`, at least one character, `after` (Gateway API's `https://*.example.com`).
    Wildcard {
        /// Up to the star.
        before: Arc<str>,
        /// Behind it.
        after: Arc<str>,
    },
}

/// Envoy's fault filter, Istio's `HTTPFaultInjection`: some requests wait, some fail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultInjection {
    /// First some wait.
    pub delay: Option<FaultDelay>,
    /// Then some fail.
    pub abort: Option<FaultAbort>,
}

/// Requests that wait before they go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultDelay {
    /// How long.
    pub fixed: Duration,
    /// How many.
    pub share: Fraction,
}

/// Requests that fail without reaching a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultAbort {
    /// With what.
    pub with: AbortStatus,
    /// How many.
    pub share: Fraction,
}

/// What an aborted request is told. Whoever speaks gRPC is told in its form, by the mapping of gRPC's specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortStatus {
    /// A status of HTTP, 200 to 599.
    Http(u16),
    /// A status of gRPC, 0 to 16.
    Grpc(u8),
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
