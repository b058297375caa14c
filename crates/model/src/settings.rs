//! Settings of the whole mesh that proxies need: one small resource, sent only when something in it was set.

use crate::address::MeshPrefix;
use crate::authz::Cidr;
use std::sync::Arc;
use std::time::Duration;

/// What every proxy of the mesh does alike. The default is what holds without a `MeshSettings` object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshSettings {
    /// How paths of requests are read and passed on.
    pub path: PathNormalization,
    /// How connections of callers are treated.
    pub http: HttpConnections,
    /// Where mesh-only addresses of IPv6 lie.
    pub ipv6_prefix: MeshPrefix,
    /// What applications may call outside the mesh.
    pub egress: Egress,
}

/// `outbound` and `egress`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Egress {
    /// Destinations that nobody described.
    pub mode: EgressMode,
    /// Addresses of metadata services that may be called all the same.
    pub allowed_metadata: Vec<Cidr>,
}

/// Istio's `outboundTrafficPolicy.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EgressMode {
    /// They are called as the application does.
    #[default]
    AllowAny,
    /// They are refused.
    RegistryOnly,
    /// They are called at an address of the name that the application says, and refused where it says none.
    AllowAnyDynamicDns,
}

/// `pathNormalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathNormalization {
    /// What is done to every path.
    pub normalization: Normalization,
    /// What is done to a path with an encoded `/` or `\`.
    pub escaped_slashes: EscapedSlashesAction,
}

/// Istio's `MeshConfig.ProxyPathNormalization.NormalizationType`. Each does what the one before it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Normalization {
    /// Paths are forwarded byte for byte.
    None,
    /// Dot segments are resolved, and escapes of unreserved characters decoded (RFC 3986 section 6.2.2).
    #[default]
    Base,
    /// Runs of slashes become one.
    MergeSlashes,
    /// `%2F` and `%5C` become `/` first.
    DecodeAndMergeSlashes,
}

/// Envoy's `path_with_escaped_slashes_action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashesAction {
    /// Forwarded as it came, as far as no two readings of it have different verdicts.
    #[default]
    KeepUnchanged,
    /// 400.
    RejectRequest,
    /// 307 to the path with plain slashes; gRPC calls are refused.
    UnescapeAndRedirect,
    /// They become plain slashes.
    UnescapeAndForward,
}

/// `httpConnectionManager`: fields of Envoy's message of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConnections {
    /// Proxies in front of the gateways whose entries in `x-forwarded-for` are believed, from 0.
    pub xff_num_trusted_hops: u32,
    /// Addresses of such proxies; instead of the number.
    pub xff_trusted_cidrs: Vec<Cidr>,
    /// How long a caller's connection may be open without a request.
    pub idle_timeout: Duration,
    /// How long a request may be under way without a byte passing in either direction.
    pub stream_idle_timeout: Duration,
    /// Protocols that a request may be upgraded to, in lower case (Envoy's `upgrade_configs`).
    pub upgrade_types: Vec<Arc<str>>,
    /// How long an upgraded stream may be open without a byte passing in either direction.
    pub upgrade_idle_timeout: Duration,
}

impl HttpConnections {
    /// Longer than Google's load balancers keep connections to their backends (600 s, not to be set there). With
    /// a shorter one we might close just as the balancer sends the next request, which it would answer with 502.
    pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(620);
    /// Envoy's default.
    pub const STREAM_IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);
    /// As of opaque connections; what was upgraded is one (Envoy's default of `tcp_proxy.idle_timeout`).
    pub const UPGRADE_IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3600);
    /// On wherever nothing says otherwise, as in Istio.
    pub const WEBSOCKET: &str = "websocket";
    /// Stands for the method CONNECT among `upgrade_types`, as in Envoy.
    pub const CONNECT: &str = "connect";
    /// Entries of `upgrade_types`; more: refused where they are configured.
    pub const UPGRADE_TYPES_MAX: usize = 16;
    /// Entries of `x-forwarded-for` that may be believed; more: refused where it is configured.
    pub const XFF_TRUSTED_HOPS_MAX: u32 = 32;
    /// Blocks of addresses; more: refused where they are configured. The largest CDNs publish about 200.
    pub const XFF_TRUSTED_CIDRS_MAX: usize = 512;
    /// Longest that any time-out may be. None may be zero: everything has a limit.
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
}

impl HttpConnections {
    /// Whether a request may be upgraded to `protocol`.
    pub fn upgrades_to(&self, protocol: &str) -> bool {
        self.upgrade_types.iter().any(|known| known.eq_ignore_ascii_case(protocol))
    }
}

impl Default for HttpConnections {
    fn default() -> Self {
        Self {
            xff_num_trusted_hops: 0,
            xff_trusted_cidrs: Vec::new(),
            idle_timeout: Self::IDLE_TIMEOUT_DEFAULT,
            stream_idle_timeout: Self::STREAM_IDLE_TIMEOUT_DEFAULT,
            upgrade_types: vec![Self::WEBSOCKET.into()],
            upgrade_idle_timeout: Self::UPGRADE_IDLE_TIMEOUT_DEFAULT,
        }
    }
}
