//! What a rule does to a request and its response beside choosing a backend: each filter's configuration.
//!
//! A filter is one type here, which is also its JSON form on the control stream and in the dump, and one file with its
//! behaviour in `decide::filter`.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

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

/// `HTTPRequestRedirectFilter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `None`: keep.
    pub scheme: Option<Arc<str>>,
    /// `None`: keep.
    pub hostname: Option<Arc<str>>,
    /// `None`: Gateway API's rule (port of the scheme, else the listener's).
    pub port: Option<u16>,
    /// `None`: keep.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// `HTTPURLRewriteFilter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// New host; `None`: keep.
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
    /// Replace the matched prefix.
    Prefix(Arc<str>),
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
