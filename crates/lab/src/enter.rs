//! How the lab enters namespaces of its own, and why nothing survives its end.
//!
//! `leno demo` (launcher) starts `leno demo-enter` (makes the namespaces), which starts `leno demo-init`
//! (PID 1 inside). Each is re-executed, so it has one thread when it needs one. Each dies with its parent,
//! and the end of PID 1 ends every process, mount and network inside. Read `init` next.

use crate::raw;
use crate::wire;
use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getegid, geteuid, getppid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, ExitCode};
use std::time::SystemTime;

/// The clusters that host ports lead to, in the order of their ports.
pub(crate) const ENTRANCES: [&str; 3] = ["edge", "west", "east"];

/// What a lab is made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LabOptions {
    /// Tells labs of one user apart; see `--name`.
    pub name: String,
    /// First of three loopback ports on the host; 0: any free ones.
    pub port: u16,
    /// Worker threads of each proxy.
    pub workers: u16,
    /// How long certificates of workloads live, in seconds.
    pub certificate_ttl_s: u32,
    /// Level of the processes' logs.
    pub log: String,
    /// The lab ends when this process of the host ends; `None`: it does not care.
    pub with_pid: Option<i32>,
    /// What it prints when ready.
    pub greeting: Greeting,
}

/// What a lab prints on standard output when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Greeting {
    /// Nothing.
    None,
    /// What a person wants to know.
    Table,
    /// `protocol::LabStatus` as one line of JSON, for whoever put it into the background.
    Report,
}

/// What each stage hands to the next on its command line: options and inherited descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Inherited {
    /// See [`LabOptions`].
    pub options: LabOptions,
    /// The listening abstract socket.
    pub control: RawFd,
    /// Cluster to listening loopback socket.
    pub entrances: BTreeMap<String, RawFd>,
    /// Becomes readable when the process in `LabOptions::with_pid` ends.
    pub companion: Option<RawFd>,
    /// Process id of the stage before, to notice its death before the death signal was set.
    pub parent: i32,
    /// Its other end is held by the stage before; end of file means that it died.
    pub lifeline: Option<RawFd>,
    /// When the launcher started.
    pub started: SystemTime,
}

/// The launcher: binds what lies outside, starts the chain, waits, and passes signals on.
/// Must be called before the process has a second thread.
pub(crate) fn launch(options: LabOptions) -> Result<ExitCode> {
    let started = SystemTime::now();
    raw::close_strangers_on_exec();
    let signals = block_signals()?;
    let address = wire::address(&options.name).context("name of the control socket")?;
    let control = UnixListener::bind_addr(&address).with_context(|| {
        let name = &options.name;
        format!("a demo named {name} is already running; stop it with: leno demo stop --name {name}, or choose another --name")
    })?;
    let listeners = bind_entrances(options.port)?;
    let companion =
        options.with_pid.map(raw::open_pidfd).transpose().context("watch the process of --with-pid")?;

    let mut keep: Vec<RawFd> = vec![control.as_raw_fd()];
    keep.extend(listeners.values().map(AsRawFd::as_raw_fd));
    keep.extend(companion.as_ref().map(AsRawFd::as_raw_fd));
    for fd in [control.as_fd()]
        .into_iter()
        .chain(listeners.values().map(AsFd::as_fd))
        .chain(companion.as_ref().map(AsFd::as_fd))
    {
        raw::keep_on_exec(fd)?;
    }
    let inherited = Inherited {
        control: control.as_raw_fd(),
        entrances: listeners.iter().map(|(name, l)| (name.clone(), l.as_raw_fd())).collect(),
        companion: companion.as_ref().map(AsRawFd::as_raw_fd),
        parent: Pid::this().as_raw(),
        lifeline: None,
        started,
        options,
    };
    let child = stage("demo-enter", &inherited)?;
    drop((control, listeners, companion));
    wait_and_forward(child, &signals, Signal::SIGTERM)
}

/// Binds the loopback ports of the host that lead into the lab.
fn bind_entrances(port: u16) -> Result<BTreeMap<String, TcpListener>> {
    let mut listeners = BTreeMap::new();
    for (offset, name) in (0..).zip(ENTRANCES) {
        let port = if port == 0 { 0 } else { port.checked_add(offset).context("--port is too high")? };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
            format!("127.0.0.1:{port} is taken; choose other ports with --port N (three from N on) or --port 0 (any free ones)")
        })?;
        listeners.insert(name.to_owned(), listener);
    }
    Ok(listeners)
}

