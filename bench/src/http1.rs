//! Plain HTTP/1.1 keep-alive through one worker: the peers take turns under the same load, there and back again,
//! and each costs what its process tree spent per request.
//!
//! Generator and backend cost about as much as a fast proxy, so throughput would measure them. CPU per request
//! does not. Ratios are taken within a round, because neighbours on the host change the machine between rounds.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::allocations;
use crate::change;
use crate::measured::{Block, Measured, median};
use crate::peers::{self, Folder, PeerProgram};
use crate::process::{self, RunningProgram};
use crate::report::{self, Report};
use crate::wrk;

/// For the generator and the backend.
const LOAD_CORE: usize = 0;
/// For the proxy under test.
const PROXY_CORE: usize = 1;
/// Before each measured block, in seconds: connections open, caches fill.
const WARM_UP_S: u64 = 1;
/// How long system calls are counted, in seconds; apart from the blocks, because counting slows down.
const STRACE_S: u64 = 2;
/// A round in which the null proxy cost this much more or less than usual is not counted.
const NULL_DRIFT_MAX: f64 = 0.03;

#[derive(clap::Parser)]
pub(crate) struct Options {
    /// The program to measure
    #[arg(long, default_value = "target/release/leno")]
    leno: PathBuf,
    /// Measure only these (null, bare, leno, nginx, haproxy, envoy)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds; in each, every peer has one block
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load per block
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections of the generator
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Do not count system calls
    #[arg(long)]
    no_strace: bool,
    /// Where the table goes
    #[arg(long, default_value = "docs/benchmarks.md")]
    out: PathBuf,
    /// Where configurations, logs and raw numbers go
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = Folder::new(options.folder.clone())?;
    let target = process::free_address()?;
    let backend = peers::backend(&folder, target)?;
    let mut backend_running =
        RunningProgram::start(backend.name, LOAD_CORE, &backend.command, &folder.path("backend.log"))?;
    backend_running.wait_for(backend.address)?;

    let peers = peers(options, &folder, target)?;
    let mut measured: Vec<Measured> = peers.iter().map(Measured::of).collect();
    let mut raw = OpenOptions::new().create(true).append(true).open(folder.path("http1.jsonl"))?;
    let steal_before = process::steal();
    for round in 0..options.rounds {
        let mut order: Vec<usize> = (0..peers.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let peer = &peers[index];
            let block = block(options, &folder, peer, round, &mut measured[index])?;
            eprintln!(
                "round {} {:8} {:6.1} µs/request ({:.1} user, {:.1} system), {:.0} requests/s",
                round + 1,
                peer.name,
                block.total_us(),
                block.user_us,
                block.system_us,
                block.load.requests / block.load.seconds
            );
            let line = json!({
                "peer": peer.name, "round": round, "user_us": block.user_us, "system_us": block.system_us,
                "requests": block.load.requests, "seconds": block.load.seconds, "p99_ms": block.load.p99_ms,
                "errors": block.load.errors, "resident_mib": block.resident_mib,
            });
            writeln!(raw, "{line}")?;
        }
    }
    let steal_after = process::steal();
    if !options.no_strace {
        for (peer, measured) in peers.iter().zip(&mut measured) {
            measured.syscalls = count_syscalls(options, &folder, peer)
                .inspect_err(|cause| eprintln!("system calls of {}: {cause:#}", peer.name))
                .ok();
        }
    }
    let allocations = allocations::per_request(target, LOAD_CORE)?;
    let effect = change::measure(&options.leno, &options.folder)?;
    let dropped = drop_unsteady_rounds(&mut measured);
    let report = Report {
        measured,
        rounds: options.rounds,
        dropped,
        seconds: options.seconds,
        connections: options.connections,
        allocations,
        effect,
        steal: (steal_after.0 - steal_before.0) / (steal_after.1 - steal_before.1).max(1.0),
    };
    report::put(&options.out, &report::render(&report))
}

impl Measured {
    fn of(peer: &PeerProgram) -> Measured {
        Measured {
            name: peer.name,
            version: peer.version.clone(),
            blocks: Vec::new(),
            idle_mib: 0.0,
            syscalls: None,
        }
    }
}

