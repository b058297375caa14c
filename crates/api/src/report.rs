//! What planes report at `/leno/v1/NAME`: status, findings, clusters. Written by `control` and `manager`, read by `cli`.
//!
//! The names of fields are read by scripts too: they stay. Readers take what is missing as unknown, because the other
//! side may be older. Text that is unknown is `None`; where a field is written as `null` then, its type says so.

pub mod mtls;

use model::{Code, Finding, ObjectRef, Origin, Severity};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A field that is left out, written as `null`, or there.
pub type Nullable<T> = Option<Option<T>>;

/// `GET /leno/v1/status` of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ControlStatus {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of its network.
    pub network: String,
    /// Whose identities it issues.
    pub trust_domain: String,
    /// Number of objects in force.
    pub objects: usize,
    /// Number of findings.
    pub findings: usize,
    /// The last change over the API that was handed to the streams that it concerns.
    pub revision: u64,
    /// Number of subscriptions whose resources are kept encoded.
    pub published: usize,
    /// Names of the other clusters that are known.
    pub clusters: Vec<String>,
    /// Those that are connected, or should be.
    pub proxies: Vec<ProxyReport>,
    /// What the plane itself lives on.
    pub certificates: Vec<CertificateReport>,
}

/// `GET /leno/v1/status` of the management plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ManagerStatus {
    /// [`MANAGER`].
    pub plane: String,
    /// Whose clusters they are.
    pub trust_domain: String,
    /// All that ever reported.
    pub clusters: Vec<ClusterStanding>,
    /// What the plane itself lives on.
    pub certificates: Vec<CertificateReport>,
}

/// What a management plane calls itself.
pub const MANAGER: &str = "manager";

/// A proxy, as its control plane sees it. What only a connected one has is left out of those that are missed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxyReport {
    /// Of its registration; `local` for the gateway of the same process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// `NAMESPACE/GROUP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A SPIFFE ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether its stream is open.
    pub connected: bool,
    /// Whether it confirmed the last that it was sent.
    pub synced: bool,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SyncState>,
    /// Hash of what it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// Hash of what it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// Why it refused the last that it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Nullable<String>,
    /// Number of resources that it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<usize>,
    /// Up to which change over the API it confirmed to run all that concerns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Number of its subscriptions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscriptions: Option<usize>,
    /// Where it calls from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Version of its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where one that is missed was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
    /// Since when one is missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Nullable<String>,
    /// For how long it is in its state, in seconds.
    pub age_seconds: Option<f64>,
    /// Its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Nullable<CertificateReport>,
    /// What its ports take from callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MtlsReport>,
    /// How its application is, where that is probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationReport>,
}

/// Whether an application is ready.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApplicationReport {
    /// Whether callers are sent to it.
    pub ready: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// What the ports of a workload take from callers, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MtlsReport {
    /// Of all ports that are not named.
    #[serde(flatten)]
    pub mode: ModeReport,
    /// Of ports for which something was said.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, ModeReport>,
}

/// A mode of mutual TLS, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModeReport {
    /// `STRICT`, `PERMISSIVE` or `DISABLE`.
    pub mode: String,
    /// `PeerAuthentication/NAME.NAMESPACE`; `None`: nobody, it is the default.
    pub by: Option<String>,
}

/// A cluster, as the management plane sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClusterStanding {
    /// Its name.
    pub cluster: String,
    /// Whether its control plane is connected.
    pub connected: bool,
    /// How far it is with what the others offer.
    pub state: Option<SyncState>,
    /// Whether it confirmed the last that it was told.
    pub synced: bool,
    /// Hash of what it was told.
    pub sent: Option<String>,
    /// Hash of what it has.
    pub applied: Option<String>,
    /// Why it refused the last that it was told.
    pub error: Option<String>,
    /// Number of clusters that it knows.
    pub resources: Option<usize>,
    /// Where it calls from.
    pub address: Option<String>,
    /// Version of its program.
    pub version: Option<String>,
    /// Number of its last report that differed.
    pub revision: u64,
    /// When that came.
    pub reported_at: String,
    /// Since when it is in its state, or gone.
    pub since: Option<String>,
    /// The same, in seconds.
    pub age_seconds: Option<f64>,
}

/// A certificate, and whether it is renewed in time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateReport {
    /// Which one, where a plane has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it ends.
    pub expires: Option<String>,
    /// How it stands.
    pub state: Option<CertificateState>,
}

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// All is well.
    Valid,
    /// It should have been renewed.
    ExpiresSoon,
    /// It is good for nothing.
    Expired,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// How far somebody is with what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// It acknowledged exactly what it was sent last, and its stream is open.
    Synced,
    /// It has not acknowledged the latest, or is not connected.
    Pending,
    /// It refused the latest and runs what it had.
    Refused,
    /// It was sent nothing yet. Reported as pending: what was sent stands beside it.
    NotSent,
    /// Its stream broke a moment ago.
    Away,
    /// It has been away too long to count, and was not withdrawn.
    Gone,
}

impl SyncState {
    /// The state of whoever is connected, by what its session says.
    pub fn of_session(synced: bool, error: Option<&str>) -> Self {
        match (synced, error) {
            (true, _) => Self::Synced,
            (false, Some(_)) => Self::Refused,
            (false, None) => Self::Pending,
        }
    }