/// Stage one: makes the namespaces and starts PID 1 in them.
pub(crate) fn enter(inherited: &str) -> Result<ExitCode> {
    let mut inherited: Inherited = serde_json::from_str(inherited).context("read inherited state")?;
    let signals = block_signals()?;
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() != inherited.parent {
        bail!("the launcher is gone");
    }
    unshare_all()?;
    // Changing credentials clears the death signal.
    set_pdeathsig(Signal::SIGKILL)?;

    let (lifeline, _held) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    raw::keep_on_exec(lifeline.as_fd())?;
    inherited.lifeline = Some(lifeline.as_raw_fd());
    inherited.parent = 0;
    let child = stage("demo-init", &inherited)?;
    drop(lifeline);
    // PID 1 ignores what it does not listen for, but SIGKILL from outside always works.
    wait_and_forward(child, &signals, Signal::SIGKILL)
}

/// New user, network, mount, PID, UTS and IPC namespaces, with the calling user mapped to root inside.
fn unshare_all() -> Result<()> {
    let inside = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    let (uid, gid) = (geteuid(), getegid());
    if let Err(error) = unshare(inside | CloneFlags::CLONE_NEWUSER) {
        // Root needs no user namespace where they are switched off.
        if uid.is_root() && unshare(inside).is_ok() {
            return Ok(());
        }
        bail!("{}", forbidden(error));
    }
    let write = |file: &str, text: String| {
        std::fs::write(format!("/proc/self/{file}"), text)
            .map_err(|_| anyhow::anyhow!("{}", forbidden(nix::Error::EPERM)))
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))
}

/// One line that names the setting which forbids user namespaces here, or `sudo`.
fn forbidden(error: nix::Error) -> String {
    let setting =
        |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let advice = if setting("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        "run: sudo sysctl kernel.unprivileged_userns_clone=1"
    } else if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        "run: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else if setting("/proc/sys/user/max_user_namespaces") == "0" {
        "run: sudo sysctl user.max_user_namespaces=10000"
    } else if geteuid().is_root() {
        "this container lacks the right to make namespaces; start it privileged"
    } else {
        "run it with sudo"
    };
    format!("this system forbids user namespaces ({error}): {advice}")
}

/// Starts this program again as `name`. Its descriptors that are kept on exec go along.
fn stage(name: &str, inherited: &Inherited) -> Result<Child> {
    let state = serde_json::to_string(inherited)?;
    let mut command = Command::new("/proc/self/exe");
    std::os::unix::process::CommandExt::arg0(&mut command, "leno");
    command.args([name, &state]).spawn().with_context(|| format!("start {name}"))
}

/// Blocks the signals that [`wait_and_forward`] waits for. Children inherit this; PID 1 undoes it.
fn block_signals() -> Result<SigSet> {
    let signals: SigSet =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect();
    signals.thread_block()?;
    Ok(signals)
}

/// Waits until `child` has ended. SIGINT, SIGTERM and SIGHUP send it `stop_with`; when this returns, its
/// whole tree is gone: the kernel lets PID 1 be reaped only after everything in its namespace has ended.
fn wait_and_forward(mut child: Child, signals: &SigSet, stop_with: Signal) -> Result<ExitCode> {
    let mut was_asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(match code {
                _ if was_asked => ExitCode::SUCCESS,
                Some(code) => ExitCode::from(code),
                None => ExitCode::FAILURE,
            });
        }
        if signals.wait()? != Signal::SIGCHLD {
            was_asked = true;
            let _ = nix::sys::signal::kill(Pid::from_raw(child.id().cast_signed()), stop_with);
        }
    }
}

/// What PID 1 holds on to so that it dies with the stage before.
pub(crate) fn hold_lifeline(inherited: &Inherited) -> Result<Option<OwnedFd>> {
    set_pdeathsig(Signal::SIGKILL)?;
    let Some(fd) = inherited.lifeline.map(raw::adopt) else { return Ok(None) };
    raw::close_on_exec(fd.as_fd())?;
    Ok(Some(fd))
}
