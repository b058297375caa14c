//! Measures Leno next to named peers on this machine: CPU per request, memory, system calls, latency, throughput.
//!
//! `bench NAME...` runs scenarios, each in a process of its own; without names all of them, with `--short` those of
//! the short set. Generators and backends share core 0, what is measured has core 1 alone, contenders take turns. Each
//! scenario keeps its raw numbers in `target/bench` and writes its own section of the document. `bench tool` are the
//! parts that run as processes: the null proxy, generators, applications. Read next: `scenario`.

mod scenario; // what can be measured

mod turns; // the comparison
mod plain; // proxies that take turns
mod staged; // all pairs on one stage
mod stage; // two hosts
mod mesh; // Leno's sidecars on them
mod control_plane; // and who configures them
mod peers; // who else takes part, and with which settings

mod allocations; // of the gateway, per request
mod change; // from a changed file to its effect
mod bare; // codec without decisions
mod null; // the limit
mod probe; // is it ready?
mod process; // starting, pinning, watching
mod strace; // system calls, from outside
mod callgrind; // instructions
mod caller; // exactly so many requests
mod told; // processes that answer
mod wrk; // the generator for HTTP/1.1
mod open_load; // the one at a constant rate
mod tcp_load; // the one for opaque bytes
mod tls_load; // the one for handshakes
mod joining; // by a token
mod subscribers; // many proxies, for a control plane
mod http2_load; // the generator for HTTP/2
mod http2_app; // and what answers it

mod documents; // of a gateway
mod received; // by a proxy
mod folder; // raw numbers and logs
mod limits; // of what is counted
mod measured; // before it is a report
mod options; // the command line
mod statistics; // medians and intervals
mod chart; // SVG
mod gates; // all in one table
mod report; // Markdown

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

use options::Options;
use scenario::{SCENARIOS, Scenario};

#[derive(Parser)]
#[command(about = "Measures Leno next to named peers", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// What to measure; none: all
    scenarios: Vec<String>,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// What can be measured
    List,
    /// Counts what limits are about, and fails where more is counted than they allow
    Check {
        #[command(flatten)]
        options: Options,
        /// The limits
        #[arg(long, default_value = "bench/limits.toml")]
        limits: PathBuf,
    },
    /// A part that runs as a process of its own
    #[command(subcommand, hide = true)]
    Tool(Tool),
}

#[derive(Subcommand)]
enum Tool {
    /// A proxy that copies bytes and looks at none
    Null {
        #[arg(long)]
        from: SocketAddr,
        #[arg(long)]
        to: SocketAddr,
    },
    /// A proxy of Leno's codec without any decision
    Bare {
        #[arg(long)]
        from: SocketAddr,
        #[arg(long)]
        to: SocketAddr,
    },
    /// Waits until a GET is answered with 200
    Probe { to: SocketAddr, path: String },
    /// A sidecar whose allocator counts
    CountedSidecar(proxy::options::Options),
    /// A gateway whose allocator counts
    CountedGateway { directory: PathBuf },
    /// Does as many requests as standard input says
    Caller {
        to: SocketAddr,
        /// `HOST/PATH` of each, in turn
        #[arg(default_value = "bench/")]
        targets: Vec<String>,
    },
    /// Answers over HTTP/2
    Http2App {
        #[arg(long)]
        at: SocketAddr,
    },
    /// Many proxies on one control plane
    Subscribers { control: SocketAddr, host: String, tokens: PathBuf },
    /// Takes bytes and counts them
    TcpSink { at: SocketAddr },
    /// As many bytes as are taken
    TcpLoad { to: SocketAddr, connections: usize, seconds: u64 },
    /// Requests at a constant rate
    OpenLoad { to: SocketAddr, connections: usize, rate: usize, seconds: u64 },
    /// Handshakes
    TlsLoad(tls_load::TlsShape),
    /// Load over HTTP/2
    Http2Load(http2_load::Shape),
}

// As in Leno, but it can count.
#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting(mimalloc::MiMalloc);

fn main() -> Result<ExitCode> {
    let Arguments { scenarios, options, part } = Arguments::parse();
    match part {
        Some(Part::List) => {
            for scenario in SCENARIOS {
                let set = if scenario.is_short { "short" } else { "" };
                println!("{:12} {:6} {}", scenario.name, set, scenario.about);
            }
        }
        Some(Part::Check { options, limits }) => scenario::check(&options, &limits)?,
        Some(Part::Tool(tool)) => run_tool(tool)?,
        None => match chosen(&scenarios, &options)?.as_slice() {
            [one] => {
                let outcome = (one.run)(&options).with_context(|| format!("measure {}", one.name))?;
                report::put(&options.out, &options.folder()?, &outcome)?;
            }
            several => return each_by_itself(several),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(names: &[String], options: &Options) -> Result<Vec<Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS
            .iter()
            .filter(|scenario| scenario.is_short || !options.short)
            .copied()
            .collect());
    }
    names
        .iter()
        .map(|name| {
            let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
            found.copied().with_context(|| format!("there is no scenario {name}; see: bench list"))
        })
        .collect()
}

/// Each in a process of its own, so that none finds what another left: namespaces, counters, memory.
fn each_by_itself(scenarios: &[Scenario]) -> Result<ExitCode> {
    let options: Vec<String> = std::env::args().skip(1).filter(|word| !is_name(word)).collect();
    let mut failed = Vec::new();
    for scenario in scenarios {
        eprintln!("== {}", scenario.name);
        let status = Command::new(std::env::current_exe()?).arg(scenario.name).args(&options).status()?;
        if !status.success() {
            failed.push(scenario.name);
        }
    }
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn is_name(word: &str) -> bool {
    SCENARIOS.iter().any(|scenario| scenario.name == word)
}

fn run_tool(tool: Tool) -> Result<()> {
    match tool {
        Tool::Null { from, to } => null::run(from, to),
        Tool::Bare { from, to } => bare::run(from, to),
        Tool::Probe { to, path } => probe::run(to, &path),
        Tool::CountedSidecar(options) => allocations::run_sidecar(options),
        Tool::CountedGateway { directory } => allocations::run_gateway(&directory),
        Tool::Caller { to, targets } => caller::run(to, &targets),
        Tool::Http2App { at } => http2_app::run(at),
        Tool::Subscribers { control, host, tokens } => subscribers::run(control, &host, &tokens),
        Tool::TcpSink { at } => tcp_load::sink(at),
        Tool::TcpLoad { to, connections, seconds } => tcp_load::put(to, connections, seconds),
        Tool::OpenLoad { to, connections, rate, seconds } => open_load::put(to, connections, rate, seconds),
        Tool::TlsLoad(shape) => tls_load::put(&shape),
        Tool::Http2Load(shape) => http2_load::put(shape),
    }
}
