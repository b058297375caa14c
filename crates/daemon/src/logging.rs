//! Logs of the process itself: JSON lines on standard error. (Access logs are the proxy's business.)

use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Environment variable with the level: `error`, `warn`, `info` (default), `debug`, `trace`, or filters.
pub const LEVEL_VARIABLE: &str = "LENO_LOG";

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging for the whole process; later calls change nothing.
pub fn init(program: &'static str) {
    let filter = EnvFilter::try_from_env(LEVEL_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().json().flatten_event(true).with_target(true).with_writer(std::io::stderr);
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = LEVEL.set(handle);
        tracing::debug!(program, "logging started");
    }
}

/// Changes the level of the running process (admin `/logging?level=`). `Err` says what is wrong with it.
pub fn set_level(level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
    let handle = LEVEL.get().ok_or("logging has not been started")?;
    handle.reload(filter).map_err(|error| error.to_string())
}
