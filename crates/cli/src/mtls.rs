//! `leno mtls plan`: who still speaks plaintext to whom, as proxies have seen it, and what STRICT would break.
//!
//! The control plane judges; this prints. Where nobody was seen it says so: that proves nothing.

use crate::apply::placed;
use crate::console::Console;
use crate::exit::{self, DATA, FAILED, Failure, Outcome, USAGE};
use crate::load;
use crate::remote::{self, Meant, Remote, Server};
use crate::show::{self, ReportFormat};
use api::report::mtls::{
    CallerReport, ConnectionsReport, MtlsPlanReport, PlaintextReport, PortPlanReport, StrictReport,
    WorkloadPlanReport,
};
use http::StatusCode;
use serde_json::Value;
use std::fmt::Write;

/// What there is about mutual TLS.
#[derive(Debug, clap::Subcommand)]
pub enum MtlsCommand {
    /// Show who calls in plaintext and who in mutual TLS, and what STRICT would break
    Plan(MtlsPlan),
}

/// Arguments of `mtls plan`.
#[derive(Debug, clap::Args)]
pub struct MtlsPlan {
    /// Only workloads of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// Only workloads of this group
    #[arg(short, long, value_name = "GROUP")]
    workload: Option<String>,
    /// Tell instead what these objects would break if they were applied; fails if they would break somebody
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", conflicts_with_all = ["namespace", "workload", "output"])]
    filename: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: ReportFormat,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(command: &MtlsCommand, console: &mut Console) -> Outcome {
    let MtlsCommand::Plan(args) = command;
    let remote = args.server.remote()?;
    if !args.filename.is_empty() {
        return try_out(&args.filename, &remote, console).await;
    }
    let answer = remote.call("GET", "/leno/v1/mtls", None).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        let text =
            "the server knows nothing of callers: it is no control plane of a cluster, or an older one";
        return Err(Failure::new(USAGE, text));
    }
    if !answer.status().is_success() {
        return Err(remote::refusal(&answer));
    }
    let mut report = remote::answer(&answer)?;
    if let Some(workloads) = report.get_mut("workloads").and_then(Value::as_array_mut) {
        let is = |workload: &Value, field: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| workload[field].as_str() == Some(wanted))
        };
        workloads.retain(|one| is(one, "namespace", &args.namespace) && is(one, "group", &args.workload));
    }
    if let Some(text) = args.output.document(|| report.clone())? {
        console.data(&text);
        return Ok(exit::OK);
    }
    let report: MtlsPlanReport = serde_json::from_value(report).map_err(|cause| Failure {
        code: FAILED,
        cause: anyhow::Error::new(cause).context("read the report"),
    })?;
    if report.workloads.is_empty() {
        console.say("no such workload is registered");
    }
    console.data(&describe(&report));
    Ok(exit::OK)
}

/// What objects in files would break, as the control plane would refuse them.
async fn try_out(paths: &[String], remote: &Remote, console: &mut Console) -> Outcome {
    let loaded = load::load(paths)?;
    show::findings(console, &loaded.findings, |file| loaded.text_of(file));
    if loaded.has_errors() {
        return Err(Failure::new(DATA, "the files have errors"));
    }
    let texts: Vec<&str> = loaded.objects.iter().map(|object| &*object.text).collect();
    let answer = remote.change(&texts, &[], Meant::Try).await?;
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let findings = placed(&body, &loaded);
    show::findings(console, &findings, |file| loaded.text_of(file));
    match (answer.status().is_success(), findings.is_empty()) {
        (true, _) => {
            console.data("nobody who was seen would be refused\n");
            Ok(exit::OK)
        }
        (false, true) => Err(remote::refusal(&answer)),
        (false, false) => Err(Failure::new(FAILED, "it would be refused")),
    }
}

/// The report as people read it, one block for each workload.
fn describe(report: &MtlsPlanReport) -> String {
    let mut text = String::new();
    for (number, one) in report.workloads.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        workload(one, report.window_seconds, &mut text);
    }
    text
}

