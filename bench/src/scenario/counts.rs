//! What is the same on every machine of one kind, and so can be a gate: instructions, system calls and allocations of
//! a request, bytes of a change, memory of a route and of an endpoint. `bench/limits.toml` says how much of each there
//! may be.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::allocations::{self, CountedProxy};
use crate::caller::{self, ToldCaller};
use crate::folder::Folder;
use crate::gates::Figure;
use crate::limits::{CountLimits, LimitVerdict};
use crate::mesh::{self, Logging, Mesh};
use crate::options::Options;
use crate::peers::{self, Wire};
use crate::process::{PROXY_CORE, RunningProgram};
use crate::report::ScenarioReport;
use crate::staged::{APP, HTTP_PORT, Staged, Traffic};
use crate::{callgrind, documents, strace};

use super::{route_cost, route_in_proxy};

/// Requests before anything is counted: connections open, buffers have their size.
const WARM_UP: usize = 200;
/// Requests that are counted, where each takes a fraction of a millisecond, and where each takes some.
const QUICK: usize = 2000;
const SLOW: usize = 400;
/// Routes, and endpoints, of a small and of a large configuration.
const FEW: usize = 200;
const MANY: usize = 1200;
/// Changes of an endpoint.
const CHANGES: usize = 4;
/// A change that nothing is sent for by then ends the count with an error.
const CHANGED_WITHIN: Duration = Duration::from_secs(10);
/// After so long without a byte, all of a change is sent.
const SETTLED: Duration = Duration::from_millis(300);
/// Of the plain proxy, at the callee's host.
const PLAIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15_111);

/// One count.
pub(crate) struct Count {
    /// As in `limits.toml`, `TABLE.KEY`.
    pub name: &'static str,
    pub about: &'static str,
    pub value: f64,
    /// Share of the limit by which it may differ and still be the same: how sure the count is.
    pub tolerance: f64,
}

/// Instructions depend a little on addresses, and on what else a proxy does meanwhile.
const INSTRUCTIONS: f64 = 0.01;
/// A task that runs every second or so falls into the count or not: less than one in twenty requests.
const EXACT: f64 = 0.01;
/// Names and numbers of another length.
const CHANGE: f64 = 0.05;
/// Tables grow in steps, and hash with keys of their own.
const HEAP: f64 = 0.02;

pub(crate) fn run(options: &Options) -> Result<ScenarioReport> {
    let counts = measure(options)?;
    let mut section = String::from(ABOUT);
    section.push_str("| count | |\n|---|---|\n");
    for count in &counts {
        let _ = writeln!(section, "| {} | {} |", count.about, rounded(count.value));
    }
    let figure = |count: &Count| Figure::exact(format!("counts/{}", count.name), count.value);
    Ok(ScenarioReport { section, charts: Vec::new(), figures: counts.iter().map(figure).collect() })
}

/// All of them.
pub(crate) fn measure(options: &Options) -> Result<Vec<Count>> {
    let staged = Staged::set_up(options, "counts", Traffic::Http)?;
    let folder = staged.folder();
    let mut all = Vec::new();
    for count in [plain(options, folder)?, pair(&staged)?, memory(folder)?].into_iter().flatten() {
        folder.append("counts.jsonl", &json!({"count": count.name, "value": count.value}).to_string())?;
        all.push(count);
    }
    Ok(all)
}

/// Counts, and compares with the limits in a file.
///
/// # Errors
/// One is exceeded.
pub(crate) fn check(options: &Options, limits: &Path) -> Result<()> {
    let limits = CountLimits::read(limits)?;
    let mut exceeded = Vec::new();
    for count in measure(options)? {
        let (limit, verdict) = limits.judge(count.name, count.value, count.tolerance)?;
        let said = format!("{}: {}, limit {}", count.name, rounded(count.value), rounded(limit));
        match verdict {
            LimitVerdict::Within => println!("{said}"),
            LimitVerdict::Lower => println!("{said}: lower it in bench/limits.toml"),
            LimitVerdict::Exceeded => exceeded.push(said),
        }
    }
    ensure!(exceeded.is_empty(), "more than bench/limits.toml allows: {}", exceeded.join("; "));
    Ok(())
}

