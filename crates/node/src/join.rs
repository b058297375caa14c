//! A host joins the mesh: its proxy is started and, once that is ready, the host's traffic is captured; both end together.
//!
//! In this order nothing on the host has changed when a token is wrong or spent, or when no control plane answers. The
//! token goes to the proxy's standard input and nowhere else. A terminal that is closed ends neither. Read next: `claim`
//! for one keeper at a time, `guard` for a proxy that goes away.

use crate::capture;
use crate::claim::{self, Claim, ClaimError};
use crate::nft::NftError;
use crate::notices::{Notice, Notices};
use crate::scope::wanted;
use model::capture_scope::CaptureScope;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::convert::Infallible;
use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

/// Longest wait for a proxy to join and to be ready. Longer than it tries to reach its control plane.
const READY_TIMEOUT: Duration = Duration::from_secs(150);
/// Longest wait for a proxy that was told to stop, beyond its own drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest wait for the process that keeps a host's capture: longer than it waits for its proxy.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a change of the rules is tried, and the wait between two tries: while the proxy serves, nothing is lost.
const RELEASE_TRIES: u32 = 10;
const RELEASE_AGAIN: Duration = Duration::from_millis(500);
/// Between two looks at a process that is told to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Says who keeps the capture of this host, so that `leave` finds it. In a directory that is root's alone: the planes' user,
/// who has `/run/leno`, must not say which process `leave` ends.
pub const PID_FILE: &str = "/run/leno-join/join.pid";

/// What is to be started and captured.
pub struct JoinPlan {
    /// The program of the proxy.
    pub proxy: PathBuf,
    /// Its arguments, without those for the token.
    pub arguments: Vec<OsString>,
    /// The user that it runs as, with the one capability that it needs; `None`: as we do.
    pub user: Option<String>,
    /// A secret until it is spent.
    pub token: String,
    /// Which traffic, as the owner of the host says; annotations of the group narrow it.
    pub scope: CaptureScope,
    /// How long the host stays without network after its proxy has gone, before capture is undone and traffic is no longer
    /// encrypted; `None`: until it leaves.
    pub undo_after: Option<Duration>,
    /// Where our process id is written.
    pub pid_file: PathBuf,
}

