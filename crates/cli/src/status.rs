//! `leno status`: what each proxy was sent, and what it says it runs.

use crate::console::Console;
use crate::exit::{self, Failure, Outcome};
use crate::remote::Server;
use crate::show::{self, Output};
use serde_json::Value;

/// Characters of a hash that are shown.
const HASH_CHARS: usize = 12;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Only proxies of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// Whether a proxy runs what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// It acknowledged exactly what it was sent last, and its stream is open.
    Synced,
    /// It has not acknowledged the latest, or is not connected.
    Stale,
    /// It refused the latest and runs what it had.
    Nack,
    /// It was sent nothing yet.
    NotSent,
    /// Its stream broke a moment ago.
    Away,
    /// It has been away too long to count, and was not withdrawn.
    Gone,
}

impl Sync {
    /// As in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "SYNCED",
            Self::Stale => "STALE",
            Self::Nack => "NACK",
            Self::NotSent => "NOT SENT",
            Self::Away => "AWAY",
            Self::Gone => "GONE",
        }
    }

    /// Judges one proxy of the report. Only positive evidence makes it SYNCED: an open stream, the control
    /// plane's own verdict, two equal hashes and no error.
    pub(crate) fn of(proxy: &Value) -> Self {
        let hash = |name: &str| proxy[name].as_str().unwrap_or_default();
        let (sent, applied) = (hash("sent"), hash("applied"));
        let is_true = |name: &str| proxy[name].as_bool() == Some(true);
        match proxy["state"].as_str() {
            Some("gone") => return Self::Gone,
            Some("away") => return Self::Away,
            _ => {}
        }
        if !error(proxy).is_empty() {
            return Self::Nack;
        }
        if sent.is_empty() || sent.bytes().all(|b| b == b'0') {
            return Self::NotSent;
        }
        if is_true("connected") && is_true("synced") && sent == applied { Self::Synced } else { Self::Stale }
    }
}

fn error(proxy: &Value) -> &str {
    proxy["error"].as_str().unwrap_or_default()
}

/// Proxies of a report.
pub(crate) fn proxies(report: &Value) -> &[Value] {
    report["proxies"].as_array().map_or(&[], Vec::as_slice)
}

/// Clusters of a report of the management plane.
pub(crate) fn clusters(report: &Value) -> &[Value] {
    report["clusters"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether the report comes from a management plane, which knows clusters and no proxies.
pub(crate) fn is_manager(report: &Value) -> bool {
    report["plane"].as_str() == Some("manager")
}

/// Name of a proxy, or of a cluster, as the table shows it.
pub(crate) fn name(proxy: &Value) -> &str {
    let named = |field: &str| proxy[field].as_str();
    named("uid").or(named("name")).or(named("cluster")).unwrap_or("?")
}

pub(crate) async fn run(args: &Status, console: &mut Console) -> Outcome {
    let mut report = args.server.remote()?.get("/leno/v1/status").await?;
    let namespace = args.namespace.as_deref();
    if is_manager(&report) && namespace.is_some() {
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
    let shown = table(&report);
    if shown.is_empty() {
        let what = if is_manager(&report) { "no cluster has reported" } else { "no proxies are connected" };
        console.say(what);
    }
    console.data(&shown);
    Ok(exit::OK)
}

/// Of a control plane its proxies, of the management plane its clusters.
fn table(report: &Value) -> String {
    let shown = if is_manager(report) { clusters(report) } else { proxies(report) };
    let cluster = report["cluster"].as_str().unwrap_or("-");
    let with_error = shown.iter().any(|proxy| !note(proxy).is_empty());
    let row = |proxy: &Value| {
        let short = |name: &str| match proxy[name].as_str().unwrap_or_default() {
            "" => "-".to_owned(),
            hash => hash.chars().take(HASH_CHARS).collect(),
        };
        let age = proxy["ageSeconds"].as_f64().map_or_else(|| "-".to_owned(), show::age);
        let state = Sync::of(proxy).as_str().to_owned();
        let cluster = proxy["cluster"].as_str().unwrap_or(cluster);
        let cells = [name(proxy).to_owned(), cluster.to_owned(), short("sent"), short("applied"), state, age];
        let mut cells = cells.to_vec();
        if with_error {
            cells.push(note(proxy));
        }
        cells
    };
    let rows: Vec<_> = shown.iter().map(row).collect();
    let header = ["NAME", "CLUSTER", "SENT", "ACKED", "STATE", "AGE", "ERROR"];
    show::table(&header[..if with_error { 7 } else { 6 }], &rows)
}

/// The last error, that nobody is there to give one, or that it will not be there for long. On one line.
pub(crate) fn note(proxy: &Value) -> String {
    let since = proxy["since"].as_str().map_or_else(String::new, |since| format!(" since {since}"));
    let mut note = match error(proxy) {
        "" if proxy["connected"].as_bool() == Some(false) => format!("not connected{since}"),
        error => error.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    if let Some(certificate) = certificate_note(proxy) {
        let join = if note.is_empty() { "" } else { "; " };
        note.push_str(&format!("{join}{certificate}"));
    }
    note
}

/// What is wrong with a proxy's certificate, if anything is.
pub(crate) fn certificate_note(proxy: &Value) -> Option<String> {
    let certificate = &proxy["certificate"];
    let expires = certificate["expires"].as_str().unwrap_or("?");
    match certificate["state"].as_str()? {
        "expired" => Some(format!("its certificate expired at {expires}")),
        "expires-soon" => Some(format!("its certificate expires at {expires} and was not renewed")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
