//! Processes on a core of their own, and what the kernel says about them.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// For generators and backends.
pub(crate) const LOAD_CORE: usize = 0;
/// For the proxies under test.
pub(crate) const PROXY_CORE: usize = 1;
/// How long a program may take until it accepts connections.
const START_WAIT: Duration = Duration::from_secs(10);
/// The kernel's unit in `/proc/PID/stat`, in microseconds (USER_HZ is 100 on Linux).
const TICK_US: f64 = 10_000.0;

/// A running program, ended when dropped.
pub(crate) struct RunningProgram {
    child: Child,
    name: String,
}

/// CPU time spent so far, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub user: f64,
    pub system: f64,
}

impl RunningProgram {
    /// Starts `command` (program and arguments) pinned to `core`; its words go to `log`.
    pub(crate) fn start(name: &str, core: usize, command: &[String], log: &Path) -> Result<RunningProgram> {
        Self::start_hearing(name, core, command, log, Stdio::null())
    }

    /// The same with something on standard input.
    pub(crate) fn start_hearing(
        name: &str,
        core: usize,
        command: &[String],
        log: &Path,
        input: Stdio,
    ) -> Result<RunningProgram> {
        let words = fs::OpenOptions::new().create(true).append(true).open(log);
        let words = words.with_context(|| format!("open {}", log.display()))?;
        // Whatever ends this process ends it too.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()])
            .args(command)
            .stdin(input)
            .stdout(words.try_clone()?)
            .stderr(words)
            // So that all of it can be ended at one moment: a master would replace a worker that ended before it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(RunningProgram { child, name: name.to_owned() })
    }

    /// Waits until it accepts connections.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once: {status}", self.name);
            }
            if begun.elapsed() > START_WAIT {
                bail!("{} does not listen on {address}", self.name);
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process and all its descendants.
    pub(crate) fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.id()];
        let mut next = 0;
        while let Some(parent) = tree.get(next) {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
            tree.extend(
                children.unwrap_or_default().split_whitespace().filter_map(|id| id.parse::<u32>().ok()),
            );
            next += 1;
        }
        tree
    }

    /// CPU time of the whole tree.
    ///
    /// # Errors
    /// It has ended: somebody else answers.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut sum = Cpu::default();
        for id in self.tree() {
            let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
            // The name in parentheses may contain blanks.
            let (_, fields) = stat.rsplit_once(')').context("read /proc/PID/stat")?;
            let fields: Vec<&str> = fields.split_whitespace().collect();
            if id == self.id() && fields.first() == Some(&"Z") {
                bail!("{} has ended", self.name);
            }
            let ticks = |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok());
            sum.user += ticks(11).context("utime")? * TICK_US;
            sum.system += ticks(12).context("stime")? * TICK_US;
        }
        Ok(sum)
    }

    /// How often the tree's threads gave up their core or lost it, so far.
    pub(crate) fn switches(&self) -> f64 {
        self.tree().into_iter().map(switches).sum()
    }

    /// Resident memory of the whole tree, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let kib: f64 = self.tree().into_iter().map(resident_kib).sum();
        kib / 1024.0
    }
}

impl Drop for RunningProgram {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn switches(id: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let status = threads.map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default());
    let counts = status.map(|text| {
        let lines = text.lines().filter(|line| line.contains("voluntary_ctxt_switches:"));
        lines.filter_map(|line| line.rsplit('\t').next()?.parse::<f64>().ok()).sum::<f64>()
    });
    counts.sum()
}

fn resident_kib(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

/// Keeps this thread on a core from now on, and what it starts elsewhere unless that is said.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// Waits until somebody accepts connections at `address`.
pub(crate) fn wait_for(address: SocketAddr) -> Result<()> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if began.elapsed() > START_WAIT {
            bail!("nobody listens on {address}");
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Bytes sent so far on the connections that came in at `port`, as the kernel counts them.
pub(crate) fn sent_bytes(port: u16) -> Result<f64> {
    let output =
        Command::new("ss").args(["-tinH", &format!("sport = :{port}")]).output().context("run ss")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let counts =
        said.split_whitespace().filter_map(|word| word.strip_prefix("bytes_sent:")?.parse::<f64>().ok());
    Ok(counts.sum())
}

/// Lets time pass in which something else is watched.
pub(crate) fn pass(time: Duration) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Runs a command to its end, with `words` on its standard input.
///
/// # Errors
/// It fails.
pub(crate) fn run(command: &[String], words: &str) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(input(words)?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let output = child.with_context(|| format!("run {program}"))?.wait_with_output()?;
    if !output.status.success() {
        bail!("{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A text as standard input.
pub(crate) fn input(text: &str) -> Result<Stdio> {
    let (read, mut write) = std::io::pipe()?;
    // Far less than a pipe holds.
    write.write_all(text.as_bytes())?;
    Ok(Stdio::from(read))
}

/// A port on loopback that nobody uses now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Ticks that the hypervisor took from this machine, and all ticks, so far.
pub(crate) fn steal() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    (ticks.get(7).copied().unwrap_or_default(), ticks.iter().sum())
}

/// The first line that a program says about its version.
pub(crate) fn version(program: &Path, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else { return "unknown".to_owned() };
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let line = words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown");
    // Envoy begins with its own path.
    line.strip_prefix(&*program.to_string_lossy()).unwrap_or(line).trim().to_owned()
}

/// What this machine is.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim())
        .to_owned();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} × {model}, Linux {}", kernel.trim())
}
