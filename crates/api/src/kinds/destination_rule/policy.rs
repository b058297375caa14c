//! Istio's `TrafficPolicy`, of a `DestinationRule`, of one of its subsets and of a port.

use crate::decode::{Ignored, Unsupported, UnsupportedField};
use crate::fields::backend_pool::{self, BackendPoolSpec};
use crate::fields::client_tls::{self, TlsOriginationSpec};
use crate::fields::connection_pool::ConnectionPoolSpec;
use crate::ignored::IgnoredField;
use crate::syntax;
use crate::validation::ValidationReport;
use model::traffic::{ConsistentHash, LoadBalancer, SimpleLoadBalancer};
use serde::Deserialize;
use std::collections::HashSet;

/// `trafficPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationPolicySpec {
    /// How an endpoint is chosen.
    pub load_balancer: Option<DestinationBalancerSpec>,
    /// Connections to endpoints that are not of the mesh.
    pub connection_pool: Option<BackendPoolSpec>,
    /// Told.
    pub outlier_detection: Option<OutlierDetectionSpec>,
    /// To endpoints that are not of the mesh.
    pub tls: Option<TlsOriginationSpec>,
    /// For single ports, instead of the above.
    pub port_level_settings: Vec<PortPolicySpec>,
    /// Not supported yet.
    pub tunnel: Option<Unsupported>,
    /// Not supported yet.
    pub proxy_protocol: Option<Unsupported>,
    /// Told.
    pub retry_budget: Option<RetryBudgetSpec>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `portLevelSettings[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortPolicySpec {
    /// Which.
    pub port: Option<PortNumberSpec>,
    /// Told.
    pub load_balancer: Option<DestinationBalancerSpec>,
    /// Told.
    pub connection_pool: Option<ConnectionPoolSpec>,
    /// Told.
    pub outlier_detection: Option<OutlierDetectionSpec>,
    /// To endpoints that are not of the mesh.
    pub tls: Option<TlsOriginationSpec>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// A port by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortNumberSpec {
    /// 1 to 65535.
    pub number: u16,
}

/// `loadBalancer`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationBalancerSpec {
    /// One of the standard ways.
    pub simple: Option<SimpleBalancerSpec>,
    /// Requests that are alike go to the same endpoint.
    pub consistent_hash: Option<DestinationHashSpec>,
    /// Told.
    pub locality_lb_setting: Option<LocalitySettingSpec>,
    /// Told.
    pub zone_aware_lb_setting: Option<ZoneSettingSpec>,
    /// Told.
    pub warmup: Option<WarmupSpec>,
    /// Told.
    pub warmup_duration_secs: Option<Ignored>,
}

impl DestinationBalancerSpec {
    /// What is meant; what is told to have no effect is left to the default.
    pub fn chosen(&self) -> Option<LoadBalancer> {
        let by_header = self.consistent_hash.as_ref().and_then(|hash| hash.http_header_name.as_deref());
        if let Some(header) = by_header {
            let http_header_name = header.to_ascii_lowercase().into();
            return Some(LoadBalancer::ConsistentHash(ConsistentHash { http_header_name }));
        }
        match self.simple? {
            SimpleBalancerSpec::RoundRobin => Some(LoadBalancer::Simple(SimpleLoadBalancer::RoundRobin)),
            SimpleBalancerSpec::LeastRequest | SimpleBalancerSpec::LeastConn => {
                Some(LoadBalancer::Simple(SimpleLoadBalancer::LeastRequest))
            }
            SimpleBalancerSpec::Unspecified
            | SimpleBalancerSpec::Random
            | SimpleBalancerSpec::Passthrough => None,
        }
    }
}

/// `loadBalancer.simple`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleBalancerSpec {
    /// The default.
    Unspecified,
    /// Istio's old name of `LEAST_REQUEST`.
    LeastConn,
    /// Told.
    Random,
    /// Told.
    Passthrough,
    /// One after the other.
    RoundRobin,
    /// The less busy of two.
    LeastRequest,
}

/// `loadBalancer.consistentHash`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationHashSpec {
    /// Requests with the same value of this header are alike.
    pub http_header_name: Option<String>,
    /// Told.
    pub http_cookie: Option<HashCookieSpec>,
    /// Told.
    pub use_source_ip: Option<Ignored>,
    /// Told.
    pub http_query_parameter_name: Option<Ignored>,
    /// Told.
    pub ring_hash: Option<RingHashSpec>,
    /// Told.
    pub maglev: Option<MaglevSpec>,
    /// Told.
    pub minimum_ring_size: Option<Ignored>,
}

/// `consistentHash.httpCookie`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HashCookieSpec {
    pub name: Option<Ignored>,
    pub path: Option<Ignored>,
    pub ttl: Option<Ignored>,
    pub attributes: Option<Ignored>,
}

/// `consistentHash.ringHash`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RingHashSpec {
    pub minimum_ring_size: Option<Ignored>,
}

/// `consistentHash.maglev`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MaglevSpec {
    pub table_size: Option<Ignored>,
}

/// `loadBalancer.localityLbSetting`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalitySettingSpec {
    pub distribute: Option<Ignored>,
    pub failover: Option<Ignored>,
    pub failover_priority: Option<Ignored>,
    pub enabled: Option<Ignored>,
}

/// `loadBalancer.zoneAwareLbSetting`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneSettingSpec {
    pub enabled: Option<Ignored>,
    pub failover: Option<Ignored>,
    pub failover_priority: Option<Ignored>,
    pub min_cluster_size: Option<Ignored>,
}

/// `loadBalancer.warmup`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WarmupSpec {
    pub duration: Option<Ignored>,
    pub minimum_percent: Option<Ignored>,
    pub aggression: Option<Ignored>,
}

/// `outlierDetection`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetectionSpec {
    pub consecutive_errors: Option<Ignored>,
    pub split_external_local_origin_errors: Option<Ignored>,
    pub consecutive_local_origin_failures: Option<Ignored>,
    pub consecutive_gateway_errors: Option<Ignored>,
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<Ignored>,
    pub interval: Option<Ignored>,
    pub base_ejection_time: Option<Ignored>,
    pub max_ejection_percent: Option<Ignored>,
    pub min_health_percent: Option<Ignored>,
    pub outlier_detection_http_error_codes: Option<Ignored>,
}

/// `retryBudget`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudgetSpec {
    pub percent: Option<Ignored>,
    pub budget_interval: Option<Ignored>,
    pub min_retry_concurrency: Option<Ignored>,
}

const FIX_OUTLIER: &str = "remove it: endpoints that fail are ejected by the defaults";
const FIX_HASH: &str = "use `httpHeaderName`; until then the default LEAST_REQUEST balances";
const FIX_POOL: &str = "remove it: the limits of the proxy hold";
const FIX_LOCALITY: &str = "remove it: endpoints of the own zone come first, then those of the own region";

/// By how paths end.
pub(super) const IGNORED: &[IgnoredField] = &[
    IgnoredField::new("localityLbSetting.enabled", &["true"], FIX_LOCALITY),
    IgnoredField::new("zoneAwareLbSetting.enabled", &["true"], FIX_LOCALITY),
    IgnoredField::new("http.h2UpgradePolicy", &["DEFAULT", "UPGRADE"], FIX_POOL),
    IgnoredField::new("http.useClientProtocol", &["false"], FIX_POOL),
    IgnoredField::new("consistentHash.useSourceIp", &["false"], FIX_HASH),
    IgnoredField::new("consistentHash.httpQueryParameterName", &[], FIX_HASH),
    IgnoredField::new("httpCookie.name", &[], FIX_HASH),
    IgnoredField::new("outlierDetection.interval", &[], FIX_OUTLIER),
];

pub(super) const UNSUPPORTED: &[UnsupportedField] = &[
    UnsupportedField {
        path: "spec.workloadSelector",
        fix: "remove it, and name namespaces in `exportTo`, or let it hold for all callers",
    },
    UnsupportedField { path: ".tunnel", fix: "remove it, and let an egress gateway be called instead" },
    UnsupportedField {
        path: ".proxyProtocol",
        fix: "remove it, and let the destination take connections without a PROXY header",
    },
];

const PORT_SETTINGS_MAX: usize = 100;

impl DestinationPolicySpec {
    pub(super) fn check(&self, at: &str, report: &mut ValidationReport<'_>) {
        balancer(self.load_balancer.as_ref(), &format!("{at}.loadBalancer"), report);
        if let Some(tls) = &self.tls {
            client_tls::check(tls, &format!("{at}.tls"), report);
        }
        if let Some(pool) = &self.connection_pool {
            backend_pool::check(pool, &format!("{at}.connectionPool"), report);
        }
        let at = format!("{at}.portLevelSettings");
        report.at_most(&at, self.port_level_settings.len(), PORT_SETTINGS_MAX);
        let mut ports = HashSet::new();
        for (index, settings) in self.port_level_settings.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let number = settings.port.unwrap_or_default().number;
            report.port(&format!("{at}.port.number"), number);
            if !ports.insert(number) {
                report.bad(&format!("{at}.port.number"), &format!("{number} occurs twice"), "merge the two");
            }
            balancer(settings.load_balancer.as_ref(), &format!("{at}.loadBalancer"), report);
            if settings.load_balancer.is_some() {
                let fix = "write it into `trafficPolicy`, for all ports";
                report.ignored(&format!("{at}.loadBalancer"), fix);
            }
            if let Some(tls) = &settings.tls {
                client_tls::check(tls, &format!("{at}.tls"), report);
            }
        }
    }
}

fn balancer(balancer: Option<&DestinationBalancerSpec>, at: &str, report: &mut ValidationReport<'_>) {
    let Some(balancer) = balancer else { return };
    if balancer.simple.is_some() && balancer.consistent_hash.is_some() {
        report.bad(at, "sets both `simple` and `consistentHash`", "keep one of them");
    }
    let header = balancer.consistent_hash.as_ref().and_then(|hash| hash.http_header_name.as_deref());
    if let Some(header) = header.filter(|header| !syntax::is_token(header)) {
        let at = format!("{at}.consistentHash.httpHeaderName");
        report.bad(&at, &format!("cannot be `{header}`"), "write a header name");
    }
    let told = match balancer.simple {
        Some(SimpleBalancerSpec::Random) => "RANDOM",
        Some(SimpleBalancerSpec::Passthrough) => "PASSTHROUGH",
        _ => return,
    };
    let cause = format!("is {told}, which is not supported yet, so the default LEAST_REQUEST balances");
    report.no_effect(&format!("{at}.simple"), &cause, "write `LEAST_REQUEST`");
}
