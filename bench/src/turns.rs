//! The contenders take turns under the same load, there and back again (A B C, then C B A), and each costs what its
//! processes spent for each operation. Ratios are taken within a round, because neighbours on the host change the
//! machine between rounds; rounds in which the null proxy drifted do not count.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::json;

use crate::folder::Folder;
use crate::measured::{Block, Comparison, Load, Measured};
use crate::process::{self, Cpu, RunningProgram};
use crate::statistics::median;

/// A round in which the null proxy cost this much more or less than usual is not counted.
const NULL_DRIFT_MAX: f64 = 0.03;

/// Starts all processes of a contender; they are ready when it returns.
type Start<'a> = Box<dyn Fn() -> Result<Vec<RunningProgram>> + 'a>;

/// Who takes turns.
pub(crate) struct Contender<'a> {
    pub name: &'static str,
    pub version: String,
    pub start: Start<'a>,
    /// Where the load goes.
    pub to: SocketAddr,
}

/// Whether processes are started anew for each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restarts {
    EachBlock,
    Never,
}

/// How long, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// What the load is, for people.
    pub label: String,
    pub rounds: usize,
    /// Of load in a block.
    pub seconds: u64,
    /// Before each measured block, in seconds: connections open, caches fill.
    pub warm_up_s: u64,
    pub connections: usize,
    pub restarts: Restarts,
}

/// All who take turns, and what runs of them.
pub(crate) struct Contest<'a> {
    scenario: &'static str,
    contenders: Vec<Contender<'a>>,
    running: Vec<Vec<RunningProgram>>,
}

/// Puts load on a contender: address, connections, seconds.
type PutLoad<'a> = &'a dyn Fn(SocketAddr, usize, u64) -> Result<Load>;

impl Pace {
    /// So many connections of `wrk`.
    pub(crate) fn of_connections(
        connections: usize,
        restarts: Restarts,
        rounds: usize,
        seconds: u64,
    ) -> Self {
        let label =
            if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        Self { label, rounds, seconds, warm_up_s: 1, connections, restarts }
    }
}

impl<'a> Contest<'a> {
    /// Nobody runs yet.
    pub(crate) fn new(scenario: &'static str, contenders: Vec<Contender<'a>>) -> Self {
        let running = contenders.iter().map(|_| Vec::new()).collect();
        Self { scenario, contenders, running }
    }

    /// All blocks of all contenders.
    pub(crate) fn run(&mut self, folder: &Folder, pace: &Pace, load: PutLoad<'_>) -> Result<Comparison> {
        let mut measured: Vec<Measured> = self.contenders.iter().map(Measured::of).collect();
        let steal_before = process::steal();
        for round in 0..pace.rounds {
            let mut order: Vec<usize> = (0..self.contenders.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let block = self.block(index, round, pace, load, &mut measured[index])?;
                let line = json!({
                    "peer": measured[index].name, "load": pace.label, "round": round,
                    "user_us": block.user_us, "system_us": block.system_us, "switches": block.switches,
                    "requests": block.load.requests, "seconds": block.load.seconds, "p99_ms": block.load.p99_ms,
                    "errors": block.load.errors, "resident_mib": block.resident_mib,
                });
                folder.append(&format!("{}.jsonl", self.scenario), &line.to_string())?;
                measured[index].blocks.push(block);
            }
        }
        let steal_after = process::steal();
        let dropped = drop_unsteady_rounds(&mut measured);
        let steal = (steal_after.0 - steal_before.0) / (steal_after.1 - steal_before.1).max(1.0);
        Ok(Comparison {
            measured,
            rounds: pace.rounds,
            dropped,
            seconds: pace.seconds,
            label: pace.label.clone(),
            steal,
        })
    }

    /// One block: load on one contender, and what it cost.
    fn block(
        &mut self,
        index: usize,
        round: usize,
        pace: &Pace,
        load: PutLoad<'_>,
        measured: &mut Measured,
    ) -> Result<Block> {
        let contender = &self.contenders[index];
        let is_kept = pace.restarts == Restarts::Never;
        let running = match std::mem::take(&mut self.running[index]) {
            running if is_kept && !running.is_empty() => running,
            // Before others are started: they would have the same ports.
            ended => {
                drop(ended);
                (contender.start)()?
            }
        };
        let resident = || running.iter().map(RunningProgram::resident_mib).sum();
        if measured.blocks.is_empty() {
            measured.idle_mib = resident();
        }
        // Many connections at once may overflow a peer's queue, and the second that the kernel waits until it tries again is
        // the whole warm-up.
        if let Err(cause) = load(contender.to, pace.connections, pace.warm_up_s) {
            eprintln!("warming up {}: {cause:#}", contender.name);
        }
        let (before, switches) = (cpu(&running)?, switches(&running));
        let seen = load(contender.to, pace.connections, pace.seconds)?;
        let after = cpu(&running)?;
        let block = Block {
            round,
            user_us: (after.user - before.user) / seen.requests,
            system_us: (after.system - before.system) / seen.requests,
            switches: (self::switches(&running) - switches) / seen.requests,
            load: seen,
            resident_mib: resident(),
        };
        eprintln!(
            "{}, {}, round {}: {:12} {:6.1} µs ({:.1} user, {:.1} system), {:.0}/s, {} errors",
            self.scenario,
            pace.label,
            round + 1,
            contender.name,
            block.total_us(),
            block.user_us,
            block.system_us,
            seen.requests / seen.seconds,
            seen.errors
        );
        if is_kept {
            self.running[index] = running;
        }
        Ok(block)
    }
}

impl Measured {
    fn of(contender: &Contender<'_>) -> Measured {
        Measured {
            name: contender.name,
            version: contender.version.clone(),
            blocks: Vec::new(),
            idle_mib: 0.0,
            syscalls: None,
        }
    }
}

fn cpu(running: &[RunningProgram]) -> Result<Cpu> {
    let mut sum = Cpu::default();
    for program in running {
        let cpu = program.cpu()?;
        sum.user += cpu.user;
        sum.system += cpu.system;
    }
    Ok(sum)
}

fn switches(running: &[RunningProgram]) -> f64 {
    running.iter().map(RunningProgram::switches).sum()
}

/// Removes the rounds in which the machine was not itself. Returns how many; if they are the most, they are how
/// this machine is, and stay.
fn drop_unsteady_rounds(measured: &mut [Measured]) -> usize {
    let Some(null) = measured.iter().find(|measured| measured.name == "null") else { return 0 };
    let usual = median(null.blocks.iter().map(Block::total_us));
    let unsteady: Vec<usize> = null
        .blocks
        .iter()
        .filter(|block| (block.total_us() / usual - 1.0).abs() > NULL_DRIFT_MAX)
        .map(|block| block.round)
        .collect();
    if unsteady.len() * 2 > null.blocks.len() {
        eprintln!("{} of {} rounds were unsteady, all of them count", unsteady.len(), null.blocks.len());
        return 0;
    }
    for measured in measured {
        measured.blocks.retain(|block| !unsteady.contains(&block.round));
    }
    unsteady.len()
}
