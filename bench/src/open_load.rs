//! Load at a constant rate, whatever the answers do (an open loop): latency counts from the moment at which a request
//! was to be sent, so that a stall is seen by all requests that fall into it.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::caller::read_answer;
use crate::measured::Load;
use crate::statistics::quantile;

/// The command of one run on `core`.
pub(crate) fn command(
    core: usize,
    to: SocketAddr,
    connections: usize,
    rate: usize,
    seconds: u64,
) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    let words = ["taskset", "-c", &core.to_string(), &itself, "tool", "open-load", &to.to_string()]
        .map(str::to_owned);
    Ok(words
        .into_iter()
        .chain([connections, rate, seconds as usize].map(|number| number.to_string()))
        .collect())
}

/// Puts the load on, and prints what was seen.
pub(crate) fn put(to: SocketAddr, connections: usize, rate: usize, seconds: u64) -> Result<()> {
    // Threads inherit it: wake up when it is time, not up to 50 µs later.
    nix::sys::prctl::set_timerslack(1)?;
    let began = Instant::now() + Duration::from_millis(50);
    let period = Duration::from_secs_f64(connections as f64 / rate as f64);
    let until = began + Duration::from_secs(seconds);
    let callers: Vec<_> = (0..connections)
        .map(|number| {
            let first = began + period.mul_f64(number as f64 / connections as f64);
            std::thread::spawn(move || call(to, first, period, until))
        })
        .collect();
    let mut latencies_ms = Vec::new();
    for caller in callers {
        latencies_ms.extend(caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??);
    }
    ensure!(!latencies_ms.is_empty(), "no request was answered");
    let load = Load {
        requests: latencies_ms.len() as f64,
        seconds: seconds as f64,
        p50_ms: quantile(&mut latencies_ms, 0.5),
        p99_ms: quantile(&mut latencies_ms, 0.99),
        errors: 0.0,
    };
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

/// The latencies of one connection, in milliseconds.
fn call(to: SocketAddr, first: Instant, period: Duration, until: Instant) -> Result<Vec<f64>> {
    let mut socket = BufReader::new(TcpStream::connect(to).with_context(|| format!("connect to {to}"))?);
    socket.get_ref().set_nodelay(true)?;
    let (mut at, mut latencies_ms) = (first, Vec::new());
    while at < until {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        socket.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")?;
        read_answer(&mut socket)?;
        latencies_ms.push(at.elapsed().as_secs_f64() * 1000.0);
        at += period;
    }
    Ok(latencies_ms)
}
