//! Routing rules: one resource for each rule of an `HTTPRoute`, pointing to its parent.

use crate::filter::FilterConfig;
use crate::id::Hostname;
use crate::origin::Origin;
use std::sync::Arc;
use std::time::Duration;

/// What a rule is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parent {
    /// All traffic of the mesh to a service (GAMMA: `parentRefs` of kind `Service` or `GlobalService`).
    /// `port` 0: every port of it.
    Service {
        /// The service.
        host: Hostname,
        /// Service port, or 0 for all.
        port: u16,
    },
    /// Traffic entering through a `Gateway`. `listener` empty: every HTTP listener of it.
    Gateway {
        /// Namespace of the gateway.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// `sectionName`, or empty.
        listener: Arc<str>,
    },
}

/// One rule of one route under one parent. Gateway API `HTTPRouteRule`.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRule {
    /// What it is attached to.
    pub parent: Parent,
    /// Route object and line; also the access log's `route_name`.
    pub origin: Origin,
    /// Index of the rule in its route, from 0.
    pub index: u32,
    /// `creationTimestamp` as seconds since the epoch, for precedence among equals; 0 when unknown.
    pub created_s: u64,
    /// The namespace whose callers alone it is for (GAMMA: a consumer route); `None`: for all.
    pub consumer: Option<Arc<str>>,
    /// Host names of the route (gateways only); empty: all. `*.example.com` is [`HostMatch::Suffix`].
    pub hosts: Vec<HostMatch>,
    /// Any of these must match; empty: every request (Gateway API: prefix `/`).
    pub matches: Vec<RouteMatch>,
    /// What is done to the request and the response, in order.
    pub filters: Vec<FilterConfig>,
    /// Weighted destinations; empty without a redirect: 500 as Gateway API demands.
    pub backends: Vec<RouteBackend>,
    /// `timeouts.request`: the whole exchange; `None`: no limit.
    pub request_timeout: Option<Duration>,
    /// `timeouts.backendRequest`: each attempt; `None`: the request timeout.
    pub backend_timeout: Option<Duration>,
    /// `retry`; `None`: only what is always safe (see `decide::retry`).
    pub retry: Option<Box<RetryPolicy>>,
}

/// How a host name is matched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Exactly this name.
    Exact(Hostname),
    /// At least one label before this suffix (`*.example.com` is `example.com`).
    Suffix(Hostname),
}

/// One set of conditions; all must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteMatch {
    /// On each reading of the path (`decide::path`).
    pub path: PathMatch,
    /// Exact method; `None`: any.
    pub method: Option<Arc<str>>,
    /// All must hold.
    pub headers: Vec<ValueMatch>,
    /// All must hold.
    pub query: Vec<ValueMatch>,
}

/// How a path is matched.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// Byte for byte.
    Exact(Arc<str>),
    /// By whole segments: `/a` matches `/a` and `/a/b`, not `/ab`. Stored without a trailing slash; `/` is "".
    Prefix(Arc<str>),
    /// RE2-like expression over the whole path.
    Regex(Pattern),
}

/// A header or query condition.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueMatch {
    /// Lower case for headers, as written for query parameters.
    pub name: Arc<str>,
    /// What the value must be.
    pub value: StringMatch,
}

/// How a value is matched.
#[derive(Clone, Debug, PartialEq)]
pub enum StringMatch {
    /// Equal.
    Exact(Arc<str>),
    /// RE2-like expression over the whole value.
    Regex(Pattern),
}

/// The text of a regular expression that `translate` has checked. It is compiled by `decide` when a table
/// is built; one that fails there matches nothing in a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(pub Arc<str>);

/// One weighted destination.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteBackend {
    /// Where to; `None`: a reference that could not be resolved, answered with 500 (Gateway API).
    pub host: Option<Hostname>,
    /// Service port.
    pub port: u16,
    /// Share, from 0.
    pub weight: u32,
}

/// Gateway API `HTTPRouteRetry`. Limits what may be tried again beyond what is always safe.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Further attempts after the first.
    pub attempts: u32,
    /// Response codes to try again on, beside connection errors.
    pub codes: Vec<u16>,
    /// Smallest wait before a further attempt.
    pub backoff: Duration,
}

impl RetryPolicy {
    /// Further attempts where nobody names a number; Istio's default.
    pub const ATTEMPTS_DEFAULT: u32 = 2;
    /// Smallest wait before a second and later further attempt where nobody names one; Envoy's default.
    pub const BACKOFF_DEFAULT: Duration = Duration::from_millis(25);
}
