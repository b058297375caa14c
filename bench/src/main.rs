//! Measures Leno next to named peers on this machine: CPU per request, memory, system calls.
//!
//! `bench http1` compares plain HTTP/1.1 keep-alive proxying with one worker: generator and backend share core 0,
//! the proxy alone has core 1, the peers take turns. `bench null` is the proxy that does nothing but copy: what
//! it costs is the price of the machine, and no proxy can be cheaper. `bench bare` is Leno's codec without decisions.
//! `bench routes` is about memory and the API, `bench world` about `translate` alone. Each writes its own section of the document.
//! Read next: `http1`.

mod allocations; // of the gateway, per request
mod bare; // codec without decisions
mod change; // from a changed file to its effect
mod http1; // the comparison
mod measured; // before it is a report
mod null; // the limit
mod peers; // who takes part, and with which settings
mod process; // starting, pinning, watching
mod report; // Markdown
mod routes; // what many of them cost
mod world; // what many objects cost
mod wrk; // the generator

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Measures Leno next to named peers")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Plain HTTP/1.1 keep-alive through one worker (the default)
    Http1(http1::Options),
    /// Memory and writes with many HTTPRoutes
    Routes(routes::Options),
    /// Memory and changes with many Services, routes and policies, in `translate` alone
    World(world::Options),
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
}

// As in Leno, but it can count.
#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting(mimalloc::MiMalloc);

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Some(Command::Http1(options)) => http1::run(&options)?,
        Some(Command::Routes(options)) => routes::run(&options)?,
        Some(Command::World(options)) => world::run(&options)?,
        Some(Command::Null { from, to }) => null::run(from, to)?,
        Some(Command::Bare { from, to }) => bare::run(from, to)?,
        None => http1::run(&http1::Options::parse_from(["http1"]))?,
    }
    Ok(ExitCode::SUCCESS)
}
