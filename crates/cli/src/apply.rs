//! `leno apply`: local findings first; only when there is no error anything is sent.

use crate::console::Console;
use crate::exit::{self, DATA, Failure, Outcome, USAGE};
use crate::load::{self, Loaded};
use crate::remote::{self, Form, Remote, Server};
use crate::status::{self, Sync};
use crate::{naming, show};
use api::{Object, kinds};
use http::StatusCode;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How often `--wait` looks.
const POLL: Duration = Duration::from_millis(100);
/// Times in a row that all proxies must be in sync: a change that was taken over is pushed within a tick,
/// and the first look may come before that.
const CALM_LOOKS: u32 = 2;

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// Files or directories of YAML or JSON; `-` is standard input
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    filename: Vec<String>,
    /// Return when every connected proxy runs the change, at most after this long
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    wait: Option<String>,
    /// Check only; send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: &Apply, console: &mut Console) -> Outcome {
    let wait = args.wait.as_deref().map(parse_wait).transpose()?;
    let remote = args.server.remote()?;
    let loaded = load::load(&args.filename)?;
    show::findings(console, &loaded.findings, |file| loaded.text_of(file));
    if loaded.has_errors() {
        return Err(Failure::new(DATA, "nothing was applied"));
    }
    if loaded.objects.is_empty() {
        return Err(Failure::new(DATA, "no objects were given"));
    }
    if args.dry_run {
        console.say(&format!("{} would be applied", show::count(loaded.objects.len(), "object")));
        return Ok(exit::OK);
    }
    let mut refused = 0;
    for object in &loaded.objects {
        refused += u32::from(!send(&remote, object, &loaded, console).await?);
    }
    if refused > 0 {
        let message = format!("{} refused", show::count(refused as usize, "object"));
        return Err(Failure::new(DATA, message));
    }
    match wait {
        Some(limit) => wait_for_sync(&remote, limit, console).await,
        None => Ok(exit::OK),
    }
}

fn parse_wait(text: &str) -> Result<Duration, Failure> {
    let parsed = api::duration::parse(text).filter(|limit| !limit.is_zero());
    parsed
        .ok_or_else(|| Failure::new(USAGE, format!("--wait={text}: write a duration, for example 30s or 2m")))
}

/// Sends one object; `false`: it was refused, and why has been printed.
async fn send(
    remote: &Remote,
    object: &Object,
    loaded: &Loaded,
    console: &mut Console,
) -> Result<bool, Failure> {
    let Some(kind) = kinds::by_kind(&object.object.kind) else {
        return Err(Failure::new(DATA, format!("{} is of no known kind", object.object)));
    };
    let path = naming::path(kind, Some(&object.object.namespace), Some(&object.object.name));
    let body = Some(("application/json", object.value.to_string()));
    let response = remote.call("PUT", &path, Form::Json, body).await?;
    let shown = naming::display(kind, &object.object.name);
    match response.status() {
        StatusCode::CREATED => console.data(&format!("{shown} created\n")),
        status if status.is_success() => console.data(&format!("{shown} configured\n")),
        _ => {
            let findings = remote::findings(&serde_json::from_slice(response.body()).unwrap_or_default());
            if findings.is_empty() {
                return Err(remote::refusal(&response));
            }
            show::findings(console, &findings, |file| loaded.text_of(file));
            return Ok(false);
        }
    }
    for warning in response.headers().get_all(http::header::WARNING) {
        let text = warning.to_str().unwrap_or_default();
        let text = text.trim_start_matches("299 - ").trim_matches('"');
        let known = loaded.findings.iter().any(|finding| text.contains(finding.code.as_str()));
        if !known {
            console.say(text);
        }
    }
    Ok(true)
}

async fn wait_for_sync(remote: &Remote, limit: Duration, console: &mut Console) -> Outcome {
    let end = Instant::now() + limit;
    let mut calm = 0;
    loop {
        let report = remote.get("/leno/v1/status").await?;
        let behind = behind(&report);
        calm = if behind.is_empty() { calm + 1 } else { 0 };
        if calm >= CALM_LOOKS {
            let proxies = status::proxies(&report).len();
            console.say(&format!("proxies in sync: {proxies}"));
            return Ok(exit::OK);
        }
        if let Some(refused) = behind.iter().find(|(_, sync)| *sync == Sync::Nack) {
            return Err(Failure::new(
                exit::FAILED,
                format!("{} refused the change; see leno status", refused.0),
            ));
        }
        if Instant::now() >= end {
            let names: Vec<_> =
                behind.iter().map(|(name, sync)| format!("{name} ({})", sync.as_str())).collect();
            let names = names.join(", ");
            return Err(Failure::new(
                exit::FAILED,
                format!("applied, but not in sync within {limit:?}: {names}"),
            ));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Connected proxies that do not run what they were sent.
fn behind(report: &Value) -> Vec<(String, Sync)> {
    let connected = status::proxies(report).iter().filter(|proxy| proxy["connected"].as_bool() == Some(true));
    let judged = connected.map(|proxy| (status::name(proxy).to_owned(), Sync::of(proxy)));
    // A proxy that asked for nothing yet has nothing to run.
    judged.filter(|(_, sync)| matches!(sync, Sync::Stale | Sync::Nack)).collect()
}

#[cfg(test)]
mod tests;
