//! One host: a network namespace, a directory of its own, and the processes in it.

use crate::files::{self, HOST_VIEW, ResolvConf};
use crate::namespace::Namespace;
use crate::plan::HostPlan;
use crate::process::{Processes, RunningProcess};
use crate::protocol::{HostRow, HostState};
use crate::raw::{self, Surroundings};
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

/// Where commands are looked for inside a host; `leno` itself comes first.
const PATH: &str = "/run/leno/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// This very program, whatever its path: also after it was replaced on disk by a rebuild.
const SELF: &str = "/proc/self/exe";

/// What all hosts share.
pub(crate) struct Ground {
    /// Starts and reaps.
    pub processes: Processes,
    /// How hosts get their resolver configuration.
    pub resolv_conf: ResolvConf,
    /// Level of the processes' logs.
    pub log: String,
}

/// One host.
pub(crate) struct Host {
    /// What it is.
    pub plan: HostPlan,
    /// Its network.
    pub namespace: Namespace,
    /// The ends of its cables on the other side, to cut them.
    pub cables: Vec<(Namespace, u32)>,
    processes: RefCell<BTreeMap<&'static str, RunningProcess>>,
    condition: Cell<HostCondition>,
}

/// What the lab last did to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostCondition {
    /// Nothing, or it is not ready yet.
    Starting,
    /// It became ready.
    Ready,
    /// It was paused.
    Paused,
}

/// A program of the lab's own binary to start in a host.
pub(crate) struct Start {
    /// For logs and `ps`: `app`, `proxy`, `control`, `manager`.
    pub program: &'static str,
    /// Arguments after `leno`.
    pub arguments: Vec<String>,
    /// Descriptors that stay open in it.
    pub keep: Vec<RawFd>,
    /// Written to its standard input, which is then closed: join tokens never touch a file or an argument.
    pub input: String,
}

impl Host {
    /// A host whose namespace and cables exist.
    pub(crate) fn new(plan: HostPlan, namespace: Namespace, cables: Vec<(Namespace, u32)>) -> Self {
        Self {
            plan,
            namespace,
            cables,
            processes: RefCell::default(),
            condition: Cell::new(HostCondition::Starting),
        }
    }

    /// Makes the host's directory: what its processes see as `/run`.
    pub(crate) fn furnish(&self, ground: &Ground, nameserver: &str) -> Result<()> {
        let name = &self.plan.name;
        // Searched by whichever user runs a program here; what lies in them is for its owner alone.
        for directory in ["bin", "log", "config"] {
            fs::create_dir_all(files::in_host(name, directory))
                .with_context(|| format!("make the files of {name}"))?;
        }
        daemon::files::make_directory(&files::in_host(name, "state"))
            .with_context(|| format!("make the files of {name}"))?;
        std::os::unix::fs::symlink("/proc/1/exe", files::in_host(name, "bin/leno"))?;
        let text = format!(
            "nameserver {nameserver}\nsearch default.svc.cluster.local svc.cluster.local\noptions timeout:2 attempts:2\n"
        );
        files::write_for_all(&files::in_host(name, "resolv.conf"), text.as_bytes())?;
        if let ResolvConf::BelowRun(below) = &ground.resolv_conf {
            files::write_for_all(&files::run_directory(name).join(below), text.as_bytes())?;
        }
        Ok(())
    }

