//! Plain HTTP/1.1 keep-alive through one worker: the peers take turns under the same load, and each costs what its
//! process tree spent for each request.
//!
//! Generator and backend cost about as much as a fast proxy, so throughput would measure them. CPU per request
//! does not.

use std::fmt::Write as _;

use anyhow::Result;

use crate::chart::Chart;
use crate::options::Options;
use crate::peers::{self, PeerProgram, Wire};
use crate::plain::Plain;
use crate::process::{self, LOAD_CORE, RunningProgram};
use crate::report::{self, ScenarioReport};
use crate::turns::{Contest, Pace, Restarts};
use crate::{change, strace, wrk};

/// How long system calls are counted, in seconds.
const STRACE_S: u64 = 2;
/// Connections at which system calls are counted, and that the gates are about.
const USUAL_CONNECTIONS: usize = 32;

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let folder = options.folder()?.fresh("http1")?;
    let target = process::free_address()?;
    let backend = peers::backend(&folder, target)?;
    let mut backend_running =
        RunningProgram::start(backend.name, LOAD_CORE, &backend.command, &folder.path("backend.log"))?;
    backend_running.wait_for(backend.address)?;

    let plain = Plain::new(options, folder, Wire::Http1, target)?;
    let mut contest = Contest::new("http1", plain.contenders());
    let (rounds, seconds) = if options.short { (2, 3) } else { (6, 5) };
    let connections =
        if options.connections.is_empty() { vec![USUAL_CONNECTIONS, 1] } else { options.connections.clone() };
    let mut comparisons = Vec::new();
    for connections in connections {
        let (rounds, seconds) = (options.rounds.unwrap_or(rounds), options.seconds.unwrap_or(seconds));
        let pace = Pace::of_connections(connections, Restarts::EachBlock, rounds, seconds);
        let put = |to, connections, seconds| wrk::run(&wrk::command(LOAD_CORE, to, connections, seconds));
        comparisons.push(contest.run(&plain.folder, &pace, &put)?);
    }
    if !options.no_strace
        && let Some(first) = comparisons.first_mut()
    {
        for (peer, measured) in plain.peers.iter().zip(&mut first.measured) {
            measured.syscalls = count_syscalls(&plain, peer)
                .inspect_err(|cause| eprintln!("system calls of {}: {cause:#}", peer.name))
                .ok();
        }
    }
    let effect = change::measure(&options.leno()?, plain.folder.root())?;
    let mut section = String::from(ABOUT);
    for comparison in &comparisons {
        section.push_str(&report::comparison(comparison, &["HAProxy", "Envoy"]));
    }
    let _ = write!(
        section,
        "A change of an HTTPRoute's file takes effect in \
         `leno gateway -f` after {:.0} ms (median of 20; worst {:.0} ms). The goal is a second.\n\n",
        effect.median_ms, effect.worst_ms
    );
    section.push_str(&report::versions(comparisons.iter().flat_map(|comparison| &comparison.measured)));
    let chart = Chart::of_comparisons("http1", "Plain HTTP/1.1 through one worker", &comparisons);
    let figures = report::figures("http1", &comparisons, &["HAProxy", "Envoy"]);
    Ok(ScenarioReport { section, charts: vec![chart], figures })
}

/// System calls per request.
fn count_syscalls(plain: &Plain, peer: &PeerProgram) -> Result<f64> {
    let running = plain.start(peer)?;
    let load = |seconds| wrk::run(&wrk::command(LOAD_CORE, peer.address, USUAL_CONNECTIONS, seconds));
    load(1)?;
    let counts = plain.folder.path(&format!("{}.strace", peer.name));
    let (calls, load) = strace::count(&running, &counts, || load(STRACE_S))?;
    Ok(calls / load.requests)
}

const ABOUT: &str = "## Plain HTTP/1.1, one worker

Keep-alive on both sides, a GET with a reply of 100 bytes. wrk and an nginx backend on core 0, the proxy alone on core
1, the peers in turn (A B C, then C B A). Costs are CPU time of the whole process tree per request from
`/proc/PID/stat`: medians over the rounds, with the least and the greatest in parentheses; ratios are of total CPU in
the same round, with a bootstrap interval of 95 %. `null` copies bytes and looks at none of them: what it costs is the
machine's price for four socket calls, which no proxy can avoid; `bare` is Leno's codec without any decision. Throughput
is not compared, because generator and backend cost as much as a fast proxy. p99 is that of a closed loop at saturation,
so it is a sign of trouble and not a latency to compare. System calls were counted by strace in a run of their own.
Peers are tuned by their own guides; see `bench/src/peers/settings.rs`.

![CPU per request](benchmarks/http1.svg)

";
