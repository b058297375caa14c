//! Gateway API `HTTPRoute` (v1, v1beta1), with the experimental `retry` and `timeouts`.

use crate::decode::Unsupported;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// `HTTPRoute` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// At most 32.
    pub parent_refs: Vec<ParentRef>,
    /// At most 16.
    pub hostnames: Vec<String>,
    /// 1 to 16; absent means one rule that matches everything and leads nowhere.
    pub rules: Vec<HttpRouteRule>,
    /// Not supported yet.
    pub use_default_gateways: Option<Unsupported>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// What a route is attached to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Absent: `gateway.networking.k8s.io`; empty: core.
    #[serde(default)]
    pub group: Option<String>,
    /// Absent: `Gateway`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Absent: the route's.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Name of the parent.
    pub name: String,
    /// Listener of a gateway.
    #[serde(default)]
    pub section_name: Option<String>,
    /// Port of a service, or of a gateway's listeners.
    #[serde(default)]
    pub port: Option<u16>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRule {
    /// Unique in the route.
    pub name: Option<String>,
    /// Any must match; empty: all requests.
    pub matches: Vec<HttpRouteMatch>,
    /// In order.
    pub filters: Vec<HttpRouteFilter>,
    /// Weighted destinations.
    pub backend_refs: Vec<HttpBackendRef>,
    /// Time limits.
    pub timeouts: Option<Timeouts>,
    /// Experimental channel.
    pub retry: Option<Retry>,
    /// Not supported yet.
    pub session_persistence: Option<Unsupported>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// Conditions; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteMatch {
    /// Absent: prefix `/`.
    pub path: Option<PathMatch>,
    /// All must hold.
    pub headers: Vec<ValueMatch>,
    /// All must hold.
    pub query_params: Vec<ValueMatch>,
    /// Exact method.
    pub method: Option<Method>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// The methods that a match may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
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

impl Method {
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
pub struct PathMatch {
    /// Absent: `PathPrefix`.
    #[serde(rename = "type")]
    pub match_type: Option<PathMatchType>,
    /// Absent: `/`.
    pub value: Option<String>,
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

/// A condition on a header or query parameter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueMatch {
    /// Absent: `Exact`.
    #[serde(rename = "type", default)]
    pub match_type: Option<ValueMatchType>,
    /// Name.
    pub name: String,
    /// Value or expression.
    pub value: String,
}

/// How a value is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ValueMatchType {
    /// Equal.
    Exact,
    /// RE2-like, over the whole value.
    RegularExpression,
}

/// One filter; exactly the field that `type` names is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteFilter {
    /// Which.
    #[serde(rename = "type")]
    pub filter_type: FilterType,
    /// For `RequestHeaderModifier`.
    #[serde(default)]
    pub request_header_modifier: Option<HeaderFilter>,
    /// For `ResponseHeaderModifier`.
    #[serde(default)]
    pub response_header_modifier: Option<HeaderFilter>,
    /// For `RequestRedirect`.
    #[serde(default)]
    pub request_redirect: Option<RedirectFilter>,
    /// For `URLRewrite`.
    #[serde(default)]
    pub url_rewrite: Option<RewriteFilter>,
    /// Not supported yet.
    #[serde(default)]
    pub request_mirror: Option<IgnoredAny>,
    /// Not supported yet.
    #[serde(default)]
    pub cors: Option<IgnoredAny>,
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
pub enum FilterType {
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

/// Changes to headers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderFilter {
    /// Replace.
    pub set: Vec<Header>,
    /// Append.
    pub add: Vec<Header>,
    /// Delete.
    pub remove: Vec<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Header {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// `requestRedirect`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedirectFilter {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// New host.
    pub hostname: Option<String>,
    /// New path.
    pub path: Option<PathModifier>,
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
pub struct RewriteFilter {
    /// New host.
    pub hostname: Option<String>,
    /// New path.
    pub path: Option<PathModifier>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// How a path is replaced; exactly the field that `type` names is set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// Which.
    #[serde(rename = "type")]
    pub modifier_type: PathModifierType,
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
pub enum PathModifierType {
    ReplaceFullPath,
    ReplacePrefixMatch,
}

/// One destination.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpBackendRef {
    /// Absent or empty: core; `leno.dev` for GlobalService and Backend.
    #[serde(default)]
    pub group: Option<String>,
    /// Absent: `Service`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Absent: the route's; another one is refused until ReferenceGrant is read.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Required for `Service`.
    #[serde(default)]
    pub port: Option<u16>,
    /// Share; absent: 1.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Not supported yet.
    #[serde(default)]
    pub filters: Option<Unsupported>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `timeouts`, GEP-2257 durations; `0s` switches one off.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// The whole exchange.
    pub request: Option<String>,
    /// Each attempt; at most `request`.
    pub backend_request: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `retry` (experimental channel).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// 400 to 599.
    pub codes: Vec<u16>,
    /// Further attempts, from 1; absent: 2, as without a policy.
    pub attempts: Option<u32>,
    /// Smallest wait, a GEP-2257 duration.
    pub backoff: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}
