//! Every process of the lab: started here, reaped here.
//!
//! The lab is PID 1 of its PID namespace, so it also inherits orphans; one loop waits for any child and
//! tells those who watch. Spawning happens on the lab's one thread, so no exit can overtake its entry.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::cell::RefCell;
use std::collections::HashMap;
use std::process::{Child, ChildStdin, Command};
use std::rc::Rc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Added to the number of the signal that ended a process, as shells do.
const SIGNAL_CODE_BASE: i32 = 128;

/// Starts and reaps. Clones share one table.
#[derive(Clone, Default)]
pub(crate) struct Processes {
    waiting: Rc<RefCell<HashMap<i32, watch::Sender<Option<i32>>>>>,
}

/// A process that was started.
#[derive(Clone, Debug)]
pub(crate) struct RunningProcess {
    /// Process id inside the lab.
    pub pid: i32,
    code: watch::Receiver<Option<i32>>,
}

impl Processes {
    /// Starts `command`.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<(RunningProcess, Option<ChildStdin>)> {
        let program = command.get_program().to_owned();
        let mut child: Child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let pid = child.id().cast_signed();
        let (sender, code) = watch::channel(None);
        self.waiting.borrow_mut().insert(pid, sender);
        Ok((RunningProcess { pid, code }, child.stdin.take()))
    }

    /// Reaps children until the runtime ends. Must run on the thread that spawns.
    pub(crate) async fn reap(self) -> Result<()> {
        let mut children = signal(SignalKind::child()).context("watch for ended processes")?;
        loop {
            self.reap_ended();
            children.recv().await;
        }
    }

    fn reap_ended(&self) {
        loop {
            let (pid, code) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, SIGNAL_CODE_BASE + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(error) => {
                    tracing::error!(%error, "wait for children");
                    return;
                }
            };
            if let Some(watcher) = self.waiting.borrow_mut().remove(&pid.as_raw()) {
                // Nobody may be watching any more.
                let _ = watcher.send(Some(code));
            }
        }
    }
}

impl RunningProcess {
    /// The exit code, once it has ended.
    pub(crate) fn code(&self) -> Option<i32> {
        *self.code.borrow()
    }

    /// Waits for the end; the exit code, or 128 plus the signal.
    pub(crate) async fn ended(&self) -> i32 {
        let mut code = self.code.clone();
        match code.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or_default(),
            Err(_) => SIGNAL_CODE_BASE,
        }
    }

    /// Sends a signal to the process alone. Does nothing when it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.code().is_none() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Sends a signal to the process and to all that it started in its group.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if self.code().is_none() {
            let _ = kill(Pid::from_raw(-self.pid), signal);
        }
    }
}