    /// As reported.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Pending | Self::NotSent => "pending",
            Self::Refused => "refused",
            Self::Away => "away",
            Self::Gone => "gone",
        }
    }
}

impl Serialize for SyncState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SyncState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // One that this version does not know is not known to be good.
        let text = String::deserialize(deserializer)?;
        let known = [Self::Synced, Self::Refused, Self::Away, Self::Gone];
        Ok(known.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Pending))
    }
}

/// What a report says of somebody who is sent something.
#[derive(Clone, Copy, Debug)]
pub struct SyncFacts<'a> {
    /// As reported.
    pub state: Option<SyncState>,
    /// Whether the stream is open.
    pub connected: bool,
    /// Whether the plane says that it is in sync.
    pub synced: bool,
    /// Hash of what it was sent.
    pub sent: &'a str,
    /// Hash of what it runs.
    pub applied: &'a str,
    /// Its last error.
    pub error: &'a str,
}

impl SyncFacts<'_> {
    /// What they come to. Only positive evidence makes it synced: an open stream, the plane's own verdict, two equal
    /// hashes and no error.
    pub fn verdict(&self) -> SyncState {
        if let Some(missed @ (SyncState::Gone | SyncState::Away)) = self.state {
            return missed;
        }
        if !self.error.is_empty() {
            return SyncState::Refused;
        }
        if self.sent.bytes().all(|byte| byte == b'0') {
            return SyncState::NotSent;
        }
        let is_synced = self.connected && self.synced && self.sent == self.applied;
        if is_synced { SyncState::Synced } else { SyncState::Pending }
    }
}

/// `GET /leno/v1/findings`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindingsReport {
    /// What is wrong.
    pub findings: Vec<FindingReport>,
}

/// A finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindingReport {
    /// For example `LENO0001`.
    pub code: String,
    /// `error`, `warning` or `info`.
    pub level: String,
    /// Of the object.
    pub kind: String,
    /// Of the object.
    pub namespace: String,
    /// Of the object.
    pub name: String,
    /// Where it was written; empty for what came over the API.
    pub file: String,
    /// Line there.
    pub line: u32,
    /// What is wrong.
    pub cause: String,
    /// What to write instead.
    pub fix: String,
}

impl From<&Finding> for FindingReport {
    fn from(finding: &Finding) -> Self {
        let object = &finding.origin.object;
        Self {
            code: finding.code.as_str().into(),
            level: level(finding.code.level()).into(),
            kind: object.kind.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            file: finding.origin.file.to_string(),
            line: finding.origin.line,
            cause: finding.cause.clone(),
            fix: finding.fix.clone(),
        }
    }
}

impl FindingReport {
    /// The finding; `None`: its code is not known to this version.
    pub fn finding(&self) -> Option<Finding> {
        let object = ObjectRef::new(&self.kind, &self.namespace, &self.name);
        let origin = Origin { object, file: self.file.as_str().into(), line: self.line };
        Some(Finding::new(Code::by_str(&self.code)?, &origin, self.cause.as_str(), self.fix.as_str()))
    }
}

/// A level in a word.
pub fn level(level: Severity) -> &'static str {
    match level {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// `GET /leno/v1/clusters` of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownClusters {
    /// This one, as the others see it.
    pub own: ClusterReport,
    /// The others.
    pub others: Vec<ClusterReport>,
}

/// `GET /leno/v1/clusters` of the management plane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportedClusters {
    /// All that ever reported.
    pub clusters: Vec<ReportedCluster>,
}

/// What a cluster offers to others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterReport {
    /// Its name.
    pub cluster: String,
    /// Name of its network.
    pub network: String,
    /// Of its locality.
    pub region: String,
    /// Of its locality.
    pub zone: String,
    /// `ADDRESS:PORT` of its east-west gateways.
    pub gateways: Vec<String>,
    /// Its services that others may call.
    pub exports: Vec<ExportReport>,
}

/// A service that other clusters may call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportReport {
    /// Its name.
    pub host: String,
    /// Endpoints there.
    pub weight: u32,
    /// Who may answer.
    pub identities: Vec<String>,
}

/// A cluster's report, and what the management plane knows of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReportedCluster {
    /// What it offers.
    #[serde(flatten)]
    pub report: ClusterReport,
    /// Whether its control plane is connected.
    pub connected: bool,
    /// Number of the report.
    pub revision: u64,
    /// Hash of the report.
    pub version: String,
    /// When it came, in seconds since the epoch.
    pub reported_at: u64,
    /// Reports that it replaced.
    pub history: Vec<PastReport>,
}

/// A report that was replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastReport {
    /// Its number.
    pub revision: u64,
    /// Its hash.
    pub version: String,
}

impl From<&model::federation::RemoteCluster> for ClusterReport {
    fn from(cluster: &model::federation::RemoteCluster) -> Self {
        let export = |export: &model::federation::Export| ExportReport {
            host: export.host.as_str().into(),
            weight: export.weight,
            identities: export.identities.iter().map(ToString::to_string).collect(),
        };
        let gateways =
            cluster.gateways.iter().map(|gateway| SocketAddr::new(gateway.address, gateway.port).to_string());
        Self {
            cluster: cluster.cluster.to_string(),
            network: cluster.network.to_string(),
            region: cluster.locality.region.to_string(),
            zone: cluster.locality.zone.to_string(),
            gateways: gateways.collect(),
            exports: cluster.exports.iter().map(export).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
