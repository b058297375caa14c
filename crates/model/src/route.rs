//! Routing rules: one resource for each rule of an `HTTPRoute`, a `GRPCRoute` or a `VirtualService`, pointing to its
//! parent. A plain rule is small: what few rules say is behind a box, and empty costs nothing. Filters are in `filter`.

use crate::filter::FilterConfig;
use crate::id::Hostname;
use crate::origin::Origin;
pub use crate::pattern::Pattern;
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
    /// Traffic entering through a `Gateway`. `listener` empty: every HTTP listener that it
    /// lists itself.
    Gateway {
        /// Namespace of the gateway.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
        /// `sectionName`, or empty.
        listener: Arc<str>,
    },
}

/// Which of several rules that match a request is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precedence {
    /// The more specific match, then the older route (Gateway API).
    #[default]
    Specific,
    /// The one that was written first (Istio): by `index`, then by the place of the match. Where one of these names the
    /// host of a request, rules of other hosts are not asked.
    Written,
}

/// One rule of one route under one parent. Gateway API `HTTPRouteRule`, `GRPCRouteRule`; Istio `HTTPRoute`.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRule {
    /// What it is attached to.
    pub parent: Parent,
    /// Route object and line; also the access log's `route_name`.
    pub origin: Origin,
    /// Index of the rule in its route, from 0.
    pub index: u32,
    /// What users call it.
    pub name: Option<Arc<str>>,
    /// Which order counts for it.
    pub precedence: Precedence,
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

impl RouteRule {
    /// A rule that matches everything and leads nowhere, for the fields that matter to be set.
    pub fn new(parent: Parent, origin: Origin) -> Self {
        Self {
            parent,
            origin,
            index: 0,
            name: None,
            precedence: Precedence::Specific,
            created_s: 0,
            consumer: None,
            hosts: Vec::new(),
            matches: Vec::new(),
            filters: Vec::new(),
            backends: Vec::new(),
            request_timeout: None,
            backend_timeout: None,
            retry: None,
        }
    }
}

impl RouteRule {
    /// Hosts that requests go to, as themselves or as copies.
    pub fn led_to(&self) -> impl Iterator<Item = &Hostname> {
        let hosts = self.backends.iter().filter_map(|backend| backend.host.as_ref());
        let filters = self.filters.iter().chain(self.backends.iter().flat_map(|backend| &backend.filters));
        hosts.chain(filters.filter_map(|filter| match filter {
            FilterConfig::Mirror(mirror) => Some(&mirror.host),
            _ => None,
        }))
    }
}

/// How a host name is matched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Exactly this name.
    Exact(Hostname),
    /// At least one label before this suffix (`*.example.com` is `example.com`).
    Suffix(Hostname),
    /// At least one character before this text, in lower case (Istio's `*-a.example.com` is `-a.example.com`).
    Ending(Arc<str>),
}

/// One set of conditions; all must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteMatch {
    /// On each reading of the path (`decide::path`).
    pub path: PathMatch,
    /// `None`: any.
    pub method: Option<StringMatch>,
    /// All must hold.
    pub headers: Vec<ValueMatch>,
    /// All must hold.
    pub query: Vec<ValueMatch>,
    /// What only Istio's routes ask for.
    pub extra: Option<Box<ExtraConditions>>,
}

/// Conditions that few rules have; all must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtraConditions {
    /// None of these may hold.
    pub without_headers: Vec<ValueMatch>,
    /// By which the caller called: `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// The authority in lower case, with its port if it names one.
    pub authority: Option<StringMatch>,
    /// Port of the service or listener that was called.
    pub port: Option<u16>,
    /// Which proxies follow the rule. Each knows itself, and leaves out the matches that are for others.
    pub source: Option<SourceMatch>,
}

/// A condition on the workload whose proxy it is, at a gateway on the gateway's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceMatch {
    /// Its namespace; `None`: any.
    pub namespace: Option<Arc<str>>,
    /// Labels that it has, with these values.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
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
    /// By its first characters: `/a` matches `/ab` too (Istio's `prefix`).
    StringPrefix(Arc<str>),
    /// As `Exact`, in any case of ASCII letters.
    ExactIgnoreCase(Arc<str>),
    /// As `StringPrefix`, in any case of ASCII letters.
    StringPrefixIgnoreCase(Arc<str>),
    /// A call of gRPC to one of these methods; no other request has a path of this sort.
    Grpc(Box<GrpcMethodMatch>),
}

