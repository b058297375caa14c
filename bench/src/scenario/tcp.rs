//! Opaque TCP through two sidecars with mutual TLS between them: CPU of both for each gigabyte.

use anyhow::Result;

use crate::measured::Load;
use crate::options::Options;
use crate::process::LOAD_CORE;
use crate::report::{self, ScenarioReport};
use crate::staged::{Staged, Traffic};
use crate::turns::{Contest, Pace, Restarts};
use crate::{peers, tcp_load};

/// Connections of the caller's application.
const CONNECTIONS: [usize; 2] = [1, 8];

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    if options.wants("envoy") {
        peers::pair::prepare(&options.folder()?.path("envoy"))?;
    }
    let staged = Staged::set_up(options, "tcp", Traffic::Opaque)?;
    let mesh = staged.mesh()?;
    let mut contest = Contest::new("tcp", staged.contenders(options, &mesh)?);
    let (rounds, seconds) = if options.short { (2, 2) } else { (8, 4) };
    let mut section = String::from(ABOUT);
    let (mut versions, mut figures) = (Vec::new(), Vec::new());
    for connections in CONNECTIONS {
        let (rounds, seconds) = (options.rounds.unwrap_or(rounds), options.seconds.unwrap_or(seconds));
        let pace = Pace::of_connections(connections, Restarts::Never, rounds, seconds);
        let put = |to, connections, seconds| {
            let command = tcp_load::command(LOAD_CORE, to, connections, seconds)?;
            let load = Load::of_generator(&staged.beside_caller(to, &command));
            staged.empty_logs()?;
            load
        };
        let comparison = contest.run(staged.folder(), &pace, &put)?;
        section.push_str(&report::bulk(&comparison, &["HAProxy", "Envoy"]));
        figures.extend(report::figures("tcp", std::slice::from_ref(&comparison), &["HAProxy", "Envoy"]));
        versions.extend(comparison.measured);
    }
    section.push_str(&report::versions(versions.iter()));
    Ok(ScenarioReport { section, charts: Vec::new(), figures })
}

const ABOUT: &str = "## Opaque TCP through two sidecars

The caller's application writes as much as is taken, the callee's reads and counts; mutual TLS 1.3 between the two
proxies, which share core 1. Leno tunnels each connection as a stream of HTTP/2, the others have a TLS connection for
each. Costs are CPU of both processes for each gigabyte (10^9 bytes); ratios are within a round. `null` is without TLS.

";
