//! A program of a probe. It runs as the proxy's user, without its capabilities and its environment, and may gain none; what
//! it prints is dropped. One that is not waited for any longer is killed with its process group.
//!
//! Only where the host's owner allows it: a control plane must not run programs on a host by itself.

use super::cause::plain;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::Command;

/// Where programs are looked for.
const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Takes from the program what the proxy may do, and ends it with the proxy.
const SETPRIV: [&str; 6] =
    ["--pdeathsig", "KILL", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs", "--"];

/// Whether programs of probes may run on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecProbes {
    /// The host's owner said so.
    Allowed,
    /// Nobody did.
    Refused,
}

/// Runs it to its end; dropping the future kills it.
///
/// # Errors
/// Why that is no success.
pub(super) async fn run(command: &[Arc<str>], may: ExecProbes) -> Result<(), String> {
    if may == ExecProbes::Refused {
        return Err(
            "this host runs no programs of probes; its proxy would with --allow-exec-probes".to_owned()
        );
    }
    let mut setpriv = Command::new("setpriv");
    setpriv.args(SETPRIV).args(command.iter().map(|word| &**word)).env_clear().env("PATH", SEARCHED);
    setpriv.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    setpriv.process_group(0).kill_on_drop(true);
    let mut child = setpriv.spawn().map_err(|error| format!("cannot run setpriv: {}", plain(&error)))?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let status =
        child.wait().await.map_err(|error| format!("cannot wait for the program: {}", plain(&error)))?;
    group.has_ended();
    match status.code() {
        Some(0) => Ok(()),
        // As shells say it, and `setpriv` does.
        Some(127) => Err("exit status 127: the program is not there".to_owned()),
        Some(code) => Err(format!("exit status {code}")),
        None => Err(status.to_string()),
    }
}

/// A process group whose leader has not been waited for, so that its number is still its own.
struct Group(Option<Pid>);

impl Group {
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Whoever has ended already needs no signal.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }
}
