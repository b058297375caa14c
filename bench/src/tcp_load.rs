//! Opaque bytes in one direction: a sink that counts and says how many at the end, and a generator that writes as much
//! as is taken.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::measured::Load;

/// Written and read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// What an operation is here.
pub(crate) const GIGABYTE: f64 = 1e9;

/// The command of one run on `core`.
pub(crate) fn command(core: usize, to: SocketAddr, connections: usize, seconds: u64) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    let words =
        ["taskset", "-c", &core.to_string(), &itself, "tool", "tcp-load", &to.to_string()].map(str::to_owned);
    Ok(words.into_iter().chain([connections.to_string(), seconds.to_string()]).collect())
}

/// The command of the sink.
pub(crate) fn sink_command(at: SocketAddr) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    Ok([&itself, "tool", "tcp-sink", &at.to_string()].map(str::to_owned).to_vec())
}

/// Takes bytes until the process is killed.
pub(crate) fn sink(at: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(at).with_context(|| format!("listen on {at}"))?;
    for socket in listener.incoming() {
        let mut socket = socket?;
        std::thread::spawn(move || {
            let (mut piece, mut count) = (vec![0; PIECE_BYTES], 0_u64);
            while let Ok(length) = socket.read(&mut piece) {
                if length == 0 {
                    let _ = socket.write_all(&count.to_be_bytes());
                    break;
                }
                count += length as u64;
            }
        });
    }
    Ok(())
}

/// Writes for so long, and prints what was seen.
pub(crate) fn put(to: SocketAddr, connections: usize, seconds: u64) -> Result<()> {
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let writers: Vec<_> = (0..connections).map(|_| std::thread::spawn(move || write(to, until))).collect();
    let mut bytes = 0;
    for writer in writers {
        bytes += writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
    }
    let requests = bytes as f64 / GIGABYTE;
    let load = Load { requests, seconds: began.elapsed().as_secs_f64(), ..Load::default() };
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

/// Bytes that have arrived at the sink.
fn write(to: SocketAddr, until: Instant) -> Result<u64> {
    let mut socket = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    let piece = vec![b'x'; PIECE_BYTES];
    let mut written = 0;
    while Instant::now() < until {
        socket.write_all(&piece)?;
        written += PIECE_BYTES as u64;
    }
    socket.shutdown(Shutdown::Write)?;
    let mut count = [0; 8];
    socket.read_exact(&mut count).context("the sink did not say how much it has")?;
    ensure!(u64::from_be_bytes(count) == written, "bytes were lost");
    Ok(written)
}
