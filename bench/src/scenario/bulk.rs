//! HTTP/2 uploads and downloads through one worker, beside the same without a proxy.

use anyhow::Result;

use crate::http2_app;
use crate::http2_load::{self, BULK_BYTES, Call, Shape};
use crate::measured::Load;
use crate::options::Options;
use crate::peers::Wire;
use crate::plain::Plain;
use crate::process::{self, LOAD_CORE};
use crate::report::{self, ScenarioReport};
use crate::tcp_load::GIGABYTE;
use crate::turns::{Contender, Contest, Pace, Restarts};

/// What is done at the same time, each over a connection of its own or as a stream of one.
const LOADS: [(&str, Call, usize); 4] = [
    ("Upload, 1 stream", Call::Upload, 1),
    ("Upload, 8 streams of one connection", Call::Upload, 8),
    ("Download, 1 stream", Call::Download, 1),
    ("Download, 8 streams of one connection", Call::Download, 8),
];

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let folder = options.folder()?.fresh("bulk")?;
    let target = process::free_address()?;
    let _app = http2_app::start(target, &folder.path("app.log"))?;
    let plain = Plain::new(options, folder, Wire::Http2, target)?;
    let mut contenders = plain.contenders();
    contenders.push(Contender {
        name: "direct",
        version: "no proxy".to_owned(),
        start: Box::new(|| Ok(Vec::new())),
        to: target,
    });
    let mut contest = Contest::new("bulk", contenders);
    let (rounds, seconds) = if options.short { (2, 2) } else { (8, 3) };
    let mut section = String::from(ABOUT);
    let (mut versions, mut figures) = (Vec::new(), Vec::new());
    for (label, call, streams) in LOADS {
        let pace = Pace {
            label: label.to_owned(),
            rounds: options.rounds.unwrap_or(rounds),
            seconds: options.seconds.unwrap_or(seconds),
            warm_up_s: 1,
            connections: 1,
            restarts: Restarts::Never,
        };
        let put = |to, connections, seconds| {
            let shape = Shape { to, connections, streams, seconds, call };
            let load = Load::of_generator(&http2_load::command(LOAD_CORE, &shape)?)?;
            Ok(Load { requests: load.requests * BULK_BYTES as f64 / GIGABYTE, ..load })
        };
        let comparison = contest.run(&plain.folder, &pace, &put)?;
        section.push_str(&report::bulk(&comparison, &["HAProxy", "Envoy"]));
        figures.extend(report::figures("bulk", std::slice::from_ref(&comparison), &["HAProxy", "Envoy"]));
        versions.extend(comparison.measured);
    }
    section.push_str(&report::versions(versions.iter()));
    Ok(ScenarioReport { section, charts: Vec::new(), figures })
}

const ABOUT: &str = "## HTTP/2 uploads and downloads

Bodies of 64 MiB over HTTP/2 without TLS, one after the other on each stream; the bench's own generator and application
(of the crate `h2`) on core 0, the proxy on core 1. `direct` is without a proxy: generator and application share core 0
there too, so a proxy that keeps up with both is as fast. Ratios are within a round.

";
