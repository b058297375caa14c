//! The process itself: hardening, signals, its parent.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Open descriptors where the kernel does not tell its limit: that of Linux itself.
const DESCRIPTORS_DEFAULT: u64 = 1024;

/// What of the hardening worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardened {
    /// No core dump will be written.
    pub core_dumps_off: bool,
    /// No page will be swapped out.
    pub memory_locked: bool,
}

/// Keeps keys out of core dumps and of swap, as far as permitted, and takes all descriptors that are.
pub fn harden() -> Hardened {
    raise_descriptors();
    let core_dumps_off = setrlimit(Resource::RLIMIT_CORE, 0, 0).is_ok();
    // Under a limit, locking would succeed now and make a later allocation fail.
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    // On fault: locking must not make untouched stacks and heaps resident.
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault();
    let memory_locked = unlimited && mlockall(flags).is_ok();
    if !memory_locked {
        tracing::warn!("memory is not locked: raise RLIMIT_MEMLOCK to unlimited to keep keys out of swap");
    }
    Hardened { core_dumps_off, memory_locked }
}

/// Raises the limit of open descriptors to what is permitted. The lower one is for programs that use `select`.
fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, descriptors = descriptors_max(), "the limit of open descriptors stays as it is");
    }
}

/// How many descriptors this process may have open.
pub fn descriptors_max() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(DESCRIPTORS_DEFAULT, |(soft, _)| soft)
}

fn on_fault() -> MlockAllFlags {
    const MCL_ONFAULT: i32 = 4;
    MlockAllFlags::from_bits_retain(MCL_ONFAULT)
}

/// Which signal asked the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// The handlers cannot be installed.
pub async fn wait_for_stop() -> std::io::Result<Stop> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => Stop::Terminate,
        _ = interrupt.recv() => Stop::Interrupt,
    })
}

#[cfg(test)]
mod tests;
