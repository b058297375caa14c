//! From the start of a process to its first answer: programs without a mesh, each started again and again.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use crate::options::Options;
use crate::peers::{self, PeerProgram, Wire};
use crate::plain::Plain;
use crate::probe;
use crate::process::{self, LOAD_CORE, PROXY_CORE, RunningProgram};
use crate::report::{self, ScenarioReport};
use crate::statistics::median;

/// What a start took and left.
struct FirstAnswer {
    ms: f64,
    resident_mib: f64,
}

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    // What is started has its core for itself.
    process::pin(LOAD_CORE)?;
    let folder = options.folder()?.fresh("start")?;
    let target = process::free_address()?;
    let backend = peers::backend(&folder, target)?;
    let mut backend_running =
        RunningProgram::start(backend.name, LOAD_CORE, &backend.command, &folder.path("backend.log"))?;
    backend_running.wait_for(backend.address)?;
    let mut plain = Plain::new(options, folder, Wire::Http1, target)?;
    plain.peers.retain(|peer| peer.name != "bare");
    let starts = options.rounds.unwrap_or(if options.short { 10 } else { 40 });
    let mut found: Vec<Vec<FirstAnswer>> = plain.peers.iter().map(|_| Vec::new()).collect();
    for start in 0..=starts {
        for (peer, found) in plain.peers.iter().zip(&mut found) {
            let answer = start_once(&plain, peer)?;
            let line = json!({
                "peer": peer.name, "start": start, "ms": answer.ms, "resident_mib": answer.resident_mib,
            });
            plain.folder.append("start.jsonl", &line.to_string())?;
            // The first one reads the program from disk.
            if start > 0 {
                found.push(answer);
            }
        }
    }
    Ok(ScenarioReport {
        section: section(&plain.peers, &found, starts),
        charts: Vec::new(),
        figures: Vec::new(),
    })
}

/// Starts it, asks until the answer is a 200, and ends it.
fn start_once(plain: &Plain, peer: &PeerProgram) -> Result<FirstAnswer> {
    let log = plain.folder.path(&format!("{}.log", peer.name));
    let began = Instant::now();
    let running = RunningProgram::start(peer.name, PROXY_CORE, &peer.command, &log)?;
    probe::run(peer.address, "/")?;
    Ok(FirstAnswer { ms: began.elapsed().as_secs_f64() * 1000.0, resident_mib: running.resident_mib() })
}

fn section(peers: &[PeerProgram], found: &[Vec<FirstAnswer>], starts: usize) -> String {
    let mut out = String::from(ABOUT);
    let _ = writeln!(
        out,
        "Machine: {}. {starts} starts of each.\n\n| program | to the first answer, ms | RSS then, MiB |\n|---|---|---|",
        process::machine()
    );
    for (peer, answers) in peers.iter().zip(found) {
        let times: Vec<f64> = answers.iter().map(|answer| answer.ms).collect();
        let resident_mib = median(answers.iter().map(|answer| answer.resident_mib));
        let _ = writeln!(out, "| {} | {} | {resident_mib:.1} |", peer.name, report::spread(&times, 1));
    }
    let versions: Vec<String> =
        peers.iter().map(|peer| format!("{}: `{}`", peer.name, peer.version)).collect();
    let _ = writeln!(out, "\nVersions: {}.", versions.join("; "));
    out
}

const ABOUT: &str = "## From start to the first answer

From the start of the process until a GET through it is answered with 200, asked again as long as it is not; the
configurations are those of plain HTTP/1.1 with one worker, an nginx backend is there already. What is started has core 1
for itself; medians, with the least and the greatest in parentheses, the peers in turn, after one start of each that is
not counted. `null` listens at once: what it takes, all the others take too.

";
