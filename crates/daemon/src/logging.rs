//! Logs: JSON lines to stderr. The level comes from `LENO_LOG` and can be changed while running.

use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The environment variable with the filter, such as `info` or `warn,proxy=debug`.
pub const FILTER_VARIABLE: &str = "LENO_LOG";
/// Without [`FILTER_VARIABLE`], or with one that cannot be read.
pub const FILTER_DEFAULT: &str = "info";

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

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

/// Starts logging; a second call does nothing.
pub fn init(program: &str) {
    let asked = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&asked);
    let refused = filter.is_err();
    let (filter, handle) = reload::Layer::new(filter.unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT)));
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_err() {
        return;
    }
    let _ = FILTER.set(handle);
    if refused {
        tracing::warn!(filter = asked, "{FILTER_VARIABLE} cannot be read, using {FILTER_DEFAULT}");
    }
    tracing::info!(program, pid = std::process::id(), version = env!("CARGO_PKG_VERSION"), "started");
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