/// Why a host is not, or no longer, in the mesh.
#[derive(Debug, thiserror::Error)]
pub enum JoinHostError {
    /// Another process keeps this host's capture.
    #[error("this host has joined already: process {0} keeps it; leave first with: leno leave")]
    Joined(i32),
    /// The rules would not be taken.
    #[error("traffic cannot be captured; nothing was changed on this host")]
    Rules(#[source] NftError),
    /// Something of the system failed.
    #[error("{0}")]
    System(&'static str, #[source] io::Error),
    /// It did not get ready.
    #[error("the proxy ended before it was ready ({0}); its log says why. Nothing was changed on this host")]
    NotReady(ExitStatus),
    /// It did not get ready in time.
    #[error("the proxy was not ready after {0:?} and was stopped. Nothing was changed on this host")]
    Late(Duration),
    /// Capture could not be put in place or taken away.
    #[error("change capture")]
    Capture(#[source] NftError),
    /// The proxy ended, and its key with it.
    #[error("the proxy ended ({0}); capture is undone. A new token is needed to join again")]
    Ended(ExitStatus),
    /// Nobody is to be told to leave.
    #[error("process {0} has not ended; capture is undone")]
    StaysOn(i32),
}

fn system(what: &'static str) -> impl Fn(io::Error) -> JoinHostError {
    move |error| JoinHostError::System(what, error)
}

/// Starts the proxy, captures, and waits for `stop`; `ready` is called once traffic is captured. Capture is taken away
/// before the proxy drains, so that no connection finds a proxy that does not listen any more.
///
/// # Errors
/// Why the host is not in the mesh.
pub async fn join(
    plan: JoinPlan,
    stop: impl Future<Output = io::Result<()>>,
    ready: impl FnOnce(),
) -> Result<(), JoinHostError> {
    capture::check(&plan.scope).map_err(JoinHostError::Rules)?;
    let _claim = Claim::make(&plan.pid_file).map_err(|error| match error {
        ClaimError::Kept(pid) => JoinHostError::Joined(pid),
        ClaimError::File(error) => JoinHostError::System("write the file with the process id", error),
    })?;
    // Whoever typed this may close the terminal: the host stays a member.
    let _ignored = signal(SignalKind::hangup()).map_err(system("ignore the end of the terminal"))?;
    let notices = Notices::open().map_err(system("open a socket for the proxy's readiness"))?;
    let mut proxy = start(&plan, &notices).await?;
    let mut stop = std::pin::pin!(stop);
    let scope = tokio::select! {
        outcome = until_ready(&mut proxy, &notices, &plan.scope) => outcome?,
        stopped = &mut stop => {
            end(&mut proxy).await?;
            return stopped.map_err(system("wait for a signal"));
        }
    };
    if let Err(error) = capture::apply(&scope) {
        end(&mut proxy).await?;
        return Err(JoinHostError::Capture(error));
    }
    tracing::info!("this host has joined: its traffic is captured");
    ready();
    let id = proxy.id();
    tokio::select! {
        never = follow_mesh(&notices, id, &plan.scope, scope) => match never {},
        stopped = &mut stop => {
            tracing::info!("this host leaves: new connections are not captured any more");
            changed(capture::drain).await?;
            let ended = end(&mut proxy).await;
            changed(capture::release).await?;
            ended?;
            stopped.map_err(system("wait for a signal"))
        }
        ended = proxy.wait() => {
            let told = ended.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            tracing::error!(status = told, undo_after = ?plan.undo_after, "the proxy ended: connections are refused until capture is undone");
            match plan.undo_after {
                Some(limit) => drop(timeout(limit, &mut stop).await),
                None => drop(stop.await),
            }
            changed(capture::release).await?;
            Err(JoinHostError::Ended(ended.map_err(system("wait for the proxy"))?))
        }
    }
}

/// Changes the rules, and tries again: giving up would leave a captured host without a proxy.
async fn changed(change: impl Fn() -> Result<(), NftError>) -> Result<(), JoinHostError> {
    let mut tries = 1;
    loop {
        match change() {
            Ok(()) => return Ok(()),
            Err(error) if tries == RELEASE_TRIES => return Err(JoinHostError::Capture(error)),
            Err(error) => tracing::error!(%error, "cannot change capture; trying again"),
        }
        tries += 1;
        tokio::time::sleep(RELEASE_AGAIN).await;
    }
}

/// Tells whoever keeps this host's capture to leave, waits for its end, and takes away what is left of capture.
///
/// # Errors
/// Capture could not be taken away, or the process does not end.
pub async fn leave(pid_file: &Path) -> Result<(), JoinHostError> {
    let unreadable = system("read who keeps this host");
    let mut keeper = claim::keeper(pid_file).map_err(&unreadable)?;
    if let Some(pid) = keeper {
        kill(Pid::from_raw(pid), Signal::SIGTERM)
            .map_err(|error| JoinHostError::System("tell the proxy to leave", error.into()))?;
        let until = Instant::now() + LEAVE_TIMEOUT;
        while keeper.is_some() && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            keeper = claim::keeper(pid_file).map_err(&unreadable)?;
        }
    }
    changed(capture::release).await?;
    keeper.map_or(Ok(()), |pid| Err(JoinHostError::StaysOn(pid)))
}

async fn start(plan: &JoinPlan, notices: &Notices) -> Result<Child, JoinHostError> {
    let mut command = Command::new("setpriv");
    // Should we be killed, the proxy is told to stop: nobody else would end it.
    command.args(["--pdeathsig", "TERM"]);
    if let Some(user) = &plan.user {
        // The mark that keeps the proxy's own sockets from being captured needs this one, and nothing else does.
        command.args([&format!("--reuid={user}"), &format!("--regid={user}")]);
        command.args(["--clear-groups", "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin"]);
        command.args(["--bounding-set=-all,+net_admin", "--no-new-privs"]);
    }
    command.arg("--").arg(&plan.proxy);
    command.args(&plan.arguments).arg("--join-token-file=-").stdin(Stdio::piped()).kill_on_drop(true);
    // What the terminal tells us is for us: the proxy drains after capture, not with it.
    command.process_group(0);
    command.env("NOTIFY_SOCKET", notices.address()).env_remove("WATCHDOG_USEC");
    let mut child = command.spawn().map_err(system("start the proxy"))?;
    if let Some(mut input) = child.stdin.take() {
        // It may have ended already: its status says why.
        let _ = input.write_all(plan.token.as_bytes()).await;
    }
    Ok(child)
}

/// Waits for the proxy; what is to be captured then, by what it told of its mesh.
async fn until_ready(
    proxy: &mut Child,
    notices: &Notices,
    owner: &CaptureScope,
) -> Result<CaptureScope, JoinHostError> {
    let id = proxy.id();
    let ready = async {
        let mut scope = owner.clone();
        loop {
            match notices.next(id).await? {
                Notice::Ready => return Ok(scope),
                Notice::Capture(told) => scope = wanted(owner, &told).unwrap_or(scope),
            }
        }
    };
    tokio::select! {
        ready = timeout(READY_TIMEOUT, ready) => match ready {
            Ok(ready) => ready.map_err(system("hear of the proxy")),
            Err(_) => {
                end(proxy).await?;
                Err(JoinHostError::Late(READY_TIMEOUT))
            }
        },
        ended = proxy.wait() => Err(JoinHostError::NotReady(ended.map_err(system("wait for the proxy"))?)),
    }
}

/// Changes what is captured whenever the proxy tells something else of its mesh, all rules in one transaction. Never ends.
async fn follow_mesh(
    notices: &Notices,
    proxy: Option<u32>,
    owner: &CaptureScope,
    mut scope: CaptureScope,
) -> Infallible {
    loop {
        let told = match notices.next(proxy).await {
            Ok(Notice::Capture(told)) => told,
            Ok(Notice::Ready) => continue,
            Err(error) => {
                tracing::error!(%error, "the proxy is not heard any more: what is captured stays as it is");
                return std::future::pending().await;
            }
        };
        let Some(wanted) = wanted(owner, &told).filter(|wanted| *wanted != scope) else { continue };
        match capture::apply(&wanted) {
            Ok(()) => {
                tracing::info!(
                    "what is captured has changed, by settings of the mesh or annotations of the workload group"
                );
                scope = wanted;
            }
            Err(error) => tracing::error!(%error, "what is captured stays as it was"),
        }
    }
}

/// Lets the proxy drain, and kills it if that takes too long.
async fn end(proxy: &mut Child) -> Result<(), JoinHostError> {
    let failed = system("stop the proxy");
    if let Some(pid) = proxy.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    match timeout(STOP_TIMEOUT, proxy.wait()).await {
        Ok(ended) => ended.map(drop).map_err(failed),
        Err(_) => proxy.kill().await.map_err(failed),
    }
}

#[cfg(test)]
mod tests;
