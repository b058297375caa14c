//! The generator for HTTP/1.1: `wrk`, a closed loop over a fixed number of connections.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::measured::Load;

/// The command of one run on `core`.
pub(crate) fn command(core: usize, to: SocketAddr, connections: usize, seconds: u64) -> Vec<String> {
    let pinned = ["taskset", "-c", &core.to_string(), "wrk", "-t1", "--latency"].map(str::to_owned);
    let what = [format!("-c{connections}"), format!("-d{seconds}s"), format!("http://{to}/")];
    pinned.into_iter().chain(what).collect()
}

/// Runs it.
pub(crate) fn run(command: &[String]) -> Result<Load> {
    let (program, arguments) = command.split_first().context("no command")?;
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().context("run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    parse(&text).with_context(|| format!("read wrk's words: {text}"))
}

fn parse(text: &str) -> Option<Load> {
    let mut load = Load::default();
    for line in text.lines().map(str::trim) {
        if let Some((requests, rest)) = line.split_once(" requests in ") {
            load.requests = requests.parse().ok()?;
            load.seconds = in_ms(rest.split(',').next()?)? / 1_000.0;
        } else if let Some(rest) = line.strip_prefix("50%") {
            load.p50_ms = in_ms(rest.trim())?;
        } else if let Some(rest) = line.strip_prefix("99%") {
            load.p99_ms = in_ms(rest.trim())?;
        } else if let Some(rest) = line.strip_prefix("Non-2xx or 3xx responses:") {
            load.errors += rest.trim().parse::<f64>().ok()?;
        } else if let Some(rest) = line.strip_prefix("Socket errors:") {
            // `connect 0, read 1, write 2, timeout 3`
            load.errors += rest.split(',').filter_map(number_at_end).sum::<f64>();
        }
    }
    (load.requests > 0.0).then_some(load)
}

fn number_at_end(text: &str) -> Option<f64> {
    text.rsplit(' ').next()?.parse().ok()
}

/// `12.3us`, `4.5ms`, `6.0s`, `1.0m` in milliseconds.
fn in_ms(text: &str) -> Option<f64> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    Some(text[..unit].parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests;
