//! What the kernel must know about a Leno process.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// What hardening achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// No core dump can hold a key.
    pub core_dumps_off: bool,
    /// Memory cannot be swapped out; `false` without the privilege, which `leno check` reports.
    pub memory_locked: bool,
}

/// Which memory is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Everything that is or will be touched (processes that hold signing keys).
    Lock,
    /// Left to the kernel (tools, tests).
    Leave,
}

/// Keeps secrets out of core dumps, other processes of the same user and swap, as far as permitted.
pub fn harden(memory: Memory) -> Hardened {
    let core_dumps_off = setrlimit(Resource::RLIMIT_CORE, 0, 0).is_ok() && prctl::set_dumpable(false).is_ok();
    // MCL_ONFAULT: pages count when touched, so that reserved stacks do not become resident.
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(4);
    let memory_locked = memory == Memory::Lock && mlockall(flags).is_ok();
    Hardened { core_dumps_off, memory_locked }
}

/// Ends this process with SIGKILL when its parent dies.
pub fn die_with_parent() -> std::io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// Returns on the first SIGTERM or SIGINT.
pub async fn wait_for_stop() -> std::io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
