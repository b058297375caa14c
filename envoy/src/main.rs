//! Beside: tells the same stories to Envoy, configured by hand, and to Leno, configured by standard documents, and
//! compares what the caller, the backends and the log see, field by field.
//!
//! Each story is a row of `stories`. Differences that are known are rows of `docs/envoy-differences.md`, which has the
//! reasons; any other fails, and so does a row that explains nothing. Read next: `run`, `story`.

mod story; // what is told
mod stories; // all of them
mod run; // proxies and backends, and each story told to each proxy
mod proxies; // Envoy and Leno as processes
mod settings; // what Envoy and Leno read
mod call; // the caller
mod backend; // who is behind
mod message; // HTTP/1.1 on the wire
mod log; // what access logs say
mod seen; // what is compared
mod known; // differences that have a reason

use anyhow::{Context, Result};
use clap::Parser;
use known::KnownDifferences;
use std::path::PathBuf;
use std::process::ExitCode;

/// Tells where Envoy and Leno make something else of the same story.
#[derive(Parser)]
struct Options {
    /// The program to compare; `leno-proxy` is not needed
    #[arg(long, default_value = "target/e2e/leno")]
    leno: PathBuf,
    /// Envoy's program
    #[arg(long)]
    envoy: PathBuf,
    /// The differences that are known
    #[arg(long, default_value = "docs/envoy-differences.md")]
    known: PathBuf,
    /// Print all that was seen, too
    #[arg(long)]
    all: bool,
    /// Only stories whose names begin so
    only: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("envoy-differences: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True: everything is explained, and every explanation is needed.
fn run(options: &Options) -> Result<bool> {
    let text = std::fs::read_to_string(&options.known)
        .with_context(|| format!("read {}", options.known.display()))?;
    let mut known = KnownDifferences::parse(&text)?;
    let is_asked = |name: &str| {
        options.only.is_empty() || options.only.iter().any(|only| name.starts_with(only.as_str()))
    };
    let told: Vec<_> = stories::all().filter(|story| is_asked(story.name)).collect();
    let outcome = run::tell(&told, &options.envoy, &options.leno)?;
    if options.all {
        outcome.seen.iter().for_each(|seen| println!("{seen}"));
    }
    let differences = seen::differences(&outcome.seen);
    let unexplained: Vec<_> = differences.iter().filter(|found| !known.explains(found)).collect();
    for found in &unexplained {
        println!("{found}");
    }
    let unused = if options.only.is_empty() { known.unused() } else { Vec::new() };
    for row in &unused {
        println!("this row of {} explains nothing: {row}", options.known.display());
    }
    println!(
        "{} stories, {} calls, {} differences, {} of them unexplained",
        told.len(),
        outcome.calls,
        differences.len(),
        unexplained.len()
    );
    Ok(unexplained.is_empty() && unused.is_empty())
}
