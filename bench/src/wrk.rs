//! The generator: `wrk`, a closed loop over a fixed number of connections.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What one run saw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    pub requests: f64,
    pub seconds: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: f64,
    /// Answers other than 2xx and 3xx, and socket errors.
    pub errors: f64,
}

/// Runs `wrk` on `core`.
pub(crate) fn run(core: usize, to: SocketAddr, connections: usize, seconds: u64) -> Result<Load> {
    let output = Command::new("taskset")
        .args(["-c", &core.to_string(), "wrk", "-t1", "--latency"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg(format!("http://{to}/"))
        .stdin(Stdio::null())
        .output()
        .context("run wrk")?;
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
