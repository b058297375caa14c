//! A caller that does exactly as many requests as it is told, one after the other on one kept connection: what is
//! counted must not depend on time. It is a process, so that it can be on another host.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::process::LOAD_CORE;
use crate::told::ToldProcess;

/// The one that is told.
pub(crate) struct ToldCaller(ToldProcess);

impl ToldCaller {
    /// Starts it; `command` is what [`command`] gave, on whatever host.
    pub(crate) fn start(command: &[String], log: &Path) -> Result<ToldCaller> {
        Ok(ToldCaller(ToldProcess::start(LOAD_CORE, command, log)?))
    }

    /// Has it do so many requests; returns when the last is answered.
    pub(crate) fn call(&mut self, requests: usize) -> Result<()> {
        let answer = self.0.ask(&requests.to_string())?;
        ensure!(answer == "done", "the caller failed: {answer}");
        Ok(())
    }
}

/// What starts one.
pub(crate) fn command(to: SocketAddr) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    Ok([&itself, "tool", "caller", &to.to_string()].map(str::to_owned).to_vec())
}

/// Does what standard input says until it ends: GETs of `targets` (`HOST/PATH`) in turn.
pub(crate) fn run(to: SocketAddr, targets: &[String]) -> Result<()> {
    let requests: Vec<String> = targets
        .iter()
        .map(|target| target.split_once('/').unwrap_or((target, "")))
        .map(|(host, path)| format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n"))
        .collect();
    let mut turn = requests.iter().cycle();
    let mut socket = BufReader::new(TcpStream::connect(to).with_context(|| format!("connect to {to}"))?);
    socket.get_ref().set_nodelay(true)?;
    for line in std::io::stdin().lines() {
        let requests: usize = line?.trim().parse()?;
        for request in turn.by_ref().take(requests) {
            socket.get_mut().write_all(request.as_bytes())?;
            read_answer(&mut socket)?;
        }
        println!("done");
    }
    Ok(())
}

/// Reads one answer, which must be a 200 with a length.
pub(crate) fn read_answer(socket: &mut impl BufRead) -> Result<()> {
    let (mut line, mut length) = (String::new(), 0);
    socket.read_line(&mut line)?;
    ensure!(line.contains(" 200 "), "answered with {line}");
    loop {
        line.clear();
        socket.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    Ok(socket.read_exact(&mut body)?)
}
