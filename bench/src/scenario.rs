//! What can be measured: a table with one row, and one file, for each scenario.

mod bulk; // HTTP/2 uploads and downloads
mod counts; // gates of CI
mod endpoints; // what many of them cost
mod handshakes; // mutual TLS, at the callee
mod http1; // plain, one worker
mod http2; // plain HTTP/2 and gRPC
mod latency; // what sidecars add to it
mod pair; // two sidecars in a chain
mod proxies; // many of them on one control plane
mod route_cost; // of requests, beside few and many rules
mod route_in_proxy; // what one costs without the control plane
mod routes; // what many of them cost
mod start; // to the first answer
mod tcp; // opaque bytes through two sidecars
mod world; // what many objects cost

pub(crate) use counts::check;

use anyhow::Result;

use crate::options::Options;
use crate::report::ScenarioReport;

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub name: &'static str,
    /// For people who choose.
    pub about: &'static str,
    /// Whether it belongs to the short set.
    pub is_short: bool,
    pub run: Run,
}

/// Measures, and says what was found.
type Run = fn(&Options) -> Result<ScenarioReport>;

const fn row(name: &'static str, is_short: bool, run: Run, about: &'static str) -> Scenario {
    Scenario { name, about, is_short, run }
}

/// All of them, in the order of the document.
pub(crate) const SCENARIOS: &[Scenario] = &[
    row("counts", true, counts::run, "instructions, system calls, allocations, bytes: gates of CI"),
    row("http1", true, http1::run, "plain HTTP/1.1 keep-alive through one worker"),
    row("http2", true, http2::run, "plain HTTP/2 and gRPC through one worker"),
    row("pair", true, pair::run, "two sidecars in a chain, mutual TLS over HTTP/2 between them"),
    row("latency", true, latency::run, "what two sidecars add to it, at a constant rate"),
    row("handshakes", true, handshakes::run, "mutual TLS handshakes at one proxy"),
    row("tcp", true, tcp::run, "opaque TCP through two sidecars, CPU a gigabyte"),
    row("bulk", true, bulk::run, "HTTP/2 uploads and downloads, of direct"),
    row("start", true, start::run, "from the start of a process to its first answer"),
    row("routes", true, routes::run, "memory and writes with many HTTPRoutes"),
    row("proxies", true, proxies::run, "a control plane with 100 and 1,000 simulated proxies"),
    row("endpoints", true, endpoints::run, "memory and changes with many endpoints"),
    row("world", true, world::run, "memory and changes with many objects, in `translate` alone"),
];
