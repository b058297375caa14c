//! Capture that undoes itself: when no proxy has listened for too long, the host gets its own network back, and capture
//! comes back with the proxy.
//!
//! Until then connections are refused, as long as nobody says that the host may go on without its proxy.

use crate::capture;
use crate::nft::NftError;
use model::address::PORT_OUTBOUND;
use model::capture_scope::CaptureScope;
use std::fs::File;
use std::future::Future;
use std::io::{self, BufRead, BufReader};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sockets of all address families, as the kernel lists them: those that listen come first.
const SOCKETS: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardAction {
    /// Put capture in place: the proxy is back.
    Capture,
    /// Take it away: the proxy has been gone for too long.
    Release,
}

/// What is known of the proxy. A pure function of what was seen when.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    undo_after: Duration,
    gone_since: Option<Instant>,
    is_captured: bool,
}

impl Guard {
    /// Capture is in place; it is undone when the proxy is gone for `undo_after`.
    pub fn new(undo_after: Duration) -> Self {
        Self { undo_after, gone_since: None, is_captured: true }
    }

    /// What to do when the proxy was seen, or not, at `now`.
    pub fn look(&mut self, is_listening: bool, now: Instant) -> Option<GuardAction> {
        if is_listening {
            self.gone_since = None;
            return (!self.is_captured).then_some(GuardAction::Capture);
        }
        let since = *self.gone_since.get_or_insert(now);
        let is_too_long = now.duration_since(since) >= self.undo_after;
        (self.is_captured && is_too_long).then_some(GuardAction::Release)
    }

    /// It was done. What was not is asked for again.
    pub fn done(&mut self, action: GuardAction) {
        self.is_captured = action == GuardAction::Capture;
    }
}

/// Whether a proxy listens for captured connections on this host.
///
/// # Errors
/// The kernel's list cannot be read.
pub fn is_proxy_listening() -> io::Result<bool> {
    for path in SOCKETS {
        let file = match File::open(path) {
            Ok(file) => file,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if has_listener(BufReader::new(file), PORT_OUTBOUND)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether somebody listens on `port`, in a list of the kernel's.
fn has_listener(list: impl BufRead, port: u16) -> io::Result<bool> {
    let local = format!(":{port:04X}");
    for line in list.lines().skip(1) {
        let line = line?;
        // Number, local address, remote address, state.
        let mut words = line.split_ascii_whitespace().skip(1);
        let (address, state) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        if state != LISTEN {
            break;
        }
        if address.ends_with(&local) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why capture is not looked after any longer.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Nobody could tell it to stop.
    #[error("wait for a signal")]
    Signals(#[source] io::Error),
    /// Capture could not be taken away at the end.
    #[error(transparent)]
    Nft(#[from] NftError),
}

/// Looks after capture, which is in place, until `stop`; then it is taken away, whatever happened.
///
/// # Errors
/// Why it ended otherwise.
pub async fn keep(
    scope: &CaptureScope,
    undo_after: Duration,
    stop: impl Future<Output = io::Result<()>>,
) -> Result<(), GuardError> {
    let mut stop = std::pin::pin!(stop);
    // Whoever typed this may close the terminal.
    let _ignored = signal(SignalKind::hangup()).map_err(GuardError::Signals)?;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut guard = Guard::new(undo_after);
    let ended = loop {
        tokio::select! {
            stopped = &mut stop => break stopped.map_err(GuardError::Signals),
            _ = looks.tick() => match is_proxy_listening() {
                Ok(is_listening) => act(&mut guard, is_listening, scope),
                // Nothing is known: what is stays.
                Err(error) => tracing::error!(%error, "cannot read which sockets listen"),
            },
        }
    };
    capture::release()?;
    ended
}

/// Does what the guard asks for. What cannot be done now is asked for again at the next look.
fn act(guard: &mut Guard, is_listening: bool, scope: &CaptureScope) {
    let Some(action) = guard.look(is_listening, Instant::now()) else { return };
    let done = match action {
        GuardAction::Capture => capture::apply(scope),
        GuardAction::Release => capture::release(),
    };
    match (done, action) {
        (Err(error), _) => return tracing::error!(%error, "cannot change capture"),
        (Ok(()), GuardAction::Release) => {
            tracing::warn!("no proxy has listened for too long: traffic is neither captured nor encrypted");
        }
        (Ok(()), GuardAction::Capture) => tracing::info!("a proxy listens: traffic is captured again"),
    }
    guard.done(action);
}

#[cfg(test)]
mod tests;
