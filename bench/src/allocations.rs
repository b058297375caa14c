//! Heap allocations per request of the gateway, and bytes that something holds, counted in this process: the same library code that ships,
//! under an allocator that counts. Generator and backend are other processes, so every allocation is ours.

use std::alloc::{GlobalAlloc, Layout};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use control::local;
use control::source::Sources;
use daemon::{Drain, Tasks};
use mimalloc::MiMalloc;

use crate::{process, wrk};

/// Connections of the generator.
const CONNECTIONS: usize = 32;
/// Seconds of load that are counted, after as many to warm up.
const COUNTED_S: u64 = 2;
/// The gateway is listening by then.
const START_DEADLINE: Duration = Duration::from_secs(10);

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

/// Allocations per request of a gateway with one worker in front of `to`.
pub(crate) fn per_request(to: SocketAddr, load_core: usize) -> Result<f64> {
    let from = process::free_address()?;
    let text = translate::shorthand::gateway(&from.to_string(), &to.to_string())?;
    let sources = Sources { text: Some(text), ..Sources::default() };
    std::thread::spawn(move || {
        if let Err(error) = serve(sources) {
            eprintln!("gateway: {error:#}");
        }
    });
    let began = Instant::now();
    while std::net::TcpStream::connect(from).is_err() {
        ensure!(began.elapsed() < START_DEADLINE, "the gateway does not listen on {from}");
        std::thread::yield_now();
    }
    wrk::run(load_core, from, CONNECTIONS, COUNTED_S)?;
    COUNTING.store(true, Relaxed);
    let load = wrk::run(load_core, from, CONNECTIONS, COUNTED_S);
    COUNTING.store(false, Relaxed);
    let load = load.context("count allocations")?;
    ensure!(load.errors == 0.0, "{} errors while counting", load.errors);
    Ok(ALLOCATIONS.load(Relaxed) as f64 / load.requests)
}

/// As `leno gateway` does. Ends with the process.
fn serve(sources: Sources) -> Result<()> {
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
    proxy::start::run_with_link(options, proxy::start::Seams::real(), open)?;
    Ok(())
}
