//! Certificates of others that are outside their validity: counted, and logged with both times, at WARN.
//!
//! One place for all handshakes of a process, so that none can fail over a clock without anybody learning it.

use crate::refusal::{Bound, Outside};
use model::SpiffeId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One line at most in this time; the others are counted, and the next line says how many there were. A peer
/// that tries again and again must not fill the log.
const LOGGED_EVERY: Duration = Duration::from_secs(5);

/// How many handshakes failed because a certificate of the other side was outside its validity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutsideValidity {
    /// It had expired.
    pub expired: u64,
    /// It was not valid yet.
    pub not_yet_valid: u64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct ValidityWatch {
    expired: AtomicU64,
    not_yet_valid: AtomicU64,
    logged: Mutex<Logged>,
}

#[derive(Debug, Default)]
struct Logged {
    last: Option<Instant>,
    unlogged: u64,
}

impl ValidityWatch {
    /// Counts one, and logs it unless another was logged a moment ago. `claimed` is the identity in the
    /// certificate, which may not be signed by anybody.
    pub(crate) fn note(&self, outside: Outside, claimed: Option<&SpiffeId>) {
        let counter = match outside.bound {
            Bound::NotAfter => &self.expired,
            Bound::NotBefore => &self.not_yet_valid,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let Some(unlogged) = self.is_due(Instant::now()) else { return };
        let claimed = claimed.map(ToString::to_string);
        let difference_s = outside.by().as_secs();
        tracing::warn!(claimed, difference_s, unlogged, "handshake refused: {outside}");
    }

    /// How many were not logged since the last line; `None`: this one is not logged either.
    fn is_due(&self, now: Instant) -> Option<u64> {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.last.is_some_and(|last| now.saturating_duration_since(last) < LOGGED_EVERY) {
            logged.unlogged += 1;
            return None;
        }
        logged.last = Some(now);
        Some(std::mem::take(&mut logged.unlogged))
    }

    pub(crate) fn counts(&self) -> OutsideValidity {
        OutsideValidity {
            expired: self.expired.load(Ordering::Relaxed),
            not_yet_valid: self.not_yet_valid.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
