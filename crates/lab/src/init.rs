//! PID 1 of the lab: mounts what is private, then runs everything else on one thread.

use crate::enter::{self, Inherited};
use crate::files;
use crate::inside::Inside;
use crate::lifecycle;
use crate::process::Processes;
use crate::raw;
use crate::serve;
use anyhow::{Context, Result};
use nix::sys::signal::SigSet;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::rc::Rc;
use tokio::task::LocalSet;

/// Runs as PID 1 until the lab ends. `announce` tells whoever started it how the start went.
pub(crate) fn run<F: Future<Output = ()> + 'static>(
    inherited: &str,
    announce: impl FnOnce(Rc<Inside>) -> F,
) -> Result<ExitCode> {
    let inherited: Inherited = serde_json::from_str(inherited).context("read inherited state")?;
    // The stages before block what they wait for, and masks are inherited.
    SigSet::empty().thread_set_mask().context("unblock signals")?;
    // The root key will live in this process.
    daemon::process::harden();
    let lifeline = enter::hold_lifeline(&inherited)?;
    let companion = inherited.companion.map(adopt).transpose()?;
    let control = UnixListener::from(adopt(inherited.control)?);
    let entrances: BTreeMap<String, TcpListener> = inherited
        .entrances
        .iter()
        .map(|(name, fd)| Ok((name.clone(), TcpListener::from(adopt(*fd)?))))
        .collect::<Result<_>>()?;
    // A session of its own: Ctrl-C in the terminal reaches the launcher only.
    nix::unistd::setsid().context("start a session")?;
    let resolv_conf = files::mount_private()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let processes = Processes::default();
    LocalSet::new().block_on(&runtime, async {
        let inside = Inside::new(inherited, entrances, processes.clone(), resolv_conf)?;
        tokio::task::spawn_local(processes.reap());
        tokio::task::spawn_local(lifecycle::bring_up(Rc::clone(&inside)));
        tokio::task::spawn_local(announce(Rc::clone(&inside)));
        tokio::select! {
            result = serve::serve(control, &inside) => result?,
            () = ended(lifeline) => {}
            () = ended(companion) => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Owns an inherited descriptor and keeps it from processes started later.
fn adopt(fd: RawFd) -> Result<OwnedFd> {
    let fd = raw::adopt(fd);
    raw::close_on_exec(fd.as_fd())?;
    Ok(fd)
}

/// Waits until `fd` is readable: end of file on the lifeline, end of the process behind a pidfd.
async fn ended(fd: Option<OwnedFd>) {
    match fd.and_then(|fd| raw::watch_readable(fd).ok()) {
        Some(watched) => {
            let _ = watched.readable().await;
        }
        None => std::future::pending().await,
    }
}
