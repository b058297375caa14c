//! Plain proxies: one program each, without a mesh, on loopback.

use std::net::SocketAddr;

use anyhow::{Result, bail};

use crate::folder::Folder;
use crate::options::Options;
use crate::peers::{self, PeerProgram, Wire};
use crate::process::{self, PROXY_CORE, RunningProgram};
use crate::turns::Contender;

/// Those who are here, in front of one target.
pub(crate) struct Plain {
    pub folder: Folder,
    pub peers: Vec<PeerProgram>,
}

impl Plain {
    /// Finds those who are wanted; a missing one is named and left out.
    pub(crate) fn new(options: &Options, folder: Folder, wire: Wire, target: SocketAddr) -> Result<Plain> {
        let (venv, leno) = (options.folder()?.path("envoy"), options.leno()?);
        type Make<'a> = &'a dyn Fn(SocketAddr) -> Result<PeerProgram>;
        let everywhere: [(&str, Make<'_>); 4] = [
            ("null", &|from| peers::null(from, target)),
            ("leno", &|from| peers::leno(&leno, wire, from, target)),
            ("haproxy", &|from| peers::haproxy(&folder, wire, from, target)),
            ("envoy", &|from| peers::envoy(&folder, &venv, wire, from, target)),
        ];
        // These do not speak HTTP/2 to whatever is behind them.
        let http1: [(&str, Make<'_>); 2] = [
            ("bare", &|from| peers::bare(from, target)),
            ("nginx", &|from| peers::nginx(&folder, from, target)),
        ];
        let others = if wire == Wire::Http1 { http1.as_slice() } else { &[] };
        let mut found = Vec::new();
        for (name, make) in everywhere.iter().chain(others).filter(|(name, _)| options.wants(name)) {
            match make(process::free_address()?) {
                Ok(peer) => found.push(peer),
                Err(cause) => eprintln!("without {name}: {cause:#}"),
            }
        }
        if found.is_empty() {
            bail!("nobody to measure");
        }
        Ok(Plain { folder, peers: found })
    }

    /// As they take turns.
    pub(crate) fn contenders(&self) -> Vec<Contender<'_>> {
        let contenders = self.peers.iter().map(|peer| {
            let start = Box::new(|| self.start(peer));
            Contender { name: peer.name, version: peer.version.clone(), start, to: peer.address }
        });
        contenders.collect()
    }

    /// Starts one of them and waits until it listens.
    pub(crate) fn start(&self, peer: &PeerProgram) -> Result<Vec<RunningProgram>> {
        let log = self.folder.path(&format!("{}.log", peer.name));
        let mut running = RunningProgram::start(peer.name, PROXY_CORE, &peer.command, &log)?;
        running.wait_for(peer.address)?;
        Ok(vec![running])
    }
}
