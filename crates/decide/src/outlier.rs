//! Outlier detection: when an endpoint that failed is ejected, and for how long: packed into 64 bits for an atomic.

#[cfg(test)]
mod tests;

use crate::Dice;

/// Shortest ejection, in milliseconds, after a first failure.
pub const EJECTION_BASE_MS: u64 = 1_000;
/// Longest ejection, in milliseconds; each further failure doubles the time until here.
pub const EJECTION_MAX_MS: u64 = 30_000;
/// This long, in milliseconds, after its last ejection ended, an endpoint starts with a clean record.
pub const FORGET_MS: u64 = 60_000;

/// Failures in a row (8 bits) and the millisecond until which the endpoint is ejected (56 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health(u64);

impl Health {
    /// For an `AtomicU64`.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Back from an `AtomicU64`.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Failures in a row, at most 255.
    pub fn failures(self) -> u8 {
        self.0 as u8
    }

    /// Aside until this millisecond; 0: never was.
    pub fn until_ms(self) -> u64 {
        self.0 >> 8
    }
}

/// The health after a failed attempt at `now_ms` (monotonic). Failures while it is ejected already change
/// nothing: they are the same incident seen by requests that were under way.
pub fn after_failure(health: Health, now_ms: u64, dice: &mut dyn Dice) -> Health {
    if is_ejected(health, now_ms) {
        return health;
    }
    let before = if now_ms.saturating_sub(health.until_ms()) > FORGET_MS { 0 } else { health.failures() };
    let base = (EJECTION_BASE_MS << before.min(5)).min(EJECTION_MAX_MS);
    // Jitter, so that workers and proxies do not all come back at the same moment.
    let ejection = (base + dice.below(base / 4)).min(EJECTION_MAX_MS);
    let until = (now_ms + ejection) & (u64::MAX >> 8);
    Health(until << 8 | u64::from(before.saturating_add(1)))
}

/// The health after a success at `now_ms`: a clean record, unless it is ejected. Then the success is a late one
/// of a request that was under way before the failure; believing it would bring traffic back to and fro.
pub fn after_success(health: Health, now_ms: u64) -> Health {
    if is_ejected(health, now_ms) { health } else { Health::default() }
}

/// Whether it is skipped at `now_ms`.
pub fn is_ejected(health: Health, now_ms: u64) -> bool {
    now_ms < health.until_ms()
}
