//! `leno check`: checks the mesh. One line for each question, or the same as a document.

use crate::console::{Console, Tone, paint};
use crate::exit::{self, Outcome};
use crate::remote::{self, Remote, Server};
use crate::show::{self, ReportFormat};
use crate::status::{PlaneStatus, Recipient};
use api::report::{CertificateReport, CertificateState, ControlStatus, SyncState};
use model::{Finding, Severity};
use serde_json::json;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: ReportFormat,
    #[command(flatten)]
    server: Server,
}

/// A question with its answer.
struct CheckAnswer {
    /// What was asked, in one word.
    question: &'static str,
    is_good: bool,
    text: String,
    /// Who stands in the way, one line each.
    details: Vec<String>,
}

impl CheckAnswer {
    fn new(question: &'static str, is_good: bool, text: String) -> Self {
        Self { question, is_good, text, details: Vec::new() }
    }

    /// Good when nobody stands in the way.
    fn of(question: &'static str, text: String, details: Vec<String>) -> Self {
        Self { question, is_good: details.is_empty(), text, details }
    }
}

pub(crate) async fn run(args: &Check, console: &mut Console) -> Outcome {
    let remote = args.server.remote()?;
    let report = match remote.get("/leno/v1/status").await {
        Ok(report) => report,
        Err(failure) => {
            let text = format!("no good answer at {}: {:#}", remote.url(), failure.cause);
            let answer = CheckAnswer::new("answers", false, text);
            print(args.output, console, &[answer], &[], failure.code)?;
            return Err(failure);
        }
    };
    let status = PlaneStatus::read(&report)?;
    let recipients = status.recipients();
    let (mut answers, findings) = match &status {
        PlaneStatus::Manager(_) => (about_clusters(&recipients, &remote), Vec::new()),
        PlaneStatus::Control(control) => {
            let mut answers = about_proxies(control, &recipients, &remote);
            let findings = remote::findings(&remote.get("/leno/v1/findings").await?);
            let errors = count_errors(&findings);
            let text = format!("configuration: {}", show::count(errors, "error"));
            answers.push(CheckAnswer::new("configuration", errors == 0, text));
            (answers, findings)
        }
    };
    answers.insert(answers.len().min(2), about_own_certificates(status.certificates()));
    let code = match (count_errors(&findings), answers.iter().all(|answer| answer.is_good)) {
        (0, true) => exit::OK,
        (0, false) => exit::FAILED,
        _ => exit::FINDINGS,
    };
    print(args.output, console, &answers, &findings, code)?;
    Ok(code)
}

fn count_errors(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.code.level() == Severity::Error).count()
}

fn about_proxies(status: &ControlStatus, proxies: &[Recipient<'_>], remote: &Remote) -> Vec<CheckAnswer> {
    let cluster = if status.cluster.is_empty() { "?" } else { &status.cluster };
    let answers = format!("control plane of cluster {cluster} answers at {}", remote.url());
    let behind = behind(proxies);
    let in_sync = format!("{} of {} proxies in sync", proxies.len() - behind.len(), proxies.len());
    let ending: Vec<String> = proxies
        .iter()
        .filter(|proxy| proxy.state != SyncState::Gone)
        .filter_map(|proxy| Some(format!("{} {}", proxy.name, proxy.certificate_note()?)))
        .collect();
    let text = match ending.len() {
        0 => "certificates of proxies are renewed in time".to_owned(),
        some => format!("certificates of proxies are renewed in time: not those of {some}"),
    };
    vec![
        CheckAnswer::new("answers", true, answers),
        CheckAnswer::of("proxies", in_sync, behind),
        CheckAnswer::of("proxy-certificates", text, ending),
    ]
}

fn about_clusters(clusters: &[Recipient<'_>], remote: &Remote) -> Vec<CheckAnswer> {
    let behind = behind(clusters);
    let in_sync = format!("{} of {} clusters in sync", clusters.len() - behind.len(), clusters.len());
    vec![
        CheckAnswer::new("answers", true, format!("management plane answers at {}", remote.url())),
        CheckAnswer::of("clusters", in_sync, behind),
    ]
}

/// Those that are not in sync, a line each.
fn behind(recipients: &[Recipient<'_>]) -> Vec<String> {
    let behind = recipients.iter().filter(|recipient| recipient.state != SyncState::Synced);
    behind.map(Recipient::line).collect()
}

fn about_own_certificates(held: &[CertificateReport]) -> CheckAnswer {
    let line = |held: &CertificateReport| {
        let (name, expires) = (held.name.as_deref()?, held.expires.as_deref().unwrap_or("?"));
        match held.state? {
            CertificateState::Valid => None,
            CertificateState::Expired => Some(format!("{name} expired at {expires}")),
            CertificateState::ExpiresSoon | CertificateState::Unknown => {
                Some(format!("{name} expires at {expires} and could not be renewed"))
            }
        }
    };
    let text = "certificates of the plane itself are renewed in time".to_owned();
    CheckAnswer::of("certificates", text, held.iter().filter_map(line).collect())
}

/// Answers are data, what is said about them is talk: findings with their lines go to stderr as elsewhere.
fn print(
    output: ReportFormat,
    console: &mut Console,
    answers: &[CheckAnswer],
    findings: &[Finding],
    code: i32,
) -> Result<(), exit::Failure> {
    let document = || {
        let answer = |answer: &CheckAnswer| {
            json!({
                "check": answer.question,
                "ok": answer.is_good,
                "message": answer.text,
                "details": answer.details,
            })
        };
        json!({
            "ok": code == exit::OK,
            "exitCode": code,
            "checks": answers.iter().map(answer).collect::<Vec<_>>(),
            "findings": findings.iter().map(show::finding).collect::<Vec<_>>(),
        })
    };
    if let Some(text) = output.document(document)? {
        console.data(&text);
        return Ok(());
    }
    for answer in answers {
        let mark = match answer.is_good {
            true => paint(console.paint_of_data(), Tone::Good, "ok  "),
            false => paint(console.paint_of_data(), Tone::Bad, "FAIL"),
        };
        console.data(&format!("{mark} {}\n", answer.text));
        for line in &answer.details {
            console.data(&format!("    {line}\n"));
        }
    }
    show::findings(console, findings, |_| None);
    Ok(())
}
