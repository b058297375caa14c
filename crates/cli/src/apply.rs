//! `leno apply`: local findings first; only when there is no error anything is sent, and then as one change.
//!
//! The control plane looks too: it makes all of the change, at one moment, or nothing of it.

use crate::console::Console;
use crate::exit::{self, DATA, Failure, Outcome, USAGE};
use crate::load::{self, Loaded, Strict};
use crate::remote::{self, Meant, Remote, Server};
use crate::status::{PlaneStatus, Recipient};
use crate::{naming, show};
use api::report::SyncState;
use api::{Object, kinds};
use model::Finding;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How often `--wait` looks.
const POLL: Duration = Duration::from_millis(100);

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub struct Apply {
    /// Files or directories of YAML or JSON; `-` is standard input
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    filename: Vec<String>,
    /// What findings call standard input
    #[arg(long, value_name = "NAME", default_value = load::STDIN, hide_default_value = true)]
    stdin_filename: String,
    /// Return when every connected proxy has confirmed the change, at most after this long [default: 30s]
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    wait: Option<String>,
    /// Check only; send nothing
    #[arg(long)]
    dry_run: bool,
    /// Apply also what makes a port STRICT that callers in plaintext use; see leno mtls plan
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    strict: Strict,
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: &Apply, console: &mut Console) -> Outcome {
    let wait = args.wait.as_deref().map(parse_wait).transpose()?;
    let remote = args.server.remote()?;
    let loaded = load::load_as(&args.filename, &args.stdin_filename)?;
    show::findings(console, &loaded.findings, |file| loaded.text_of(file));
    if loaded.has_errors() {
        return Err(Failure::new(DATA, "nothing was applied"));
    }
    loaded.check_strict(args.strict, "nothing was applied")?;
    if loaded.objects.is_empty() && !loaded.findings.is_empty() {
        console.say("no objects to apply");
        return Ok(exit::OK);
    }
    if loaded.objects.is_empty() {
        return Err(Failure::new(DATA, "no objects were given"));
    }
    if args.dry_run {
        console.say(&format!("{} would be applied", show::count(loaded.objects.len(), "object")));
        return Ok(exit::OK);
    }
    let revision = send(&remote, &loaded, Meant::by(args.force), console).await?;
    match wait {
        Some(limit) => wait_for_revision(&remote, revision, limit, console).await,
        None => Ok(exit::OK),
    }
}

fn parse_wait(text: &str) -> Result<Duration, Failure> {
    let parsed = api::duration::parse(text).filter(|limit| !limit.is_zero());
    parsed
        .ok_or_else(|| Failure::new(USAGE, format!("--wait={text}: write a duration, for example 30s or 2m")))
}

/// Sends all objects as one change; the result is its revision.
async fn send(remote: &Remote, loaded: &Loaded, meant: Meant, console: &mut Console) -> Result<u64, Failure> {
    let texts: Vec<&str> = loaded.objects.iter().map(|object| &*object.text).collect();
    let response = remote.change(&texts, &[], meant).await?;
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let findings = placed(&body, loaded);
    if !response.status().is_success() {
        if findings.is_empty() {
            return Err(remote::refusal(&response));
        }
        show::findings(console, &findings, |file| loaded.text_of(file));
        return Err(Failure::new(DATA, "nothing was applied"));
    }
    for applied in body["applied"].as_array().into_iter().flatten() {
        let text = |name: &str| applied[name].as_str().unwrap_or_default();
        if let Some(kind) = kinds::by_kind(text("kind")) {
            console.data(&format!("{} {}\n", naming::display(kind, text("name")), text("change")));
        }
    }
    show::findings(console, &findings, |file| loaded.text_of(file));
    Ok(body["revision"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// What the server found in these objects, with their places in the files. What was told already is left out.
pub(crate) fn placed(body: &Value, loaded: &Loaded) -> Vec<Finding> {
    let mut findings = remote::findings(body);
    findings.iter_mut().for_each(|finding| place(finding, &loaded.objects));
    findings.retain(|finding| !loaded.findings.contains(finding));
    findings
}

/// The control plane knows lines of the texts that it was sent; here they are in files.
fn place(finding: &mut Finding, objects: &[Object]) {
    let of = |object: &&Object| object.object == finding.origin.object;
    let Some(object) = objects.iter().find(of).filter(|_| finding.origin.file.is_empty()) else { return };
    let is_content =
        |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#') && !line.starts_with('%');
    let before = object.text.lines().take_while(|line| !is_content(line)).count();
    let line = finding.origin.line.saturating_sub(1 + u32::try_from(before).unwrap_or(u32::MAX));
    finding.origin = object.at(object.origin.line + line);
}

async fn wait_for_revision(
    remote: &Remote,
    revision: u64,
    limit: Duration,
    console: &mut Console,
) -> Outcome {
    if revision == 0 {
        return Err(Failure::new(exit::FAILED, "applied, but the answer names no revision to wait for"));
    }
    let end = Instant::now() + limit;
    loop {
        let status = PlaneStatus::read(&remote.get("/leno/v1/status").await?)?;
        let PlaneStatus::Control(control) = &status else {
            return Err(Failure::new(exit::FAILED, "applied, but the management plane confirms nothing"));
        };
        let proxies = status.recipients();
        let away = names(&proxies, |proxy| !proxy.is_connected);
        let refused = names(&proxies, |proxy| lacks(proxy, revision) && proxy.state == SyncState::Refused);
        let behind = names(&proxies, |proxy| lacks(proxy, revision));
        // Until the change was handed out, nobody can have confirmed it.
        let is_handed_out = control.revision >= revision;
        if is_handed_out && behind.is_empty() {
            let all = proxies.iter().filter(|proxy| proxy.is_connected).count();
            console.say(&format!("confirmed by {}", show::count_of(all, "proxy", "proxies")));
            if !away.is_empty() {
                console.say(&format!("not connected, get it on their return: {}", away.join(", ")));
            }
            return Ok(exit::OK);
        }
        let failed = |text: String| Err(Failure::new(exit::FAILED, text));
        if !refused.is_empty() {
            return failed(format!("applied, but refused by {}; see leno status", refused.join(", ")));
        }
        if Instant::now() >= end {
            let who = if behind.is_empty() { "the control plane".to_owned() } else { behind.join(", ") };
            let away =
                if away.is_empty() { String::new() } else { format!("; not connected: {}", away.join(", ")) };
            return failed(format!("applied, but within {limit:?} not confirmed by {who}{away}"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a connected proxy has not confirmed this revision. One that asked for nothing yet is waited for
/// too: it will be there at once.
fn lacks(proxy: &Recipient<'_>, revision: u64) -> bool {
    proxy.is_connected && proxy.revision < revision
}

fn names(proxies: &[Recipient<'_>], which: impl Fn(&Recipient<'_>) -> bool) -> Vec<String> {
    let found = proxies.iter().filter(|proxy| which(proxy));
    found.map(|proxy| proxy.name.to_owned()).collect()
}

#[cfg(test)]
mod tests;
