//! What was measured, before it is a report.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::statistics::{Estimate, estimate, median};

/// What a generator saw in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Load {
    /// Requests that were answered, or other operations.
    pub requests: f64,
    pub seconds: f64,
    /// Percentiles of the latency, in milliseconds.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Answers other than 2xx and 3xx, and socket errors.
    pub errors: f64,
}

impl Load {
    /// Runs one of the bench's own generators to its end.
    pub(crate) fn of_generator(command: &[String]) -> Result<Load> {
        let (program, arguments) = command.split_first().context("no command")?;
        let output =
            Command::new(program).args(arguments).stdin(Stdio::null()).output().context("run a generator")?;
        if !output.status.success() {
            bail!("the generator failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("read what the generator saw")
    }
}

/// One block: what one contender cost in one round, for each request in microseconds of CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub round: usize,
    pub user_us: f64,
    pub system_us: f64,
    /// Context switches.
    pub switches: f64,
    pub load: Load,
    pub resident_mib: f64,
}

impl Block {
    pub(crate) fn total_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// All that was measured of one contender.
pub(crate) struct Measured {
    pub name: &'static str,
    pub version: String,
    pub blocks: Vec<Block>,
    pub idle_mib: f64,
    pub syscalls: Option<f64>,
}

impl Measured {
    /// The median of something of each block.
    pub(crate) fn median(&self, of: fn(&Block) -> f64) -> f64 {
        median(self.blocks.iter().map(of))
    }
}

/// What all contenders cost under one load.
pub(crate) struct Comparison {
    pub measured: Vec<Measured>,
    pub rounds: usize,
    /// Rounds left out because the machine was not steady.
    pub dropped: usize,
    pub seconds: u64,
    /// What the load was, for people.
    pub label: String,
    /// Part of the time that the hypervisor gave to others.
    pub steal: f64,
}

impl Comparison {
    /// One of the contenders.
    pub(crate) fn find(&self, name: &str) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.name == name)
    }

    /// Total CPU for each request in relation to a peer's in the same round.
    pub(crate) fn ratio(&self, measured: &Measured, peer: &str) -> Option<Estimate> {
        self.ratio_of(measured, peer, Block::total_us)
    }

    /// Operations per second in relation to a peer's in the same round.
    pub(crate) fn speed_ratio(&self, measured: &Measured, peer: &str) -> Option<Estimate> {
        self.ratio_of(measured, peer, |block| block.load.requests / block.load.seconds)
    }

    fn ratio_of(&self, measured: &Measured, peer: &str, of: fn(&Block) -> f64) -> Option<Estimate> {
        let peer = self.find(peer)?;
        let ratios: Vec<f64> = measured
            .blocks
            .iter()
            .filter_map(|block| {
                let other = peer.blocks.iter().find(|other| other.round == block.round)?;
                Some(of(block) / of(other))
            })
            .collect();
        (!ratios.is_empty()).then(|| estimate(&ratios))
    }
}
