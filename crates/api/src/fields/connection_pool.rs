//! Istio's `ConnectionPoolSettings`, of a port of a `DestinationRule` and of a `Sidecar`. Read, and told of: none of it has
//! an effect there. Where it is in force: `backend_pool`.

use crate::decode::Ignored;
use serde::Deserialize;

/// `connectionPool`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionPoolSpec {
    /// For every connection.
    pub tcp: Option<TcpPoolSpec>,
    /// For HTTP.
    pub http: Option<HttpPoolSpec>,
}

/// `connectionPool.tcp`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct TcpPoolSpec {
    pub max_connections: Option<Ignored>,
    pub connect_timeout: Option<Ignored>,
    pub tcp_keepalive: Option<TcpKeepaliveSpec>,
    pub max_connection_duration: Option<Ignored>,
    pub idle_timeout: Option<Ignored>,
}

/// `connectionPool.tcp.tcpKeepalive`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct TcpKeepaliveSpec {
    pub probes: Option<Ignored>,
    pub time: Option<Ignored>,
    pub interval: Option<Ignored>,
}

/// `connectionPool.http`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct HttpPoolSpec {
    #[serde(rename = "http1MaxPendingRequests")]
    pub http1_max_pending_requests: Option<Ignored>,
    #[serde(rename = "http2MaxRequests")]
    pub http2_max_requests: Option<Ignored>,
    pub max_requests_per_connection: Option<Ignored>,
    pub max_retries: Option<Ignored>,
    pub idle_timeout: Option<Ignored>,
    #[serde(rename = "h2UpgradePolicy")]
    pub h2_upgrade_policy: Option<Ignored>,
    pub use_client_protocol: Option<Ignored>,
    pub max_concurrent_streams: Option<Ignored>,
    #[serde(rename = "http2KeepAlive")]
    pub http2_keep_alive: Option<Http2KeepAliveSpec>,
}

/// `connectionPool.http.http2KeepAlive`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct Http2KeepAliveSpec {
    pub interval: Option<Ignored>,
    pub timeout: Option<Ignored>,
}
