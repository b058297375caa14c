//! `leno check`: is all well? One line for each question.

use crate::console::{Console, Tone, paint};
use crate::exit::{self, Outcome};
use crate::remote::{self, Server};
use crate::show;
use crate::status::{self, Sync};
use model::Level;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Check {
    #[command(flatten)]
    server: Server,
}

pub(crate) async fn run(args: &Check, console: &mut Console) -> Outcome {
    let remote = args.server.remote()?;
    let report = match remote.get("/leno/v1/status").await {
        Ok(report) => report,
        Err(failure) => {
            answer(console, false, "control plane answers");
            return Err(failure);
        }
    };
    let cluster = report["cluster"].as_str().unwrap_or("?");
    answer(console, true, &format!("control plane of cluster {cluster} answers at {}", remote.url()));

    let proxies = status::proxies(&report);
    let behind: Vec<_> = proxies.iter().filter(|proxy| Sync::of(proxy) != Sync::Synced).collect();
    answer(
        console,
        behind.is_empty(),
        &format!("{} of {} proxies in sync", proxies.len() - behind.len(), proxies.len()),
    );
    for proxy in &behind {
        console.say(&format!("    {} {}", status::name(proxy), Sync::of(proxy).as_str()));
    }

    let findings = remote::findings(&remote.get("/leno/v1/findings").await?);
    let errors = findings.iter().filter(|finding| finding.code.level() == Level::Error).count();
    answer(console, errors == 0, &format!("configuration: {}", show::count(errors, "error")));
    show::findings(console, &findings, |_| None);
    Ok(match (errors, behind.is_empty()) {
        (0, true) => exit::OK,
        (0, false) => exit::FAILED,
        _ => exit::FINDINGS,
    })
}

fn answer(console: &mut Console, good: bool, what: &str) {
    let mark =
        if good { paint(console.paint, Tone::Good, "ok  ") } else { paint(console.paint, Tone::Bad, "FAIL") };
    console.say(&format!("{mark} {what}"));
}