/// Whole numbers where they are large.
pub(crate) fn rounded(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// One proxy without a mesh.
fn plain(options: &Options, folder: &Folder) -> Result<Vec<Count>> {
    let app = SocketAddr::from((Ipv4Addr::LOCALHOST, APP.http));
    let program = peers::leno(&options.leno()?, Wire::Http1, PLAIN, app)?;
    let call = caller::command(PLAIN)?;
    let start = |command: &[String]| -> Result<Vec<RunningProgram>> {
        let mut running = RunningProgram::start("plain", PROXY_CORE, command, &folder.path("plain.log"))?;
        running.wait_for(PLAIN)?;
        Ok(vec![running])
    };
    let instructions = {
        let running = start(&callgrind::wrap(&program.command, folder.root(), "plain"))?;
        instructions(&running, &["plain"], folder, &call)?
    };
    let system_calls = system_calls(&start(&program.command)?, folder, &call)?;
    let directory = folder.fresh("plain")?;
    directory.write("all.yaml", &translate::shorthand::gateway(&PLAIN.to_string(), &app.to_string())?)?;
    let mut counted =
        [CountedProxy::start(&allocations::gateway_command(directory.root())?, &folder.path("counted.log"))?];
    wait_for(PLAIN)?;
    let allocations = allocated(&mut counted, folder, &call)?;
    drop(counted);
    Ok(vec![
        Count {
            name: "plain.routes",
            about: "plain HTTP/1.1: instructions per request beside 10,000 rules, of those beside 10",
            value: route_cost::growth(options, folder, PLAIN, app)?,
            tolerance: INSTRUCTIONS,
        },
        Count {
            name: "plain.instructions",
            about: "plain HTTP/1.1: instructions per request",
            value: instructions,
            tolerance: INSTRUCTIONS,
        },
        Count {
            name: "plain.system_calls",
            about: "plain HTTP/1.1: system calls per request",
            value: system_calls,
            tolerance: EXACT,
        },
        Count {
            name: "plain.allocations",
            about: "plain HTTP/1.1: allocations per request",
            value: allocations,
            tolerance: EXACT,
        },
    ])
}

/// Both sidecars together.
fn pair(staged: &Staged) -> Result<Vec<Count>> {
    let (folder, mesh) = (staged.folder(), staged.mesh()?);
    let call = staged.at_caller(&caller::command(Mesh::service(HTTP_PORT))?);
    let instructions = {
        let wrap = |group: &str, command: Vec<String>| callgrind::wrap(&command, folder.root(), group);
        let running = mesh.sidecars(Logging::None, &wrap)?;
        instructions(&running, &["caller", "callee"], folder, &call)?
    };
    let (system_calls, change) = {
        let running = mesh.sidecars(Logging::None, &mesh::bare)?;
        (system_calls(&running, folder, &call)?, change(&mesh)?)
    };
    let allocations = allocated(&mut mesh.counted_sidecars(Logging::None)?, folder, &call)?;
    Ok(vec![
        Count {
            name: "configuration.change",
            about: "bytes sent to one proxy for one changed endpoint",
            value: change,
            tolerance: CHANGE,
        },
        Count {
            name: "pair.instructions",
            about: "sidecar pair: instructions per request",
            value: instructions,
            tolerance: INSTRUCTIONS,
        },
        Count {
            name: "pair.system_calls",
            about: "sidecar pair: system calls per request",
            value: system_calls,
            tolerance: EXACT,
        },
        Count {
            name: "pair.allocations",
            about: "sidecar pair: allocations per request",
            value: allocations,
            tolerance: EXACT,
        },
    ])
}

fn instructions(running: &[RunningProgram], names: &[&str], folder: &Folder, call: &[String]) -> Result<f64> {
    let mut caller = ToldCaller::start(call, &folder.path("caller.log"))?;
    caller.call(WARM_UP)?;
    for program in running {
        callgrind::zero(program)?;
    }
    caller.call(SLOW)?;
    let mut sum = 0.0;
    for (program, name) in running.iter().zip(names) {
        sum += callgrind::instructions(program, folder.root(), name)?;
    }
    Ok(sum / SLOW as f64)
}

fn system_calls(running: &[RunningProgram], folder: &Folder, call: &[String]) -> Result<f64> {
    let mut caller = ToldCaller::start(call, &folder.path("caller.log"))?;
    caller.call(WARM_UP)?;
    let (calls, ()) = strace::count(running, &folder.path("strace"), || caller.call(QUICK))?;
    Ok(calls / QUICK as f64)
}

fn allocated(counted: &mut [CountedProxy], folder: &Folder, call: &[String]) -> Result<f64> {
    let mut caller = ToldCaller::start(call, &folder.path("caller.log"))?;
    caller.call(WARM_UP)?;
    let mut all = |sign: f64| -> Result<f64> {
        let mut sum = 0.0;
        for one in counted.iter_mut() {
            sum += one.counts()?.allocations * sign;
        }
        Ok(sum)
    };
    let before = all(-1.0)?;
    caller.call(QUICK)?;
    Ok((all(1.0)? + before) / QUICK as f64)
}

/// Bytes that the control plane sends when one endpoint changes that one proxy has asked for: the least of some changes,
/// for others may fall into the same time.
fn change(mesh: &Mesh<'_>) -> Result<f64> {
    let mut least = f64::INFINITY;
    let mut last = mesh.sent_bytes()?;
    for round in 0..CHANGES {
        mesh.set_weight(2 + round)?;
        let sent = settled(mesh, last)?;
        least = least.min(sent - last);
        last = sent;
    }
    Ok(least)
}

/// Bytes sent when more than `last` were, and then no more for a while: what belongs to one change is sent at one moment.
fn settled(mesh: &Mesh<'_>, last: f64) -> Result<f64> {
    let began = Instant::now();
    let (mut sent, mut since) = (last, began);
    while sent <= last || since.elapsed() < SETTLED {
        ensure!(sent > last || began.elapsed() < CHANGED_WITHIN, "nothing was sent for a change");
        let now = mesh.sent_bytes()?;
        if now > sent {
            (sent, since) = (now, Instant::now());
        }
    }
    Ok(sent)
}

/// Heap of a route and of an endpoint in a gateway, control plane included: what more of them cost.
fn memory(folder: &Folder) -> Result<Vec<Count>> {
    let held = |name: &str, routes: usize, endpoints: usize| -> Result<f64> {
        let directory = folder.fresh(name)?;
        directory.write("all.yaml", &documents::all(PLAIN, routes, endpoints))?;
        let command = allocations::gateway_command(directory.root())?;
        let mut counted = CountedProxy::start(&command, &folder.path("counted.log"))?;
        wait_for(PLAIN)?;
        Ok(counted.counts()?.bytes)
    };
    let few = held("few", FEW, FEW)?;
    let more = (MANY - FEW) as f64;
    let route = (held("routes", MANY, FEW)? - few) / more;
    let endpoint = (held("endpoints", FEW, MANY)? - few) / more;
    Ok(vec![
        Count {
            name: "memory.route",
            about: "heap of an HTTPRoute at a gateway, bytes",
            value: route,
            tolerance: HEAP,
        },
        Count {
            name: "memory.route_in_proxy",
            about: "heap of an HTTPRoute at a gateway whose control plane is elsewhere, bytes",
            value: route_in_proxy::held(PLAIN, FEW, MANY - FEW)?,
            tolerance: HEAP,
        },
        Count {
            name: "memory.endpoint",
            about: "heap of an endpoint at a gateway, bytes",
            value: endpoint,
            tolerance: HEAP,
        },
    ])
}

/// Until somebody listens.
fn wait_for(address: SocketAddr) -> Result<()> {
    crate::process::wait_for(address).context("wait for a counted gateway")
}

const ABOUT: &str = "## Counts

The same on every machine of one kind, and gates in CI (`bench/limits.toml`): instructions under callgrind, system calls
under strace, allocations under an allocator that counts, all of exactly so many requests one after the other on one
connection (so no two share a wake-up); the access log is off. Heap is bytes as asked for, of the gateway and the control
plane in it together.

";
