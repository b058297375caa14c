//! `leno status`: what each proxy was sent, and what it says it runs.

use crate::console::Console;
use crate::exit::{self, Failure, Outcome};
use crate::remote::Server;
use crate::show::{self, ReportFormat};
use api::report::{
    ApplicationReport, CertificateReport, CertificateState, ClusterStanding, ControlStatus, MANAGER,
    ManagerStatus, ProxyReport, SyncFacts, SyncState,
};
use serde_json::Value;

/// Characters of a hash that are shown.
const HASH_CHARS: usize = 12;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Only proxies of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: ReportFormat,
    #[command(flatten)]
    server: Server,
}

/// What a plane reports of itself.
pub(crate) enum PlaneStatus {
    /// A control plane, with its proxies.
    Control(ControlStatus),
    /// The management plane, which knows clusters and no proxies.
    Manager(ManagerStatus),
}

/// A proxy, or a cluster: somebody who is sent configuration.
pub(crate) struct Recipient<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: SyncState,
    pub(crate) is_connected: bool,
    /// See [`api::report::ProxyReport::revision`].
    pub(crate) revision: u64,
    cluster: &'a str,
    sent: &'a str,
    applied: &'a str,
    error: &'a str,
    since: Option<&'a str>,
    age_s: Option<f64>,
    certificate: Option<&'a CertificateReport>,
    application: Option<&'a ApplicationReport>,
}

impl PlaneStatus {
    /// Reads `GET /leno/v1/status`.
    pub(crate) fn read(report: &Value) -> Result<Self, Failure> {
        let is_manager = report["plane"].as_str() == Some(MANAGER);
        let read = match is_manager {
            true => serde_json::from_value(report.clone()).map(Self::Manager),
            false => serde_json::from_value(report.clone()).map(Self::Control),
        };
        read.map_err(|cause| anyhow::Error::new(cause).context("read the report of the plane").into())
    }

    /// Those that it sends configuration to.
    pub(crate) fn recipients(&self) -> Vec<Recipient<'_>> {
        match self {
            Self::Control(status) => status.proxies.iter().map(|proxy| of_proxy(proxy, status)).collect(),
            Self::Manager(status) => status.clusters.iter().map(of_cluster).collect(),
        }
    }

    /// What the plane itself lives on.
    pub(crate) fn certificates(&self) -> &[CertificateReport] {
        match self {
            Self::Control(status) => &status.certificates,
            Self::Manager(status) => &status.certificates,
        }
    }
}

fn of_proxy<'a>(proxy: &'a ProxyReport, status: &'a ControlStatus) -> Recipient<'a> {
    let (sent, applied) = (text(&proxy.sent), text(&proxy.applied));
    let error = proxy.error.as_ref().map_or("", text);
    let ProxyReport { state, connected, synced, .. } = *proxy;
    Recipient {
        name: proxy.uid.as_deref().or(proxy.name.as_deref()).unwrap_or("?"),
        state: SyncFacts { state, connected, synced, sent, applied, error }.verdict(),
        is_connected: connected,
        revision: proxy.revision.unwrap_or(0),
        cluster: if status.cluster.is_empty() { "-" } else { &status.cluster },
        sent,
        applied,
        error,
        since: proxy.since.as_ref().and_then(Option::as_deref),
        age_s: proxy.age_seconds,
        certificate: proxy.certificate.as_ref().and_then(Option::as_ref),
        application: proxy.application.as_ref(),
    }
}

fn of_cluster(cluster: &ClusterStanding) -> Recipient<'_> {
    let (sent, applied, error) = (text(&cluster.sent), text(&cluster.applied), text(&cluster.error));
    let ClusterStanding { state, connected, synced, .. } = *cluster;
    Recipient {
        name: &cluster.cluster,
        state: SyncFacts { state, connected, synced, sent, applied, error }.verdict(),
        is_connected: connected,
        revision: cluster.revision,
        cluster: &cluster.cluster,
        sent,
        applied,
        error,
        since: cluster.since.as_deref(),
        age_s: cluster.age_seconds,
        certificate: None,
        application: None,
    }
}

fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

