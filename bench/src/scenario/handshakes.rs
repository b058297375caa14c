//! Mutual TLS handshakes at one proxy: the callee's of each pair, called without a caller's proxy.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Result;

use crate::chart::Chart;
use crate::measured::{Block, Comparison, Load};
use crate::options::Options;
use crate::process::LOAD_CORE;
use crate::report::{self, ScenarioReport};
use crate::stage::CALLEE;
use crate::staged::{APP, Staged, Traffic};
use crate::tls_load::{KeyExchange, TlsShape};
use crate::turns::{Contest, Pace, Restarts};
use crate::{peers, tls_load};

/// Handshakes that go on at the same time.
const CONNECTIONS: usize = 16;
/// What the generator offers.
const EXCHANGES: [(&str, KeyExchange); 2] = [
    ("Handshakes with X25519", KeyExchange::Classic),
    ("Handshakes with X25519MLKEM768 by those who know it", KeyExchange::Hybrid),
];

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    if options.wants("envoy") {
        peers::pair::prepare(&options.folder()?.path("envoy"))?;
    }
    let staged = Staged::set_up(options, "handshakes", Traffic::Http)?;
    let mesh = staged.mesh()?;
    let (meshes, others) = (mesh.credentials()?, staged.credentials());
    let mut contest = Contest::new("handshakes", staged.callees(options, &mesh)?);
    let (rounds, seconds) = if options.short { (2, 2) } else { (8, 4) };
    let mut comparisons = Vec::new();
    for (label, exchange) in EXCHANGES {
        let pace = Pace {
            label: label.to_owned(),
            rounds: options.rounds.unwrap_or(rounds),
            seconds: options.seconds.unwrap_or(seconds),
            warm_up_s: 1,
            connections: CONNECTIONS,
            restarts: Restarts::Never,
        };
        let put = |to: SocketAddr, connections, seconds| {
            let is_mesh = to.port() == model::address::PORT_MESH;
            let application = SocketAddr::from((CALLEE, APP.http));
            let credentials = if is_mesh { &meshes } else { others }.to_owned();
            let shape = TlsShape { to, connections, seconds, credentials, exchange, application };
            let load = Load::of_generator(&staged.at_caller(&tls_load::command(LOAD_CORE, &shape)?));
            staged.empty_logs()?;
            load
        };
        comparisons.push(contest.run(staged.folder(), &pace, &put)?);
    }
    let mut section = String::from(ABOUT);
    for comparison in &comparisons {
        section.push_str(&report::comparison(comparison, &["HAProxy", "Envoy"]));
        let _ = writeln!(section, "One core could do {}.\n", rates(comparison));
    }
    section.push_str(&report::versions(comparisons.iter().flat_map(|comparison| &comparison.measured)));
    let chart = Chart::of_comparisons("handshakes", "A mutual TLS handshake and one request", &comparisons);
    let figures = report::figures("handshakes", &comparisons, &["HAProxy", "Envoy"]);
    Ok(ScenarioReport { section, charts: vec![chart], figures })
}

/// Handshakes a second that would take a core whole.
fn rates(comparison: &Comparison) -> String {
    let rates = comparison.measured.iter().map(|measured| {
        let per_second = 1e6 / measured.median(Block::total_us);
        format!("{per_second:.0} a second ({})", measured.name)
    });
    rates.collect::<Vec<_>>().join(", ")
}

const ABOUT: &str = "## Mutual TLS handshakes

The callee's proxy of each pair alone, called by 16 loops that each open a connection, shake hands, do one GET and close
it: TLS 1.3, certificates of P-256 with an intermediate on both sides, no resumption and no tickets. What is counted is
CPU of the proxy for all of that: two signatures of the caller's chain and one of its handshake are verified, one is
made, a request goes through ten authorization rules to the application over a kept connection. The generator is on core
0 with the application, the proxy alone on core 1; the peers take turns. Leno's proxies prefer the hybrid key exchange
among themselves, which costs more, so both are measured.

![CPU per handshake](benchmarks/handshakes.svg)

";
