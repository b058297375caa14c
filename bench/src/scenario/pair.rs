//! Two sidecars in a chain on two hosts: application, caller's proxy, mutual TLS over HTTP/2, callee's proxy,
//! application. Each peer costs what both of its proxies spent for each request.

use std::fmt::Write as _;

use anyhow::Result;

use crate::chart::Chart;
use crate::gates::Figure;
use crate::measured::{Block, Comparison};
use crate::options::Options;
use crate::peers;
use crate::report::{self, ScenarioReport};
use crate::staged::{Staged, Traffic};
use crate::statistics::{Estimate, estimate};
use crate::turns::{Contest, Pace, Restarts};

/// Applications that call at the same time.
const CONNECTIONS: [usize; 4] = [32, 1, 8, 256];

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    if options.wants("envoy") {
        // The stage has no way to PyPI.
        peers::pair::prepare(&options.folder()?.path("envoy"))?;
    }
    let staged = Staged::set_up(options, "pair", Traffic::Http)?;
    let mesh = staged.mesh()?;
    let mut contest = Contest::new("pair", staged.contenders(options, &mesh)?);
    let (rounds, seconds) = if options.short { (4, 2) } else { (12, 4) };
    let connections =
        if options.connections.is_empty() { CONNECTIONS.to_vec() } else { options.connections.clone() };
    let mut comparisons = Vec::new();
    for connections in connections {
        let (rounds, seconds) = (options.rounds.unwrap_or(rounds), options.seconds.unwrap_or(seconds));
        let pace = Pace::of_connections(connections, Restarts::Never, rounds, seconds);
        let load = |to, connections, seconds| staged.wrk(to, connections, seconds);
        comparisons.push(contest.run(staged.folder(), &pace, &load)?);
    }
    let mut section = String::from(ABOUT);
    let _ = writeln!(section, "Access log: {:?}.\n", options.log);
    let mut figures = report::figures("pair", &comparisons, &["HAProxy", "Envoy"]);
    for comparison in &comparisons {
        section.push_str(&report::comparison(comparison, &["HAProxy", "Envoy"]));
        if let Some(ratio) = of_plain(comparison) {
            let _ = writeln!(
                section,
                "With {}, a mesh proxy costs {:.2} ({:.2} to {:.2}) times what the plain proxy does.\n",
                comparison.label, ratio.median, ratio.low, ratio.high
            );
            figures.push(Figure { name: format!("pair/{}/mesh of plain", comparison.label), value: ratio });
        }
    }
    section
        .push_str(&report::versions(comparisons.iter().take(1).flat_map(|comparison| &comparison.measured)));
    let chart = Chart::of_comparisons("pair", "Two sidecars with mutual TLS over HTTP/2", &comparisons);
    Ok(ScenarioReport { section, charts: vec![chart], figures })
}

/// What one of Leno's two sidecars costs, of its plain proxy in the same round.
fn of_plain(comparison: &Comparison) -> Option<Estimate> {
    let (pair, plain) = (comparison.find("Leno")?, comparison.find("Leno, plain")?);
    let find = |round: usize| plain.blocks.iter().find(|block| block.round == round).map(Block::total_us);
    let ratios: Vec<f64> =
        pair.blocks.iter().filter_map(|block| Some(block.total_us() / 2.0 / find(block.round)?)).collect();
    (!ratios.is_empty()).then(|| estimate(&ratios))
}

const ABOUT: &str = "## Two sidecars with mutual TLS over HTTP/2

A GET with a reply of 100 bytes over HTTP/1.1 keep-alive, through the caller's proxy and the callee's, with HTTP/2 in
mutual TLS 1.3 (P-256) between the two; ten authorization rules at the callee, of which the last lets the caller in;
metrics on. Caller and callee are network namespaces joined by a cable; calls are redirected to the caller's proxy as
capture does it, for all peers alike. All proxies share core 1 and have one worker each; wrk and the nginx behind are on
core 0. Costs are CPU time of both processes together per request from `/proc/PID/stat`; the peers take turns (A B C,
then C B A), ratios are of total CPU in the same round, with a bootstrap interval of 95 %. `null` are two proxies that
copy bytes without TLS; `Leno, plain` is one `leno gateway` on
loopback, without a mesh and without a log, as in the section about plain HTTP/1.1. Settings:
`bench/src/peers/pair.rs`, `bench/src/mesh.rs`.

![CPU per request](benchmarks/pair.svg)

";
