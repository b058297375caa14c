//! Envoy and Leno as processes, ended when dropped.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long one may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

/// A proxy that runs.
pub(crate) struct RunningProxy {
    name: &'static str,
    child: Child,
}

impl RunningProxy {
    /// Starts it; what it says goes to a file.
    pub(crate) fn start(name: &'static str, command: &mut Command, words: &Path) -> Result<RunningProxy> {
        let words = File::create(words).with_context(|| format!("open {}", words.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(words.try_clone()?)
            .stderr(words)
            .spawn()
            .with_context(|| format!("start {name}: {command:?}"))?;
        Ok(RunningProxy { name, child })
    }

    /// Until it listens there.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.name);
            }
            ensure!(began.elapsed() < START_MAX, "{} does not listen on {address}", self.name);
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free on all of these addresses.
pub(crate) fn free_port(addresses: &[&str]) -> Result<u16> {
    const TRIES: usize = 64;
    for _ in 0..TRIES {
        let first = TcpListener::bind((addresses[0], 0))?;
        let port = first.local_addr()?.port();
        if addresses[1..].iter().all(|address| TcpListener::bind((*address, port)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no port is free on {addresses:?}")
}
