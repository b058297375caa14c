//! `leno explain CODE`: the tables of findings and reasons, offline. `leno explain request`: see there.

mod request;

use crate::console::Console;
use crate::exit::{self, Failure, Outcome, USAGE};
use crate::show;
use api::report;
use model::reason::{Blame, ReasonRow, Retry};
use model::{Code, Reason};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Explain {
    #[command(subcommand)]
    what: Option<What>,
    /// Code of a finding (LENO0003) or a response_code_details of the access log (no_healthy_upstream);
    /// without one, all are listed
    code: Option<String>,
}

/// What else can be explained.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what becomes of a request: rule, backends, policies, under the configuration of the running control
    /// plane or in files
    Request(request::Request),
}

pub(crate) async fn run(args: &Explain, console: &mut Console) -> Outcome {
    if let Some(What::Request(request)) = &args.what {
        return request::run(request, console).await;
    }
    let text = match &args.code {
        None => all(),
        Some(code) => one(code).ok_or_else(|| unknown(code))?,
    };
    console.data(&text);
    Ok(exit::OK)
}

fn one(code: &str) -> Option<String> {
    if let Some(code) = Code::by_str(&code.to_ascii_uppercase()) {
        return Some(format!("{} ({})\n\n{}\n", code.as_str(), report::level(code.level()), code.text()));
    }
    Reason::by_code(&code.to_ascii_lowercase()).map(|reason| describe(&reason.row()))
}

fn describe(row: &ReasonRow) -> String {
    let blame = match row.blame {
        Blame::Downstream => "the caller",
        Blame::Upstream => "the callee, or the way to it",
        Blame::Configuration => "configuration",
        Blame::Policy => "a policy",
        Blame::Proxy => "the proxy",
    };
    let retry = match row.retry {
        Retry::Safe => "yes, any method: nothing of the request reached an application",
        Retry::IfIdempotent => "idempotent methods only: it may have reached an application",
        Retry::IfConfigured => {
            "idempotent methods only, where the rule has a `retry`: an application has had it"
        }
        Retry::Never => "no",
    };
    let flag = if row.flag.is_empty() { "-" } else { row.flag };
    let status = if row.status == 0 { "none is sent".to_owned() } else { row.status.to_string() };
    let facts = [
        ("HTTP status", status),
        ("gRPC status", row.grpc.to_string()),
        ("response flag", flag.to_owned()),
        ("caused by", blame.to_owned()),
        ("tried again", retry.to_owned()),
    ];
    let lines = facts.iter().map(|(name, value)| format!("  {name:<14} {value}\n"));
    format!("{}\n\n{}\n\n{}", row.code, row.advice, lines.collect::<String>())
}

fn all() -> String {
    let findings = Code::ALL.iter().map(|code| {
        let first = code.text().split_inclusive(". ").next().unwrap_or_default();
        vec![code.as_str().to_owned(), report::level(code.level()).to_owned(), first.trim().to_owned()]
    });
    let reasons = Reason::ALL.iter().map(|reason| {
        let row = reason.row();
        vec![row.code.to_owned(), row.flag.to_owned(), row.advice.to_owned()]
    });
    let findings = show::table(&["FINDING", "LEVEL", "MEANING"], &findings.collect::<Vec<_>>());
    let reasons = show::table(&["REASON", "FLAG", "ADVICE"], &reasons.collect::<Vec<_>>());
    format!("{findings}\n{reasons}")
}

fn unknown(code: &str) -> Failure {
    let codes = Code::ALL.iter().map(|code| code.as_str());
    let known: Vec<&str> = codes.chain(Reason::ALL.iter().map(|reason| reason.row().code)).collect();
    let hint = match api::suggest::nearest(code, &known) {
        Some(near) => format!("did you mean {near}?"),
        None => "leno explain lists all".to_owned(),
    };
    Failure::new(USAGE, format!("there is no code {code}; {hint}"))
}

#[cfg(test)]
mod tests;
