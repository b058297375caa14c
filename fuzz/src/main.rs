//! Beside: gives random, odd and broken bytes to codec and to other implementations of HTTP, and tells where they
//! understand them in another way.
//!
//! HTTP/1: hyper in this process, nginx and HAProxy as processes; HTTP/2: the `h2` crate. Differences that are known
//! and wanted are rows of `classes`, told in `docs/http-differences.md`. Read next: `search`, `classes`.

mod asked; // who is asked, and what they make of it
mod case; // bytes, and where they are cut
mod classes; // differences that are wanted
mod compare; // two readings side by side
mod chance; // numbers from a seed
mod frame; // HTTP/2, written and taken apart
mod frames; // random HTTP/2
mod oddities; // what classes look for
mod understanding; // what somebody made of a case
mod requests; // random HTTP/1 clients
mod responses; // random HTTP/1 servers
mod search; // case after case

use clap::Parser;
use search::{Family, Search, Unexplained};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Tells where codec and others understand the same bytes in another way.
#[derive(Parser)]
struct Options {
    /// How long to go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first case; each is made of its number alone. Without it: another one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// At most so many cases.
    #[arg(long)]
    cases: Option<u64>,
    /// Only hyper and h2, which are in this process.
    #[arg(long)]
    no_processes: bool,
    /// Only this: requests, responses, http2-requests, http2-responses.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("http-differences: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True: everything is explained.
fn run(options: &Options) -> anyhow::Result<bool> {
    let only = match options.only.as_deref() {
        None => None,
        Some("requests") => Some(Family::Requests),
        Some("responses") => Some(Family::Responses),
        Some("http2-requests") => Some(Family::Http2Requests),
        Some("http2-responses") => Some(Family::Http2Responses),
        Some(other) => anyhow::bail!("no family {other:?}"),
    };
    let processes = if options.no_processes { None } else { Some(asked::OtherProxies::start()?) };
    let mut search = Search::new(processes)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let first = options.seed.unwrap_or(now.as_secs() << 24);
    println!("from seed {first}");
    let (began, most) = (Instant::now(), options.cases.unwrap_or(u64::MAX));
    let mut seed = first;
    while began.elapsed() < Duration::from_secs(options.seconds) && search.cases < most {
        let told = search.unexplained.len();
        search.attempt(seed, only)?;
        search.unexplained.iter().skip(told).for_each(tell);
        seed = seed.wrapping_add(1);
    }
    println!("{} cases, {} messages that codec took", search.cases, search.messages);
    for (name, count) in &search.explained {
        println!("{count:>9}  {name}");
    }
    println!("{:>9}  not there again", search.moods);
    println!("{:>9}  unexplained", search.unexplained_count);
    Ok(search.unexplained_count == 0)
}

fn tell(found: &Unexplained) {
    let Unexplained { seed, family, other, kind, case, ours, theirs } = found;
    println!("\n{other:?} {kind:?} (seed {seed}, {family:?}{})", if case.is_head { ", to HEAD" } else { "" });
    println!("  bytes:  \"{}\"", case.bytes.escape_ascii());
    for (who, reading) in [("codec", ours), ("other", theirs)] {
        println!("  {who}:  {}", reading.end);
        for message in &reading.taken {
            let (start, host, body) = (&message.start, &message.host, message.body.escape_ascii());
            let fields = message.fields.as_deref().unwrap_or_default().join(" | ");
            let end = if message.is_whole { "" } else { " (not whole)" };
            println!("          {start} for {host:?}, \"{body}\" [{fields}]{end}");
        }
    }
}

#[cfg(test)]
mod tests;
