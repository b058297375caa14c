//! System calls, counted from outside by `strace`; apart from what is timed, because counting slows down.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::RunningProgram;

/// How long strace may take to attach.
const ATTACHED_WITHIN: Duration = Duration::from_secs(5);

/// System calls of `running` while `work` is done; strace's table goes to `counts`.
pub(crate) fn count<T>(
    running: &[RunningProgram],
    counts: &Path,
    work: impl FnOnce() -> Result<T>,
) -> Result<(f64, T)> {
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-o"]).arg(counts).stdin(Stdio::null()).stderr(Stdio::null());
    for program in running {
        for id in program.tree() {
            strace.args(["-p", &id.to_string()]);
        }
    }
    let mut strace = strace.spawn().context("start strace")?;
    for program in running {
        wait_until_traced(program.id())?;
    }
    let done = work();
    let id = nix::unistd::Pid::from_raw(strace.id().cast_signed());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT)?;
    strace.wait()?;
    let table = fs::read_to_string(counts)?;
    // `100.00  1.234567  2  600000  12 total`: seconds, microseconds per call, calls, errors.
    let total = table.lines().rev().find(|line| line.trim_end().ends_with("total")).context("no total")?;
    let calls: f64 = total.split_whitespace().nth(3).context("no calls")?.parse()?;
    Ok((calls, done?))
}

fn wait_until_traced(id: u32) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < ATTACHED_WITHIN {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        if status.lines().any(|line| line.starts_with("TracerPid:") && !line.trim_end().ends_with("\t0")) {
            return Ok(());
        }
        std::thread::yield_now();
    }
    bail!("strace did not attach")
}