fn workload(one: &WorkloadPlanReport, window: f64, text: &mut String) {
    let counted = match (&one.started, one.report_seconds) {
        (Some(started), Some(every)) => {
            format!("its proxy counts since {started} and tells within {every} s")
        }
        _ => "its proxy has told nothing yet".to_owned(),
    };
    let _ = writeln!(text, "{}/{} ({}): {counted}", one.namespace, one.group, one.uid);
    if one.ports.is_empty() {
        let _ = writeln!(text, "  no port is declared, and none was called");
    }
    for each in &one.ports {
        port(each, one, window, text);
    }
    let unnamed = [
        (&one.plaintext_unnamed, "in plaintext, by callers beyond those that a proxy keeps by name"),
        (
            &one.refused_unnamed,
            "refused for their plaintext, of callers beyond those that a proxy keeps by name",
        ),
        (&one.mutual_tls_unnamed, "in mutual TLS, to ports beyond those that a proxy keeps"),
    ];
    for (count, what) in unnamed {
        if let Some(count) = count {
            let _ = writeln!(text, "  {} {what}", connections(count));
        }
    }
}

fn port(port: &PortPlanReport, of: &WorkloadPlanReport, window: f64, text: &mut String) {
    let by = match &port.mode.by {
        Some(by) => format!("says {by}"),
        None => "the default".to_owned(),
    };
    let _ = writeln!(text, "  port {}: {}, {by}", port.port, port.mode.mode);
    for caller in &port.plaintext {
        let _ = writeln!(text, "    plaintext    {}", describe_caller(caller));
    }
    for caller in &port.refused {
        let _ = writeln!(text, "    refused      {}", describe_caller(caller));
    }
    if let Some(count) = &port.mutual_tls {
        let _ = writeln!(text, "    mutual TLS   {}", connections(count));
    }
    if let Some(verdict) = verdict(port, of, window) {
        let _ = writeln!(text, "    {verdict}");
    }
}

fn describe_caller(caller: &CallerReport) -> String {
    let who = match &caller.workload {
        Some(workload) => format!("{workload} at {}", caller.address),
        None => caller.address.clone(),
    };
    let why = match caller.cause {
        Some(PlaintextReport::NoProxy) => ", has no proxy",
        Some(PlaintextReport::PastProxy) => {
            ", has a proxy and calls past it: its traffic is excluded from capture, or its proxy could not ask whose address that is"
        }
        Some(PlaintextReport::BeforeProxy) => ", called before its proxy started",
        Some(PlaintextReport::ByMode) => ", whose proxy was told to: the port took nothing else",
        Some(PlaintextReport::Other) | None => "",
    };
    format!("{who}{why}: {}", connections(&caller.connections))
}

fn connections(count: &ConnectionsReport) -> String {
    let number = count.connections;
    let many = if number == 1 { "1 connection".to_owned() } else { format!("{number} connections") };
    match count.open {
        0 => format!("{many}, the last {} ago", show::age(count.age_seconds)),
        open => format!("{many}, {open} open"),
    }
}

fn verdict(port: &PortPlanReport, of: &WorkloadPlanReport, window: f64) -> Option<String> {
    Some(match port.verdict? {
        StrictReport::Strict => return None,
        StrictReport::WouldBreak => {
            let mut who: Vec<&str> = port
                .plaintext
                .iter()
                .filter(|caller| caller.breaks)
                .map(|caller| caller.workload.as_deref().unwrap_or(&caller.address))
                .collect();
            who.dedup();
            match who.len() {
                0 => "STRICT may break callers whose names were not kept".to_owned(),
                number => {
                    format!("STRICT would break {}: {}", show::count(number, "caller"), who.join(", "))
                }
            }
        }
        StrictReport::Ready => {
            format!(
                "ready for STRICT: all who were seen in the last {} came in mutual TLS",
                show::age(window)
            )
        }
        StrictReport::Unknown => match &of.started {
            _ if !port.plaintext.is_empty() && port.mode.mode == "DISABLE" => {
                "not known: say PERMISSIVE first, and see who comes in mutual TLS then".to_owned()
            }
            _ if !port.plaintext.is_empty() || port.mutual_tls.is_some() => format!(
                "not known: nobody was seen in the last {} who would come in mutual TLS",
                show::age(window)
            ),
            Some(started) => {
                format!("no traffic seen since the proxy started at {started}, so nothing is known")
            }
            None => "its proxy has told nothing yet, so nothing is known".to_owned(),
        },
        StrictReport::Other => return None,
    })
}

#[cfg(test)]
mod tests;
