//! Leno `MeshSettings`: what holds for the whole mesh.

mod upgrades;

pub use upgrades::{UpgradeConfig, upgrade_types};

use super::{KindSpec, LENO_GROUP, ObjectKind};
use crate::decode;
use crate::duration;
use crate::meta::{Meta, ROOT_NAMESPACE};
use crate::node::Node;
use crate::validation::ValidationReport;
use model::TrustDomain;
use model::address::MeshPrefix;
use model::authz::Cidr;
use model::settings::HttpConnections;
use serde::Deserialize;
use std::time::Duration;

/// `MeshSettings` `spec` (cluster-scoped, name `default`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshSettingsSpec {
    /// SPIFFE trust domain of this mesh.
    pub trust_domain: Option<String>,
    /// `Strict`; a `PeerAuthentication` says what else holds.
    pub mtls: Option<MeshMtlsMode>,
    /// What happens to destinations that the mesh does not know; absent: `AllowAny`.
    pub outbound: Option<OutboundMode>,
    /// What holds of destinations outside the mesh in any case.
    pub egress: EgressSettings,
    /// Names that the mesh answers for.
    pub dns: DnsSettings,
    /// What is recorded.
    pub telemetry: TelemetrySettings,
    /// How paths of requests are read and passed on.
    pub path_normalization: PathNormalizationSettings,
    /// How connections of callers are treated.
    pub http_connection_manager: HttpConnectionManagerSettings,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl KindSpec for MeshSettingsSpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "MeshSettings",
        plural: "meshsettings",
        singular: "meshsettings",
        short: &[],
        group: LENO_GROUP,
        versions: &["v1alpha1"],
        namespaced: false,
        doc: "What holds for the whole mesh",
        columns: &[],
    };

    /// Without it everything could be called.
    fn fail_closed(document: Option<&Node>) -> Option<Self> {
        let outbound = document?.get("spec")?.get("outbound")?;
        let outbound = decode::whole(outbound).unwrap_or(OutboundMode::RegistryOnly);
        Some(Self { outbound: Some(outbound), ..Self::default() })
    }

    fn check(&self, _: &Meta, report: &mut ValidationReport<'_>) {
        if let Some(domain) = &self.trust_domain
            && TrustDomain::parse(domain).is_none()
        {
            let cause = format!("cannot be `{domain}`");
            report.bad("spec.trustDomain", &cause, "use lower-case letters, digits, `.`, `-` and `_`");
        }
        if self.mtls == Some(MeshMtlsMode::Permissive) {
            let fix = format!(
                "write `Strict`; a PeerAuthentication without a selector in {ROOT_NAMESPACE} says PERMISSIVE for the mesh"
            );
            report.unsupported("spec.mtls", "Permissive", fix);
        }
        let allowed = self.egress.allowed_metadata.len();
        report.at_most("spec.egress.allowedMetadata", allowed, ALLOWED_METADATA_MAX);
        for (index, block) in self.egress.allowed_metadata.iter().enumerate() {
            if Cidr::parse(block).is_none() {
                let path = format!("spec.egress.allowedMetadata[{index}]");
                report.bad(&path, &format!("cannot be `{block}`"), "write an IP address, or a block of them");
            }
        }
        if self.telemetry.access_log.is_some() {
            let fix = "remove it; each proxy writes one if it was started with --access-log";
            report.ignored("spec.telemetry.accessLog", fix);
        }
        for (index, suffix) in self.dns.suffixes.iter().enumerate() {
            report.subdomain(&format!("spec.dns.suffixes[{index}]"), suffix);
        }
        if let Some(prefix) = &self.dns.ipv6_prefix
            && MeshPrefix::parse(prefix).is_none()
        {
            let fix = format!("write a /48 out of fd00::/8, as {}", MeshPrefix::DEFAULT);
            report.bad("spec.dns.ipv6Prefix", &format!("cannot be `{prefix}`"), fix);
        }
        http_connection_manager(&self.http_connection_manager, report);
    }
}

/// `pathNormalization`, as in Istio's mesh configuration and Envoy's HTTP connection manager.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathNormalizationSettings {
    /// Absent: `BASE`.
    pub normalization: Option<NormalizationSetting>,
    /// Absent: `KEEP_UNCHANGED`.
    pub path_with_escaped_slashes_action: Option<EscapedSlashesSetting>,
}

/// See `model::settings::Normalization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NormalizationSetting {
    /// Byte for byte.
    None,
    /// Dot segments and unreserved escapes.
    Base,
    /// And runs of slashes.
    MergeSlashes,
    /// And encoded slashes first.
    DecodeAndMergeSlashes,
}

/// See `model::settings::EscapedSlashesAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EscapedSlashesSetting {
    /// As it came.
    KeepUnchanged,
    /// 400.
    RejectRequest,
    /// 307.
    UnescapeAndRedirect,
    /// As plain slashes.
    UnescapeAndForward,
}