/// Which methods of gRPC are matched. Gateway API `GRPCMethodMatch`: one type for both parts.
#[derive(Clone, Debug, PartialEq)]
pub enum GrpcMethodMatch {
    /// By name.
    Exact {
        /// With its package; `None`: any.
        service: Option<Arc<str>>,
        /// `None`: any.
        method: Option<Arc<str>>,
    },
    /// By RE2-like expressions over the whole name.
    Regex {
        /// With its package; `None`: any.
        service: Option<Pattern>,
        /// `None`: any.
        method: Option<Pattern>,
    },
}

impl GrpcMethodMatch {
    /// Every call.
    pub const ANY: Self = Self::Exact { service: None, method: None };
}

impl Default for PathMatch {
    /// Every path.
    fn default() -> Self {
        Self::Prefix("".into())
    }
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
    /// Begins so.
    Prefix(Arc<str>),
    /// There is one, whatever it says.
    Present,
}

/// One weighted destination.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteBackend {
    /// Where to; `None`: a reference that could not be resolved, answered with 500 (Gateway API).
    pub host: Option<Hostname>,
    /// Service port.
    pub port: u16,
    /// Share, from 0.
    pub weight: u32,
    /// What is done to the requests that go here, after the rule's filters, and to their responses, before them.
    pub filters: Box<[FilterConfig]>,
}

impl RouteBackend {
    /// A backend without filters.
    pub fn new(host: Option<Hostname>, port: u16, weight: u32) -> Self {
        Self { host, port, weight, filters: Box::default() }
    }
}

/// Gateway API `HTTPRouteRetry`, Istio `HTTPRetry`. Limits what may be tried again beyond what is always safe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryPolicy {
    /// Further attempts after the first.
    pub attempts: u32,
    /// Response codes to try again on, beside connection errors.
    pub codes: Vec<u16>,
    /// Smallest wait before a further attempt.
    pub backoff: Duration,
    /// What is tried again; `None`: what Gateway API says, which is failed connections and `codes`.
    pub conditions: Option<Vec<RetryCondition>>,
    /// Where further attempts go.
    pub hosts: RetryHosts,
}

/// What an attempt may end with to be tried again: Envoy's `retry_on` and `retry_grpc_on`, by its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are Envoy's")]
pub enum RetryCondition {
    ServerError,
    GatewayError,
    Reset,
    ResetBeforeRequest,
    ConnectFailure,
    RefusedStream,
    Retriable4xx,
    /// Those of [`RetryPolicy::codes`].
    RetriableStatusCodes,
    GrpcCancelled,
    GrpcDeadlineExceeded,
    GrpcInternal,
    GrpcResourceExhausted,
    GrpcUnavailable,
}

impl RetryCondition {
    /// All of them, with Envoy's names.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("5xx", Self::ServerError),
        ("gateway-error", Self::GatewayError),
        ("reset", Self::Reset),
        ("reset-before-request", Self::ResetBeforeRequest),
        ("connect-failure", Self::ConnectFailure),
        ("refused-stream", Self::RefusedStream),
        ("retriable-4xx", Self::Retriable4xx),
        ("retriable-status-codes", Self::RetriableStatusCodes),
        ("cancelled", Self::GrpcCancelled),
        ("deadline-exceeded", Self::GrpcDeadlineExceeded),
        ("internal", Self::GrpcInternal),
        ("resource-exhausted", Self::GrpcResourceExhausted),
        ("unavailable", Self::GrpcUnavailable),
    ];

    /// The one that Envoy calls so.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == name).map(|(_, condition)| *condition)
    }

    /// Envoy's name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, condition)| *condition == self).map_or("", |(name, _)| name)
    }
}

/// Where further attempts go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryHosts {
    /// To endpoints not tried yet, the nearer priority first, and further away when all of it were.
    #[default]
    NotTried,
    /// To any endpoint, the same one too (Istio's `retryIgnorePreviousHosts: false`).
    Any,
    /// To the next priority once one attempt in this one has failed (Istio's `retryRemoteLocalities`).
    NextPriority,
}

impl RetryPolicy {
    /// Further attempts where nobody names a number; Istio's default.
    pub const ATTEMPTS_DEFAULT: u32 = 2;
    /// Smallest wait before a second and later further attempt where nobody names one; Envoy's default.
    pub const BACKOFF_DEFAULT: Duration = Duration::from_millis(25);
}
