//! `leno apply`: local findings first; only when there is no error anything is sent.

use crate::console::Console;
use crate::exit::{self, DATA, Failure, Outcome, USAGE};
use crate::load::{self, Loaded, Strict};
use crate::remote::{self, Remote, Server};
use crate::status::{self, Sync};
use crate::{naming, show};
use api::{Object, kinds};
use http::StatusCode;
use model::Code;
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
    let (mut refused, mut revision) = (0, 0);
    for object in &loaded.objects {
        match send(&remote, object, &loaded, console).await? {
            Answer::Taken(at) => revision = revision.max(at),
            Answer::Refused => refused += 1,
        }
    }
    if refused > 0 {
        let message = format!("{} refused", show::count(refused, "object"));
        return Err(Failure::new(DATA, message));
    }
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

/// What became of one object.
enum Answer {
    /// It is stored, at this revision.
    Taken(u64),
    /// Why has been printed.
    Refused,
}

/// Sends one object.
async fn send(
    remote: &Remote,
    object: &Object,
    loaded: &Loaded,
    console: &mut Console,
) -> Result<Answer, Failure> {
    let Some(kind) = kinds::by_kind(&object.object.kind) else {
        return Err(Failure::new(DATA, format!("{} is of no known kind", object.object)));
    };
    let path = naming::path(kind, Some(&object.object.namespace), Some(&object.object.name));
    let body = Some(("application/json", object.value.to_string()));
    let response = remote.call("PUT", &path, body).await?;
    let shown = naming::display(kind, &object.object.name);
    match response.status() {
        StatusCode::CREATED => console.data(&format!("{shown} created\n")),
        status if status.is_success() => console.data(&format!("{shown} configured\n")),
        _ => {
            let mut findings = remote::findings(&serde_json::from_slice(response.body()).unwrap_or_default());
            // What was sent has no file for the control plane; here it has.
            for stale in findings.iter_mut().filter(|finding| finding.code == Code::Stale) {
                let copied = object.meta.resource_version.as_ref();
                stale.origin = object.at(copied.map_or(0, |copied| copied.line));
            }
            if findings.is_empty() {
                return Err(remote::refusal(&response));
            }
            show::findings(console, &findings, |file| loaded.text_of(file));
            return Ok(Answer::Refused);
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
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let revision = answer.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    Ok(Answer::Taken(revision.and_then(|text| text.parse().ok()).unwrap_or(0)))
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
        let report = remote.get("/leno/v1/status").await?;
        let away = names(&report, |proxy| !is_connected(proxy));
        let refused = names(&report, |proxy| lacks(proxy, revision) && Sync::of(proxy) == Sync::Nack);
        let behind = names(&report, |proxy| lacks(proxy, revision));
        // Until the change was handed out, nobody can have confirmed it.
        let is_handed_out = report["revision"].as_u64() >= Some(revision);
        if is_handed_out && behind.is_empty() {
            let all = status::proxies(&report).iter().filter(|proxy| is_connected(proxy)).count();
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

fn is_connected(proxy: &Value) -> bool {
    proxy["connected"].as_bool() == Some(true)
}

/// Whether a connected proxy has not confirmed this revision. One that asked for nothing yet is waited for
/// too: it will be there at once.
fn lacks(proxy: &Value, revision: u64) -> bool {
    is_connected(proxy) && proxy["revision"].as_u64().unwrap_or(0) < revision
}

fn names(report: &Value, which: impl Fn(&Value) -> bool) -> Vec<String> {
    let found = status::proxies(report).iter().filter(|proxy| which(proxy));
    found.map(|proxy| status::name(proxy).to_owned()).collect()
}

#[cfg(test)]
mod tests;
