//! How the endpoints of a service are used, in the words of Istio's `DestinationRule` and of Envoy. Policies say it
//! by field, `decide::attach` merges what several of them say.

use crate::backend_tls::BackendTls;
use crate::origin::Origin;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What one policy says; `None`: nothing of this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficPolicy {
    /// How an endpoint is chosen among those of the best priority.
    pub load_balancer: Option<LoadBalancer>,
    /// TLS to endpoints that are not of the mesh. Left out where nothing is said, for proxies that do not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTls>,
    /// The same for single ports of the service, which counts before what is said for all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub port_tls: BTreeMap<u16, BackendTls>,
    /// Connections to endpoints that are not of the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<Arc<ConnectionPool>>,
}

/// `connectionPool`, as far as it is about single connections; `None`: the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionPool {
    /// For a TCP connection to be made.
    pub connect_timeout: Option<Duration>,
    /// When the kernel asks whether the other end is still there.
    pub tcp_keepalive: Option<TcpKeepaliveProbes>,
    /// How long an opaque connection may carry nothing.
    pub tcp_idle_timeout: Option<Duration>,
    /// How long a connection for HTTP is kept without a request.
    pub http_idle_timeout: Option<Duration>,
    /// Requests that a connection for HTTP/1.1 carries; `None`: any number.
    pub max_requests_per_connection: Option<NonZeroU32>,
    /// After that a connection for HTTP takes no further request.
    pub max_connection_duration: Option<Duration>,
}

/// `tcpKeepalive`; `None`: as for every connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpKeepaliveProbes {
    /// Unanswered ones before the connection is given up.
    pub probes: Option<u32>,
    /// Idle time before the first one.
    pub time: Option<Duration>,
    /// Between them.
    pub interval: Option<Duration>,
}

/// `loadBalancer` of a `DestinationRule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum LoadBalancer {
    /// One of the standard ways.
    Simple(SimpleLoadBalancer),
    /// Requests that are alike go to the same endpoint.
    ConsistentHash(ConsistentHash),
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self::Simple(SimpleLoadBalancer::LeastRequest)
    }
}

/// `loadBalancer.consistentHash`: what makes requests alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsistentHash {
    /// The value of this header, lower case; requests without it go anywhere.
    pub http_header_name: Arc<str>,
}

/// `loadBalancer.simple`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleLoadBalancer {
    /// The less busy of two drawn by weight.
    LeastRequest,
    /// One after the other, by weight.
    RoundRobin,
}

/// What a policy points to, from the widest to the narrowest: of two that say the same field, the narrower one counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttachLevel {
    /// A `Gateway`.
    Gateway,
    /// A listener of it.
    Listener,
    /// A route.
    Route,
    /// A rule of it.
    Rule,
    /// A Service, GlobalService or Backend.
    Backend,
}

/// A policy as it is attached to something.
#[derive(Clone, Debug, PartialEq)]
pub struct AttachedPolicy {
    /// To what.
    pub level: AttachLevel,
    /// Object and line.
    pub origin: Origin,
    /// `creationTimestamp` as seconds since the epoch: of two of one level the older counts; 0 when unknown.
    pub created_s: u64,
    /// What it says.
    pub policy: Arc<TrafficPolicy>,
}
