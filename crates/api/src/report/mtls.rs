//! `GET /leno/v1/mtls`: who came to each workload by which way, and what STRICT would break. Written by `control`, read
//! by `cli`.

use super::ModeReport;
use serde::{Deserialize, Serialize};

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MtlsPlanReport {
    /// Callers that were seen within this time count against STRICT.
    pub window_seconds: f64,
    /// Those that are registered, by uid.
    pub workloads: Vec<WorkloadPlanReport>,
}

/// One workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadPlanReport {
    /// Of its registration.
    pub uid: String,
    /// Of its group.
    pub namespace: String,
    /// Its group.
    pub group: String,
    /// When its proxy started, which counts since then; `None`: it has told nothing since the control plane started.
    pub started: Option<String>,
    /// When it last told something that had changed.
    pub reported: Option<String>,
    /// How often it tells what has changed.
    pub report_seconds: Option<f64>,
    /// Ports that are declared, named by a mode, or called.
    pub ports: Vec<PortPlanReport>,
    /// In plaintext, of callers for whom there was no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext_unnamed: Option<ConnectionsReport>,
    /// Refused for their plaintext, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_unnamed: Option<ConnectionsReport>,
    /// In mutual TLS, to ports for which there was no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutual_tls_unnamed: Option<ConnectionsReport>,
}

/// A port of an application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortPlanReport {
    /// Its number.
    pub port: u16,
    /// What it takes.
    #[serde(flatten)]
    pub mode: ModeReport,
    /// Let in, in plaintext.
    pub plaintext: Vec<CallerReport>,
    /// Refused for their plaintext.
    pub refused: Vec<CallerReport>,
    /// In mutual TLS, while the port was not STRICT.
    pub mutual_tls: Option<ConnectionsReport>,
    /// What STRICT would do.
    pub verdict: Option<StrictReport>,
}

/// What STRICT would do to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrictReport {
    /// It is STRICT.
    Strict,
    /// Callers would be refused: those whose `breaks` is true, or some without a name.
    WouldBreak,
    /// All who were seen came in mutual TLS.
    Ready,
    /// Nobody was seen, or nobody who could have come in mutual TLS.
    Unknown,
    /// Of a newer control plane.
    #[serde(other)]
    Other,
}

/// Somebody who called a port in plaintext.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CallerReport {
    /// Its address.
    pub address: String,
    /// The uid of the workload that is registered there.
    pub workload: Option<String>,
    /// A SPIFFE ID, of that workload.
    pub identity: Option<String>,
    /// Why in plaintext.
    pub cause: Option<PlaintextReport>,
    /// Whether STRICT would shut it out, as far as is known.
    pub breaks: bool,
    /// How often it came.
    #[serde(flatten)]
    pub connections: ConnectionsReport,
}

/// Why somebody came in plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaintextReport {
    /// There is no proxy beside it.
    NoProxy,
    /// There is one, and the call did not go through it.
    PastProxy,
    /// There is one now, and was none then.
    BeforeProxy,
    /// Its proxy was told to, because the port took nothing else.
    ByMode,
    /// Of a newer control plane.
    #[serde(other)]
    Other,
}

/// How many connections, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionsReport {
    /// All of them.
    pub connections: u64,
    /// Those that were open when it was told.
    pub open: u32,
    /// When the last one was opened, or ended.
    pub last_seen: String,
    /// How long ago; 0 as long as one is open.
    pub age_seconds: f64,
}
