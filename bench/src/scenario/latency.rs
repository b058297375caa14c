//! What two sidecars cost and what they add to the latency of a call, at a constant rate of calls: no latency is without
//! the same of the application alone, taken in the same round.

use std::fmt::Write as _;

use anyhow::Result;

use crate::measured::{Block, Comparison, Load, Measured};
use crate::options::Options;
use crate::process::{self, LOAD_CORE};
use crate::report::{self, ScenarioReport};
use crate::staged::{Staged, Traffic};
use crate::statistics::median;
use crate::turns::{Contest, Pace, Restarts};
use crate::{open_load, peers};

/// Connections of the caller's application.
const CONNECTIONS: usize = 16;
/// Calls per second: few, and about half of what the slowest pair can do on one core.
const RATES: [usize; 2] = [1000, 3000];
/// Whose cost ours is related to.
const PEERS: [&str; 2] = ["HAProxy", "Envoy"];

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    if options.wants("envoy") {
        peers::pair::prepare(&options.folder()?.path("envoy"))?;
    }
    let staged = Staged::set_up(options, "latency", Traffic::Http)?;
    let mesh = staged.mesh()?;
    let mut contenders = staged.contenders(options, &mesh)?;
    contenders.retain(|contender| contender.name != "Leno, plain");
    contenders.push(staged.direct());
    let mut contest = Contest::new("latency", contenders);
    let (rounds, seconds) = if options.short { (2, 4) } else { (8, 6) };
    let mut section = String::from(ABOUT);
    let (mut versions, mut figures) = (Vec::new(), Vec::new());
    for rate in RATES {
        let pace = Pace {
            label: format!("{rate} calls a second"),
            rounds: options.rounds.unwrap_or(rounds),
            seconds: options.seconds.unwrap_or(seconds),
            warm_up_s: 1,
            connections: CONNECTIONS,
            restarts: Restarts::Never,
        };
        let put = |to, connections, seconds| {
            let command = open_load::command(LOAD_CORE, to, connections, rate, seconds)?;
            let load = Load::of_generator(&staged.beside_caller(to, &command));
            staged.empty_logs()?;
            load
        };
        let comparison = contest.run(staged.folder(), &pace, &put)?;
        section.push_str(&table(&comparison, rate));
        figures.extend(report::figures("latency", std::slice::from_ref(&comparison), &PEERS));
        versions.extend(comparison.measured);
    }
    section.push_str(&report::versions(versions.iter()));
    Ok(ScenarioReport { section, charts: Vec::new(), figures })
}

fn table(comparison: &Comparison, rate: usize) -> String {
    let mut out = format!(
        "### {}\n\nMachine: {}. {} rounds of {} s each; {} left out because the null proxies drifted.\n\n\
         | proxies | p50 µs | added p50 µs | p99 µs | added p99 µs | CPU µs per call | of HAProxy | of Envoy \
         | CPU ms a second | context switches | errors |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
        comparison.label,
        process::machine(),
        comparison.rounds,
        comparison.seconds,
        comparison.dropped
    );
    for measured in &comparison.measured {
        let p50 = |load: &Load| load.p50_ms * 1000.0;
        let p99 = |load: &Load| load.p99_ms * 1000.0;
        let _ = writeln!(
            out,
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} |{} {:.0} | {:.2} | {:.0} |",
            measured.name,
            measured.median(|block| block.load.p50_ms * 1000.0),
            added(comparison, measured, p50),
            measured.median(|block| block.load.p99_ms * 1000.0),
            added(comparison, measured, p99),
            measured.median(Block::total_us),
            PEERS.map(|peer| report::cell(comparison.ratio(measured, peer))).concat(),
            measured.median(Block::total_us) * rate as f64 / 1000.0,
            measured.median(|block| block.switches),
            measured.blocks.iter().map(|block| block.load.errors).sum::<f64>(),
        );
    }
    out.push('\n');
    out
}

/// Beyond what the application alone took in the same round, the median.
fn added(comparison: &Comparison, measured: &Measured, of: fn(&Load) -> f64) -> f64 {
    let direct = |round: usize| {
        let blocks = comparison.find("direct").map(|direct| direct.blocks.as_slice()).unwrap_or_default();
        blocks.iter().find(|block| block.round == round).map(|block| of(&block.load))
    };
    median(measured.blocks.iter().filter_map(|block| Some(of(&block.load) - direct(block.round)?)))
}

const ABOUT: &str = "## Cost and added latency at a constant rate

The sidecar pairs as above, under an open loop: calls are sent at a constant rate over 16 connections, and a call's
latency counts from the moment at which it was to be sent, so a stall is seen by all calls that fall into it. What is
added is beyond what the same application took without proxies in the same round (`direct`). CPU is that of both proxies;
ratios are within a round.

";
