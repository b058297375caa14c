//! The only unsafe code of the lab: descriptors by number, and the steps between fork and exec.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Takes ownership of a descriptor that the kernel or the parent process handed over by number.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass numbers that they were just given (SCM_RIGHTS, inherited descriptors named on
    // the command line, a fresh pidfd) and that nothing else in this process owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Lets `fd` survive exec of this process's next child and of this process itself.
pub(crate) fn keep_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(|_| ())?)
}

/// Makes an inherited descriptor close on the next exec again.
pub(crate) fn close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map(|_| ())?)
}

/// Keeps descriptors that the caller's shell left open from all that is started later: a pipe held open
/// in a namespace would make whoever reads it wait for the lab's end.
pub(crate) fn close_strangers_on_exec() {
    // SAFETY: close_range with this flag only sets FD_CLOEXEC; it touches no memory and closes nothing.
    // Without the system call (before Linux 5.11) they stay open, which harms no more than a tidy exit.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// A descriptor that becomes readable when process `pid` ends.
pub(crate) fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(adopt(fd as RawFd)) }
}

/// Lets the runtime wait until `fd` is readable.
pub(crate) fn watch_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its number open and its own until the `AsyncFd` that holds it is dropped.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        .map_err(|error| io::Error::other(error.to_string()))
}

/// What a process finds around it when it starts in a host.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The host's network namespace.
    pub network: RawFd,
    /// The host's name, without its cluster.
    pub hostname: CString,
    /// Bind mounts, in order: what, where.
    pub mounts: Vec<(CString, CString)>,
    /// Descriptors that stay open across exec.
    pub keep: Vec<RawFd>,
}

/// Makes `command` start inside `surroundings`, in a process group of its own.
pub(crate) fn surround(command: &mut Command, surroundings: Surroundings) {
    command.process_group(0);
    let enter = move || enter(&surroundings);
    // SAFETY: `enter` makes system calls only: it neither allocates (all strings are built before the
    // fork) nor takes a lock, so it may run between fork and exec of a process that has threads.
    unsafe { command.pre_exec(enter) };
}

/// Between fork and exec: system calls only.
fn enter(surroundings: &Surroundings) -> io::Result<()> {
    // SAFETY: the namespace's owner keeps it open until after the child was spawned.
    let network = unsafe { BorrowedFd::borrow_raw(surroundings.network) };
    setns(network, CloneFlags::CLONE_NEWNET)?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
    for (what, place) in &surroundings.mounts {
        mount(Some(what.as_c_str()), place.as_c_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    }
    let name = surroundings.hostname.as_bytes();
    // SAFETY: pointer and length describe one live byte string.
    if unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for &fd in &surroundings.keep {
        // SAFETY: the spawner owns these descriptors for the duration of the spawn.
        keep_on_exec(unsafe { BorrowedFd::borrow_raw(fd) })?;
    }
    Ok(())
}

/// Opens the calling thread's network namespace.
pub(crate) fn open_own_namespace() -> io::Result<OwnedFd> {
    Ok(std::fs::File::open("/proc/thread-self/ns/net")?.into())
}

/// Moves the calling thread, and only it, into a network namespace.
pub(crate) fn enter_namespace(namespace: &OwnedFd) -> io::Result<()> {
    debug_assert!(namespace.as_raw_fd() >= 0, "an owned descriptor is never negative");
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}