    /// A command that will run inside the host. Standard streams are the caller's to set.
    pub(crate) fn command(&self, ground: &Ground, program: &str, keep: Vec<RawFd>) -> Result<Command> {
        let name = &self.plan.name;
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).context("path with a zero byte");
        let mut mounts = Vec::new();
        if let ResolvConf::Bind(over) = &ground.resolv_conf {
            mounts.push((text(&files::in_host(name, "resolv.conf"))?, text(over)?));
        }
        mounts.push((text(&files::run_directory(name))?, text(Path::new("/run"))?));
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", HOST_VIEW)
            .env("LENO_LOG", &ground.log)
            .env("LENO_HOST", name)
            .current_dir("/");
        let surroundings = Surroundings {
            network: self.namespace.raw_fd(),
            hostname: CString::new(name.replace('/', "-"))?,
            mounts,
            keep,
        };
        raw::surround(&mut command, surroundings);
        Ok(command)
    }

    /// Starts a program of the lab's binary and keeps it under its name. Its output goes to a log file.
    pub(crate) fn start(&self, ground: &Ground, start: Start) -> Result<RunningProcess> {
        let log = self.open_log(start.program)?;
        let mut command = self.command(ground, SELF, start.keep)?;
        command.arg0("leno").args(&start.arguments);
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let (running, stdin) = ground.processes.spawn(&mut command)?;
        write_and_close(stdin, &start.input)?;
        self.processes.borrow_mut().insert(start.program, running.clone());
        Ok(running)
    }

    /// Runs a short program of the lab's binary to its end; `Err` shows what it wrote.
    pub(crate) async fn run(&self, ground: &Ground, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(ground, SELF, Vec::new())?;
        command.arg0("leno").args(arguments);
        let what = format!("leno {} in {}", arguments.join(" "), self.plan.name);
        self.finish(ground, command, "", &what).await
    }

    /// Applies an nftables script in the host's network as one transaction.
    pub(crate) async fn apply_rules(&self, ground: &Ground, script: &str) -> Result<()> {
        let nft = node::nft::find()?;
        let mut command = self.command(ground, &nft.to_string_lossy(), Vec::new())?;
        command.args(["-f", "-"]);
        self.finish(ground, command, script, &format!("nft in {}", self.plan.name)).await
    }

    async fn finish(&self, ground: &Ground, mut command: Command, input: &str, what: &str) -> Result<()> {
        let path = files::in_host(&self.plan.name, "log/setup.log");
        let log = daemon::files::private().create(true).append(true).open(&path)?;
        let before = log.metadata()?.len();
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let (running, stdin) = ground.processes.spawn(&mut command)?;
        write_and_close(stdin, input)?;
        let code = running.ended().await;
        if code == 0 {
            return Ok(());
        }
        let said = fs::read(&path).unwrap_or_default();
        let said = String::from_utf8_lossy(said.get(before as usize..).unwrap_or_default()).trim().to_owned();
        anyhow::bail!("{what} ended with {code}: {said}")
    }

    fn open_log(&self, program: &str) -> Result<File> {
        let path = files::in_host(&self.plan.name, &format!("log/{program}.log"));
        daemon::files::private()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))
    }

    /// The process with this name, running or ended by itself.
    pub(crate) fn process(&self, program: &str) -> Option<RunningProcess> {
        self.processes.borrow().get(program).cloned()
    }

    /// Forgets a process that is ended on purpose, and hands it over.
    pub(crate) fn take(&self, program: &str) -> Option<RunningProcess> {
        self.processes.borrow_mut().remove(program)
    }

    /// The same for all.
    pub(crate) fn take_all(&self) -> Vec<RunningProcess> {
        std::mem::take(&mut *self.processes.borrow_mut()).into_values().collect()
    }

    /// Sends a signal to all its processes.
    pub(crate) fn signal(&self, signal: Signal) {
        for running in self.processes.borrow().values() {
            running.signal_group(signal);
        }
    }

    /// Names and ids of what it runs.
    pub(crate) fn running(&self) -> BTreeMap<&'static str, i32> {
        let processes = self.processes.borrow();
        processes.iter().filter(|(_, p)| p.code().is_none()).map(|(name, p)| (*name, p.pid)).collect()
    }

    /// Notes what was done to it.
    pub(crate) fn set_condition(&self, condition: HostCondition) {
        self.condition.set(condition);
    }

    /// How it is doing.
    pub(crate) fn state(&self) -> HostState {
        let processes = self.processes.borrow();
        if processes.is_empty() {
            HostState::Off
        } else if processes.values().any(|process| process.code().is_some()) {
            HostState::Failed
        } else {
            match self.condition.get() {
                HostCondition::Starting => HostState::Starting,
                HostCondition::Ready => HostState::Ready,
                HostCondition::Paused => HostState::Paused,
            }
        }
    }

    /// For `ps`.
    pub(crate) fn row(&self) -> HostRow {
        let addresses = [self.plan.pod, self.plan.backbone];
        HostRow {
            name: self.plan.name.clone(),
            addresses: addresses.into_iter().flatten().map(|address| address.to_string()).collect(),
            purpose: self.plan.purpose(),
            processes: self.running().into_iter().map(|(name, pid)| (name.to_owned(), pid)).collect(),
            state: self.state(),
        }
    }
}

/// A process that ended already has closed its end; its exit code says why.
fn write_and_close(stdin: Option<ChildStdin>, text: &str) -> Result<()> {
    use std::io::{ErrorKind, Write};
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to a process"),
        _ => Ok(()),
    }
}
