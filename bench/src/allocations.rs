//! Heap allocations, and bytes that something holds: counted by the allocator, of the same library code that ships. A
//! proxy under count is a process of its own; generator and backend are others, so every allocation is its own.

use std::alloc::{GlobalAlloc, Layout};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};
use control::local;
use control::source::Sources;
use daemon::{Drain, Tasks};
use mimalloc::MiMalloc;

use crate::process::PROXY_CORE;
use crate::told::ToldProcess;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Allocated less freed, as asked for.
static BYTES: AtomicI64 = AtomicI64::new(0);

/// Leno's allocator; counts while it is told to.
pub(crate) struct Counting(pub MiMalloc);

// SAFETY: every call is passed on unchanged to an allocator that keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: see above.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_bytes(-(layout.size() as i64));
        // SAFETY: see above.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: see above.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

fn count(bytes: i64) {
    if COUNTING.load(Relaxed) {
        ALLOCATIONS.fetch_add(1, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
    }
}

fn count_bytes(bytes: i64) {
    if COUNTING.load(Relaxed) {
        BYTES.fetch_add(bytes, Relaxed);
    }
}

/// What `make` makes, and how many bytes more are held after it.
pub(crate) fn held<T>(make: impl FnOnce() -> T) -> (T, i64) {
    let before = BYTES.load(Relaxed);
    COUNTING.store(true, Relaxed);
    let made = make();
    COUNTING.store(false, Relaxed);
    (made, BYTES.load(Relaxed) - before)
}

/// What was allocated so far, and what is held of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub allocations: f64,
    pub bytes: f64,
}

/// A proxy of the code that ships, in a process whose allocator counts from the start.
pub(crate) struct CountedProxy(ToldProcess);

impl CountedProxy {
    /// Starts `command`, which is one of the bench's own tools, on whatever host.
    pub(crate) fn start(command: &[String], log: &Path) -> Result<CountedProxy> {
        Ok(CountedProxy(ToldProcess::start(PROXY_CORE, command, log)?))
    }

    /// What it has counted.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        let answer = self.0.ask("counts")?;
        let (allocations, bytes) = answer.split_once(' ').context("two numbers")?;
        Ok(Counts { allocations: allocations.parse()?, bytes: bytes.parse()? })
    }
}

/// The command of a counted `leno gateway` that reads `directory`.
pub(crate) fn gateway_command(directory: &Path) -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    let directory = directory.display().to_string();
    Ok([&itself, "tool", "counted-gateway", &directory].map(str::to_owned).to_vec())
}

/// The command of a counted sidecar, before its options.
pub(crate) fn sidecar_command() -> Result<Vec<String>> {
    let itself = std::env::current_exe()?.display().to_string();
    Ok([&itself, "tool", "counted-sidecar"].map(str::to_owned).to_vec())
}

/// Runs a sidecar as `leno-proxy` does, and answers each line of standard input with what was counted.
pub(crate) fn run_sidecar(options: proxy::options::Options) -> Result<()> {
    answer_lines();
    Ok(proxy::start::run(options, proxy::start::Seams::real())?)
}

/// The same for `leno gateway -f DIRECTORY`.
pub(crate) fn run_gateway(directory: &Path) -> Result<()> {
    answer_lines();
    let sources = Sources { directories: vec![directory.to_owned()], text: None };
    let options = proxy::options::Options {
        workers: Some(1),
        admin_port: 0,
        metrics_port: 0,
        no_capture: true,
        ..proxy::options::Options::default()
    };
    let tasks = Tasks::new();
    let (_trigger, drain) = Drain::new();
    let control = tasks.clone();
    let open = move || {
        let link = local::attach(sources, &control, drain)?.link;
        Ok(proxy::start::Opened { link, has_refusals: false })
    };
    Ok(proxy::start::run_with_link(options, proxy::start::Seams::real(), open)?)
}

fn answer_lines() {
    COUNTING.store(true, Relaxed);
    std::thread::spawn(|| {
        for _line in std::io::stdin().lines() {
            println!("{} {}", ALLOCATIONS.load(Relaxed), BYTES.load(Relaxed));
        }
    });
}