/// Those who are here; a missing one is named and left out.
fn peers(options: &Options, folder: &Folder, target: SocketAddr) -> Result<Vec<PeerProgram>> {
    let venv = options.folder.join("envoy");
    type Make<'a> = &'a dyn Fn(SocketAddr) -> Result<PeerProgram>;
    let makers: [(&str, Make<'_>); 6] = [
        ("null", &|from| peers::null(from, target)),
        ("bare", &|from| peers::bare(from, target)),
        ("leno", &|from| peers::leno(&options.leno, from, target)),
        ("nginx", &|from| peers::nginx(folder, from, target)),
        ("haproxy", &|from| peers::haproxy(folder, from, target)),
        ("envoy", &|from| peers::envoy(folder, &venv, from, target)),
    ];
    let mut peers = Vec::new();
    for (name, make) in makers {
        if !options.only.is_empty() && !options.only.iter().any(|only| only.eq_ignore_ascii_case(name)) {
            continue;
        }
        match make(process::free_address()?) {
            Ok(peer) => peers.push(peer),
            Err(cause) => eprintln!("without {name}: {cause:#}"),
        }
    }
    if peers.is_empty() {
        bail!("nobody to measure");
    }
    Ok(peers)
}

/// Starts the peer, warms it up, measures one block.
fn block(
    options: &Options,
    folder: &Folder,
    peer: &PeerProgram,
    round: usize,
    measured: &mut Measured,
) -> Result<Block> {
    let log = folder.path(&format!("{}.log", peer.name));
    let mut running = RunningProgram::start(peer.name, PROXY_CORE, &peer.command, &log)?;
    running.wait_for(peer.address)?;
    measured.idle_mib = running.resident_mib();
    wrk::run(LOAD_CORE, peer.address, options.connections, WARM_UP_S)?;
    let before = running.cpu()?;
    let load = wrk::run(LOAD_CORE, peer.address, options.connections, options.seconds)?;
    let after = running.cpu()?;
    if load.errors > 0.0 {
        eprintln!("{}: {} errors in round {}", peer.name, load.errors, round + 1);
    }
    let block = Block {
        round,
        user_us: (after.user - before.user) / load.requests,
        system_us: (after.system - before.system) / load.requests,
        load,
        resident_mib: running.resident_mib(),
    };
    measured.blocks.push(block);
    Ok(block)
}

/// System calls per request, counted by strace from outside.
fn count_syscalls(options: &Options, folder: &Folder, peer: &PeerProgram) -> Result<f64> {
    let log = folder.path(&format!("{}.log", peer.name));
    let mut running = RunningProgram::start(peer.name, PROXY_CORE, &peer.command, &log)?;
    running.wait_for(peer.address)?;
    wrk::run(LOAD_CORE, peer.address, options.connections, WARM_UP_S)?;
    let counts = folder.path(&format!("{}.strace", peer.name));
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-o"]).arg(&counts).stdin(Stdio::null()).stderr(Stdio::null());
    for id in running.tree() {
        strace.args(["-p", &id.to_string()]);
    }
    let mut strace = strace.spawn().context("start strace")?;
    wait_until_traced(running.id())?;
    let load = wrk::run(LOAD_CORE, peer.address, options.connections, STRACE_S);
    let strace_id = nix::unistd::Pid::from_raw(strace.id().cast_signed());
    nix::sys::signal::kill(strace_id, nix::sys::signal::Signal::SIGINT)?;
    strace.wait()?;
    let table = fs::read_to_string(&counts)?;
    // `100.00  1.234567  2  600000  12 total`: seconds, microseconds per call, calls, errors.
    let total = table.lines().rev().find(|line| line.trim_end().ends_with("total")).context("no total")?;
    let calls: f64 = total.split_whitespace().nth(3).context("no calls")?.parse()?;
    Ok(calls / load?.requests)
}

fn wait_until_traced(id: u32) -> Result<()> {
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 5 {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        if status.lines().any(|line| line.starts_with("TracerPid:") && !line.trim_end().ends_with("\t0")) {
            return Ok(());
        }
        std::thread::yield_now();
    }
    bail!("strace did not attach")
}

/// Removes the rounds in which the machine was not itself. Returns how many; if they are the most, they are how
/// this machine is, and stay.
fn drop_unsteady_rounds(measured: &mut [Measured]) -> usize {
    let Some(null) = measured.iter().find(|measured| measured.name == "null") else { return 0 };
    let usual = median(null.blocks.iter().map(Block::total_us));
    let unsteady: Vec<usize> = null
        .blocks
        .iter()
        .filter(|block| (block.total_us() / usual - 1.0).abs() > NULL_DRIFT_MAX)
        .map(|block| block.round)
        .collect();
    if unsteady.len() * 2 > null.blocks.len() {
        eprintln!("{} of {} rounds were unsteady, all of them count", unsteady.len(), null.blocks.len());
        return 0;
    }
    for measured in measured {
        measured.blocks.retain(|block| !unsteady.contains(&block.round));
    }
    unsteady.len()
}
