//! Logs: JSON lines to stderr. The level comes from `LENO_LOG` and can be changed while running.
//!
//! Nobody who logs waits for stderr ([`crate::lines`]): a collector that stopped reading must stop nothing else.

use crate::lines::{self, Finished, Lines};
use crate::metrics::{Counter, Registry as Metrics};
use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The environment variable with the filter, such as `info` or `warn,proxy=debug`.
pub const FILTER_VARIABLE: &str = "LENO_LOG";
/// Without [`FILTER_VARIABLE`], or with one that cannot be read.
pub const FILTER_DEFAULT: &str = "info";
/// The counter of lines that were lost.
pub const DROPPED_METRIC: &str = "leno_log_lines_dropped_total";
/// What it counts.
pub const DROPPED_HELP: &str =
    "Lines of the local log that were lost, because they were too many at once or stderr failed.";

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();
/// What writes to stderr, once logging has started.
static STDERR: OnceLock<Lines> = OnceLock::new();

/// Why a filter was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It cannot be read.
    #[error("invalid log filter")]
    Invalid(#[source] tracing_subscriber::filter::ParseError),
    /// Logging was not started by [`init`].
    #[error("logging was not started here")]
    NotStarted,
}

/// Starts logging; a second call does nothing. Whoever calls it calls [`finish`] at the end of the process.
pub fn init(program: &str) {
    let asked = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&asked);
    let refused = filter.is_err();
    let (filter, handle) = reload::Layer::new(filter.unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT)));
    let layer = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(|| Line);
    if tracing_subscriber::registry().with(filter).with(layer).try_init().is_err() {
        return;
    }
    let _ = FILTER.set(handle);
    let writer =
        lines::output(io::stderr().as_fd()).and_then(|sink| Lines::start("log", sink, Duration::ZERO));
    match writer {
        Ok(writer) => drop(STDERR.set(writer)),
        // Lines are written at once then.
        Err(error) => tracing::warn!(%error, "no thread for the log"),
    }
    log_panics();
    if refused {
        tracing::warn!(filter = asked, "{FILTER_VARIABLE} cannot be read, using {FILTER_DEFAULT}");
    }
    tracing::info!(program, pid = std::process::id(), version = env!("CARGO_PKG_VERSION"), "started");
}

/// One line that the log is made of.
struct Line;

impl Write for Line {
    /// Called once for each line, with all of it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match STDERR.get() {
            Some(lines) => lines.write(line),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A panic is a line of the log like any other: the one that Rust prints would wait for stderr.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        let cause = panic.payload_as_str().unwrap_or("no text");
        tracing::error!(cause, place, thread = thread.name(), "panicked");
    }));
}

/// Says something to whoever started the process: plain text on stderr, among the lines of the log where that
/// has started.
pub fn say(text: impl Display) {
    // Nobody may be left to read it: nothing more can be done then.
    let _ = Line.write_all(format!("{text}\n").as_bytes());
}

/// Writes what is queued, within [`lines::FINISH_MAX`]. The last thing that a process does.
pub fn finish() {
    if let Some(lines) = STDERR.get() {
        // Where nobody reads there is nobody to tell.
        let _: Finished = lines.finish();
    }
}

/// Puts the counter of lost lines among `metrics`.
pub fn count_in(metrics: &Metrics) {
    if let Some(dropped) = dropped() {
        metrics.share_counter(DROPPED_METRIC, DROPPED_HELP, &dropped);
    }
}

/// Lines that were lost; `None`: logging was not started by [`init`].
pub fn dropped() -> Option<Counter> {
    STDERR.get().map(|lines| lines.dropped().clone())
}

/// Replaces the filter, such as `debug` or `info,proxy=trace`.
///
/// # Errors
/// The filter is invalid or logging was not started; the old filter stays.
pub fn set_filter(filter: &str) -> Result<(), FilterError> {
    let filter = EnvFilter::try_new(filter).map_err(FilterError::Invalid)?;
    let handle = FILTER.get().ok_or(FilterError::NotStarted)?;
    handle.reload(filter).map_err(|_| FilterError::NotStarted)
}

/// The filter at work, or nothing if logging was not started by [`init`].
pub fn filter() -> Option<String> {
    FILTER.get()?.with_current(ToString::to_string).ok()
}