/// `httpConnectionManager`, with Envoy's names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpConnectionManagerSettings {
    /// Proxies in front of the gateways, 0 to 32; absent: 0.
    pub xff_num_trusted_hops: Option<u32>,
    /// Their addresses, `a.b.c.d/n` or single ones, instead of the number.
    pub xff_trusted_cidrs: Vec<String>,
    /// A duration from 1 s to 24 h; absent: 620 s.
    pub idle_timeout: Option<String>,
    /// A duration from 1 s to 24 h; absent: 300 s.
    pub stream_idle_timeout: Option<String>,
    /// Protocols that a request may be upgraded to, beside `websocket`, which is on where no entry names it.
    pub upgrade_configs: Vec<UpgradeConfig>,
    /// A duration from 1 s to 24 h; absent: 1 h.
    pub upgrade_idle_timeout: Option<String>,
}

/// Mutual TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum MeshMtlsMode {
    /// Plaintext is refused.
    Strict,
    /// Not supported yet.
    Permissive,
}

/// Traffic to unknown destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum OutboundMode {
    /// Passed through.
    AllowAny,
    /// Refused, unless a ServiceEntry describes them.
    RegistryOnly,
    /// Called at an address of the name that the application says in TLS or HTTP; refused where it says none.
    AllowAnyDynamicDns,
}

const ALLOWED_METADATA_MAX: usize = 64;

/// `egress`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressSettings {
    /// Addresses of metadata services of clouds, as 169.254.169.254, that applications may call. Others may not be called.
    pub allowed_metadata: Vec<String>,
}

/// `dns`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsSettings {
    /// Zones that the mesh owns: what it does not know there does not exist (NXDOMAIN). `mesh.internal` is owned
    /// as soon as a GlobalService has a name in it. `svc.cluster.local` is not owned unless it is listed here:
    /// the mesh answers for its Services, and queries for other names in it are forwarded.
    pub suffixes: Vec<String>,
    /// Where mesh-only addresses of IPv6 lie, a /48 out of fd00::/8; absent: `fd4c:656e:6f00::/48`. To be set where a
    /// network has that one itself.
    pub ipv6_prefix: Option<String>,
}

/// `telemetry`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetrySettings {
    /// Ignored, with a warning: each proxy is told on its command line.
    pub access_log: Option<bool>,
}

fn http_connection_manager(http: &HttpConnectionManagerSettings, report: &mut ValidationReport<'_>) {
    const AT: &str = "spec.httpConnectionManager";
    const HOPS_MAX: u32 = HttpConnections::XFF_TRUSTED_HOPS_MAX;
    if let Some(hops) = http.xff_num_trusted_hops {
        if hops > HOPS_MAX {
            let fix = format!("write the number of proxies in front of the gateways, at most {HOPS_MAX}");
            report.bad(&format!("{AT}.xffNumTrustedHops"), &format!("cannot be {hops}"), fix);
        }
        if hops > 0 && !http.xff_trusted_cidrs.is_empty() {
            let cause = "cannot stand beside `xffNumTrustedHops`";
            report.bad(&format!("{AT}.xffTrustedCidrs"), cause, "remove one of the two");
        }
    }
    let blocks = http.xff_trusted_cidrs.len();
    if blocks > HttpConnections::XFF_TRUSTED_CIDRS_MAX {
        let cause = format!("has {blocks} entries, more than {}", HttpConnections::XFF_TRUSTED_CIDRS_MAX);
        report.bad(&format!("{AT}.xffTrustedCidrs"), &cause, "write larger blocks");
    }
    for (index, block) in http.xff_trusted_cidrs.iter().enumerate() {
        if Cidr::parse(block).is_none() {
            let path = format!("{AT}.xffTrustedCidrs[{index}]");
            report.bad(&path, &format!("cannot be `{block}`"), "write a.b.c.d/n or an address");
        }
    }
    upgrades::check(&http.upgrade_configs, &format!("{AT}.upgradeConfigs"), report);
    for (field, text) in [
        ("idleTimeout", &http.idle_timeout),
        ("streamIdleTimeout", &http.stream_idle_timeout),
        ("upgradeIdleTimeout", &http.upgrade_idle_timeout),
    ] {
        let range = Duration::from_secs(1)..=HttpConnections::TIMEOUT_MAX;
        if let Some(text) = text
            && duration::parse(text).is_none_or(|time| !range.contains(&time))
        {
            let fix = "write a duration from 1s to 24h, such as 10m20s";
            report.bad(&format!("{AT}.{field}"), &format!("cannot be `{text}`"), fix);
        }
    }
}

#[cfg(test)]
mod tests;
