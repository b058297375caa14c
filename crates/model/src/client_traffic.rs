//! How a gateway's listener treats those who call it, and whose word it takes on who that is, in the words of Envoy
//! Gateway's `ClientTrafficPolicy`. `TrafficPolicy.spec.client` says it by field, `decide::client_traffic` merges what
//! several say.

use crate::authz::Cidr;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// What is said of a listener; `None`: the default of `MeshSettings`, or the built-in one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTraffic {
    /// Connections begin with a header of the PROXY protocol; `None`: such a header is no HTTP and no TLS.
    pub proxy_protocol: Option<ProxyProtocolIn>,
    /// By what callers are known that came through proxies.
    pub client_ip_detection: Option<ClientIpDetection>,
    /// What becomes of `x-forwarded-client-cert`; `None`: nobody gets one.
    pub forward_client_cert: Option<ForwardClientCert>,
    /// What becomes of headers with `_` in their names.
    pub with_underscores: Option<UnderscoresAction>,
    /// What becomes of `x-request-id`.
    pub request_id: Option<RequestIdAction>,
    /// How long an opaque connection may carry nothing.
    pub tcp_idle_timeout: Option<Duration>,
    /// How long a connection may be open without a request.
    pub http_idle_timeout: Option<Duration>,
    /// How long a request may be under way without a byte passing.
    pub stream_idle_timeout: Option<Duration>,
    /// From the first byte of a request's head to its last.
    pub request_headers_timeout: Option<Duration>,
    /// From the end of a request's head to the end of its body; `None`: no limit but that it keeps coming.
    pub request_received_timeout: Option<Duration>,
    /// After that a connection for HTTP takes no further request; `None`: no limit.
    pub max_connection_duration: Option<Duration>,
}

/// `proxyProtocol`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyProtocolIn {
    /// Who may say so. A header of anybody else: the connection is refused.
    pub trusted_cidrs: Vec<Cidr>,
    /// A connection without one is served all the same, as that of who made it.
    pub optional: bool,
}

/// `clientIPDetection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ClientIpDetection {
    /// By `x-forwarded-for`, past this many proxies in front, whatever their addresses.
    TrustedHops(u32),
    /// By `x-forwarded-for`, past proxies at these addresses.
    TrustedCidrs(Vec<Cidr>),
    /// By another header.
    CustomHeader(ClientAddressHeader),
}

/// `clientIPDetection.customHeader`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientAddressHeader {
    /// In lower case.
    pub name: Arc<str>,
    /// Who may say so; of anybody else it is taken out.
    pub trusted_cidrs: Vec<Cidr>,
    /// 403 where one of those does not say it, or no address.
    pub fail_closed: bool,
}

/// `headers.xForwardedClientCert`, Istio's `forwardClientCertDetails`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ForwardClientCert {
    /// What becomes of the one that came.
    pub mode: ForwardClientCertMode,
    /// What is said beside `By` and `Hash`, in Envoy's order.
    pub details: Vec<ClientCertDetail>,
}

/// Envoy's `ForwardClientCertDetails`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardClientCertMode {
    /// It is taken out.
    #[default]
    Sanitize,
    /// It passes where the caller's certificate is valid.
    ForwardOnly,
    /// Likewise, and the caller's certificate is added.
    AppendForward,
    /// It is replaced by the caller's certificate.
    SanitizeSet,
    /// It passes in any case.
    AlwaysForwardOnly,
}

/// Envoy's `SetCurrentClientCertDetails`, and its `URI`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ClientCertDetail {
    /// PEM of the certificate, URL-encoded.
    Cert,
    /// Likewise of the chain.
    Chain,
    /// The subject, as RFC 2253 writes it.
    Subject,
    /// Alternative names that are URIs.
    Uri,
    /// Alternative names that are DNS names.
    Dns,
}

/// Envoy's `headers_with_underscores_action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnderscoresAction {
    /// They pass, but for those that applications take for headers which only proxies may set.
    #[default]
    Allow,
    /// They are taken out.
    DropHeader,
    /// 400.
    RejectRequest,
}

/// Envoy Gateway's `headers.requestID`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestIdAction {
    /// The caller's is kept; one is made where there is none.
    #[default]
    PreserveOrGenerate,
    /// The caller's is kept, and none is made.
    Preserve,
    /// One is made, whatever came.
    Generate,
    /// The caller's is taken out, and none is made.
    Disable,
}
