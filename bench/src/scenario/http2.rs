//! Plain HTTP/2 and unary gRPC through one worker, without TLS on either side: the peers take turns, and each costs
//! what its process tree spent for each request.

use anyhow::Result;

use crate::chart::Chart;
use crate::http2_app;
use crate::http2_load::{self, Call, Shape};
use crate::measured::Load;
use crate::options::Options;
use crate::peers::Wire;
use crate::plain::Plain;
use crate::process::{self, LOAD_CORE};
use crate::report::{self, ScenarioReport};
use crate::turns::{Contest, Pace, Restarts};

/// What is called, over how many connections, and with how many streams on each.
const LOADS: [(&str, Call, usize, usize); 4] = [
    ("gRPC unary, 1 connection of 64 streams", Call::Grpc, 1, 64),
    ("gRPC unary, 32 connections of 1 stream", Call::Grpc, 32, 1),
    ("gRPC unary, 1 connection of 1 stream", Call::Grpc, 1, 1),
    ("GET, 1 connection of 64 streams", Call::Get, 1, 64),
];

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let folder = options.folder()?.fresh("http2")?;
    let target = process::free_address()?;
    let _app = http2_app::start(target, &folder.path("app.log"))?;
    let plain = Plain::new(options, folder, Wire::Http2, target)?;
    let mut contest = Contest::new("http2", plain.contenders());
    let (rounds, seconds) = if options.short { (4, 2) } else { (8, 4) };
    let mut comparisons = Vec::new();
    for (label, call, connections, streams) in LOADS {
        let pace = Pace {
            label: label.to_owned(),
            rounds: options.rounds.unwrap_or(rounds),
            seconds: options.seconds.unwrap_or(seconds),
            warm_up_s: 1,
            connections,
            restarts: Restarts::Never,
        };
        let put = |to, connections, seconds| {
            let shape = Shape { to, connections, streams, seconds, call };
            Load::of_generator(&http2_load::command(LOAD_CORE, &shape)?)
        };
        comparisons.push(contest.run(&plain.folder, &pace, &put)?);
    }
    let mut section = String::from(ABOUT);
    for comparison in &comparisons {
        section.push_str(&report::comparison(comparison, &["HAProxy", "Envoy"]));
    }
    section.push_str(&report::versions(comparisons.iter().flat_map(|comparison| &comparison.measured)));
    let chart = Chart::of_comparisons("http2", "Plain HTTP/2 and gRPC through one worker", &comparisons);
    let figures = report::figures("http2", &comparisons, &["HAProxy", "Envoy"]);
    Ok(ScenarioReport { section, charts: vec![chart], figures })
}

const ABOUT: &str = "## HTTP/2 and gRPC, one worker

HTTP/2 without TLS on both sides. A unary gRPC call carries a message of 16 bytes each way, and trailers; a GET has an
answer of 100 bytes. Generator (a closed loop) and application are the bench's own, of the crate `h2`, on core 0; the
proxy alone on core 1, the peers in turn (A B C, then C B A). Costs are CPU time of the whole process tree per request:
medians over the rounds, with the least and the greatest in parentheses; ratios are of total CPU in the same round, with
a bootstrap interval of 95 %. `null` copies bytes.

![CPU per request](benchmarks/http2.svg)

";