/// A state as the table shows it.
pub(crate) fn word(state: SyncState) -> &'static str {
    match state {
        SyncState::Synced => "SYNCED",
        SyncState::Pending => "STALE",
        SyncState::Refused => "NACK",
        SyncState::NotSent => "NOT SENT",
        SyncState::Away => "AWAY",
        SyncState::Gone => "GONE",
    }
}

pub(crate) async fn run(args: &StatusArgs, console: &mut Console) -> Outcome {
    let mut report = args.server.remote()?.get("/leno/v1/status").await?;
    let namespace = args.namespace.as_deref();
    let is_manager = matches!(PlaneStatus::read(&report)?, PlaneStatus::Manager(_));
    if is_manager && namespace.is_some() {
        let text = "the management plane knows clusters, not namespaces; ask the control plane of a cluster";
        return Err(Failure::new(exit::USAGE, text));
    }
    if let (Some(namespace), Some(proxies)) =
        (namespace, report.get_mut("proxies").and_then(Value::as_array_mut))
    {
        proxies.retain(|proxy| proxy["namespace"].as_str() == Some(namespace));
    }
    if let Some(text) = args.output.document(|| report.clone())? {
        console.data(&text);
        return Ok(exit::OK);
    }
    let shown = table(&PlaneStatus::read(&report)?);
    if shown.is_empty() {
        let what = if is_manager { "no cluster has reported" } else { "no proxies are connected" };
        console.say(what);
    }
    console.data(&shown);
    Ok(exit::OK)
}

/// Of a control plane its proxies, of the management plane its clusters.
fn table(status: &PlaneStatus) -> String {
    let shown = status.recipients();
    let with_error = shown.iter().any(|recipient| !recipient.note().is_empty());
    let row = |recipient: &Recipient<'_>| {
        let short = |hash: &str| match hash {
            "" => "-".to_owned(),
            hash => hash.chars().take(HASH_CHARS).collect(),
        };
        let mut cells = vec![
            recipient.name.to_owned(),
            recipient.cluster.to_owned(),
            short(recipient.sent),
            short(recipient.applied),
            word(recipient.state).to_owned(),
            recipient.age_s.map_or_else(|| "-".to_owned(), show::age),
        ];
        if with_error {
            cells.push(recipient.note());
        }
        cells
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    let header = ["NAME", "CLUSTER", "SENT", "ACKED", "STATE", "AGE", "ERROR"];
    show::table(&header[..if with_error { 7 } else { 6 }], &rows)
}

impl Recipient<'_> {
    /// The last error, that nobody is there to give one, that its application is not ready, or that it will not be there for
    /// long. On one line.
    pub(crate) fn note(&self) -> String {
        let since = self.since.map_or_else(String::new, |since| format!(" since {since}"));
        let mut note = match self.error {
            "" if !self.is_connected => format!("not connected{since}"),
            error => error.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        for further in [self.application_note(), self.certificate_note()].into_iter().flatten() {
            let join = if note.is_empty() { "" } else { "; " };
            note.push_str(&format!("{join}{further}"));
        }
        note
    }

    /// Why its application is not ready, if it is not.
    fn application_note(&self) -> Option<String> {
        let ApplicationReport { ready: false, cause } = self.application? else { return None };
        let cause = cause.iter().flat_map(|cause| cause.split_whitespace()).collect::<Vec<_>>().join(" ");
        Some(format!("its application is not ready: {cause}"))
    }

    /// What is wrong with its certificate, if anything is.
    pub(crate) fn certificate_note(&self) -> Option<String> {
        let certificate = self.certificate?;
        let expires = certificate.expires.as_deref().unwrap_or("?");
        match certificate.state? {
            CertificateState::Expired => Some(format!("its certificate expired at {expires}")),
            CertificateState::ExpiresSoon => {
                Some(format!("its certificate expires at {expires} and was not renewed"))
            }
            CertificateState::Valid | CertificateState::Unknown => None,
        }
    }

    /// Name, state and what stands in the way.
    pub(crate) fn line(&self) -> String {
        let line = [self.name, word(self.state), &self.note()].join(" ");
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests;
