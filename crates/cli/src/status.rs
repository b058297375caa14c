//! `leno status`: what each proxy was sent, and what it says it runs.

use crate::console::Console;
use crate::exit::{self, Outcome};
use crate::remote::Server;
use crate::show;
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

/// Forms of output.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
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
}

impl Sync {
    /// As in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "SYNCED",
            Self::Stale => "STALE",
            Self::Nack => "NACK",
            Self::NotSent => "NOT SENT",
        }
    }

    /// Judges one proxy of the report. Only positive evidence makes it SYNCED: an open stream, the control
    /// plane's own verdict, two equal hashes and no error.
    pub(crate) fn of(proxy: &Value) -> Self {
        let hash = |name: &str| proxy[name].as_str().unwrap_or_default();
        let (sent, applied) = (hash("sent"), hash("applied"));
        let is_true = |name: &str| proxy[name].as_bool() == Some(true);
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

/// Name of a proxy as the table shows it.
pub(crate) fn name(proxy: &Value) -> &str {
    proxy["uid"].as_str().or(proxy["name"].as_str()).unwrap_or("?")
}

pub(crate) async fn run(args: &Status, console: &mut Console) -> Outcome {
    let report = args.server.remote()?.get("/leno/v1/status").await?;
    if let Output::Json = args.output {
        console.data(&format!("{report:#}\n"));
        return Ok(exit::OK);
    }
    let shown = table(&report, args.namespace.as_deref());
    if shown.is_empty() {
        console.say("no proxies are connected");
    }
    console.data(&shown);
    Ok(exit::OK)
}

fn table(report: &Value, namespace: Option<&str>) -> String {
    let cluster = report["cluster"].as_str().unwrap_or("?");
    let in_namespace = |proxy: &&Value| namespace.is_none() || proxy["namespace"].as_str() == namespace;
    let shown: Vec<&Value> = proxies(report).iter().filter(in_namespace).collect();
    let with_error = shown.iter().any(|proxy| !note(proxy).is_empty());
    let row = |proxy: &&Value| {
        let short = |name: &str| match proxy[name].as_str().unwrap_or_default() {
            "" => "-".to_owned(),
            hash => hash.chars().take(HASH_CHARS).collect(),
        };
        let age = proxy["ageSeconds"].as_f64().map_or_else(|| "-".to_owned(), show::age);
        let state = Sync::of(proxy).as_str().to_owned();
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

/// The last error, or that nobody is there to give one. On one line.
fn note(proxy: &Value) -> String {
    match error(proxy) {
        "" if proxy["connected"].as_bool() == Some(false) => "not connected".to_owned(),
        error => error.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests;
