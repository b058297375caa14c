//! A host joins the mesh: its proxy is started and, once that is ready, the host's traffic is captured; both end together.
//!
//! In this order nothing on the host has changed when a token is wrong or spent, or when no control plane answers. The
//! token goes to the proxy's standard input and nowhere else. Read next: `guard`, for a proxy that goes away.

use crate::capture;
use crate::nft::NftError;
use crate::scope::CaptureScope;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

/// Longest wait for a proxy to join and to be ready. Longer than it tries to reach its control plane.
const READY_TIMEOUT: Duration = Duration::from_secs(150);
/// Longest wait for a proxy that was told to stop, beyond its own drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
/// Between two looks at a process that is told to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest message of a proxy about itself.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Says who keeps the capture of this host, so that `leave` finds it.
pub const PID_FILE: &str = "/run/leno/join.pid";

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
    /// Which traffic.
    pub scope: CaptureScope,
    /// How long the host stays without network after its proxy has gone, before capture is undone.
    pub undo_after: Duration,
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
    let _claim = Claim::make(&plan.pid_file)?;
    let notices = Notices::open().map_err(system("open a socket for the proxy's readiness"))?;
    let mut proxy = start(&plan, &notices).await?;
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        outcome = until_ready(&mut proxy, &notices) => outcome?,
        stopped = &mut stop => {
            end(&mut proxy).await?;
            return stopped.map_err(system("wait for a signal"));
        }
    }
    if let Err(error) = capture::apply(&plan.scope) {
        end(&mut proxy).await?;
        return Err(JoinHostError::Capture(error));
    }
    tracing::info!("this host has joined: its traffic is captured");
    ready();
    tokio::select! {
        stopped = &mut stop => {
            capture::release().map_err(JoinHostError::Capture)?;
            tracing::info!("this host leaves: its traffic is not captured any more");
            end(&mut proxy).await?;
            stopped.map_err(system("wait for a signal"))
        }
        ended = proxy.wait() => {
            let status = ended.map_err(system("wait for the proxy"))?;
            tracing::error!(%status, undo_after = ?plan.undo_after, "the proxy ended; connections are refused until capture is undone");
            let _ = timeout(plan.undo_after, &mut stop).await;
            capture::release().map_err(JoinHostError::Capture)?;
            Err(JoinHostError::Ended(status))
        }
    }
}

/// Tells whoever keeps this host's capture to leave, waits for its end, and takes away what is left of capture.
///
/// # Errors
/// Capture could not be taken away, or the process does not end.
pub async fn leave(pid_file: &Path) -> Result<(), JoinHostError> {
    let keeper = keeper(pid_file);
    if let Some(pid) = keeper {
        kill(pid, Signal::SIGTERM)
            .map_err(|error| JoinHostError::System("tell the proxy to leave", error.into()))?;
        let until = Instant::now() + STOP_TIMEOUT;
        while is_alive(pid) && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    capture::release().map_err(JoinHostError::Capture)?;
    match keeper {
        Some(pid) if is_alive(pid) => Err(JoinHostError::StaysOn(pid.as_raw())),
        _ => Ok(()),
    }
}

/// The file that says who we are, for as long as we are.
struct Claim<'a>(&'a Path);

impl<'a> Claim<'a> {
    fn make(path: &'a Path) -> Result<Self, JoinHostError> {
        if let Some(pid) = keeper(path) {
            return Err(JoinHostError::Joined(pid.as_raw()));
        }
        let write = || {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            fs::write(path, format!("{}\n", std::process::id()))
        };
        write().map_err(system("write the file with the process id"))?;
        Ok(Self(path))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// The process that a file names, if it lives and runs this very program: a number may have another owner by now.
fn keeper(path: &Path) -> Option<Pid> {
    let pid = fs::read_to_string(path).ok()?.trim().parse::<i32>().ok().filter(|pid| *pid > 1)?;
    let program = |of: &str| fs::read_link(format!("/proc/{of}/exe")).ok();
    let (theirs, ours) = (program(&pid.to_string())?, program("self")?);
    (theirs.file_name() == ours.file_name()).then(|| Pid::from_raw(pid))
}

fn is_alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

/// What the proxy tells of itself, as it would tell a service manager.
struct Notices {
    socket: UnixDatagram,
    name: String,
}

impl Notices {
    fn open() -> io::Result<Self> {
        let name = format!("leno-join-{}", std::process::id());
        let socket = StdDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket)?, name })
    }

    /// Waits until it is ready.
    async fn ready(&self) -> io::Result<()> {
        let mut message = [0; MESSAGE_BYTES_MAX];
        loop {
            let len = self.socket.recv(&mut message).await?;
            let text = String::from_utf8_lossy(message.get(..len).unwrap_or_default());
            if text.lines().any(|line| line == "READY=1") {
                return Ok(());
            }
        }
    }
}

async fn start(plan: &JoinPlan, notices: &Notices) -> Result<Child, JoinHostError> {
    let mut command = match &plan.user {
        None => Command::new(&plan.proxy),
        Some(user) => {
            // The mark that keeps the proxy's own sockets from being captured needs this one, and nothing else does.
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), &format!("--regid={user}")]);
            command.args(["--clear-groups", "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin"]);
            command.args(["--bounding-set=-all,+net_admin", "--no-new-privs", "--"]).arg(&plan.proxy);
            command
        }
    };
    command.args(&plan.arguments).arg("--join-token-file=-").stdin(Stdio::piped()).kill_on_drop(true);
    command.env("NOTIFY_SOCKET", format!("@{}", notices.name)).env_remove("WATCHDOG_USEC");
    let mut child = command.spawn().map_err(system("start the proxy"))?;
    if let Some(mut input) = child.stdin.take() {
        // It may have ended already: its status says why.
        let _ = input.write_all(plan.token.as_bytes()).await;
    }
    Ok(child)
}

async fn until_ready(proxy: &mut Child, notices: &Notices) -> Result<(), JoinHostError> {
    tokio::select! {
        ready = timeout(READY_TIMEOUT, notices.ready()) => match ready {
            Ok(ready) => ready.map_err(system("hear of the proxy")),
            Err(_) => {
                end(proxy).await?;
                Err(JoinHostError::Late(READY_TIMEOUT))
            }
        },
        ended = proxy.wait() => Err(JoinHostError::NotReady(ended.map_err(system("wait for the proxy"))?)),
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
