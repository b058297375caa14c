//! Buckets that fill with time: how often something may happen, in all and for each caller. Time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Callers with a bucket of their own at most; further ones share one, so that a flood of addresses costs no
/// memory, and those who are known already do not notice it.
pub const CALLERS_MAX: usize = 16 * 1024;
/// When there are that many, those whose bucket is full again are forgotten, at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A bucket of at most `capacity` units that gains `per_second` units each second.
#[derive(Clone, Debug)]
pub struct Bucket {
    capacity: f64,
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(capacity: u32, per_second: u32, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        Self { capacity, per_second: f64::from(per_second), level: capacity, at: now }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.capacity);
        self.at = now;
    }

    /// Takes `units` if they are there.
    pub fn take(&mut self, units: u32, now: Instant) -> Take {
        self.fill(now);
        if self.level < f64::from(units) {
            return Take::Refused;
        }
        self.level -= f64::from(units);
        Take::Granted
    }

    /// Takes up to `units`, whatever is there: the price of a failure.
    pub fn charge(&mut self, units: u32) {
        self.level = (self.level - f64::from(units)).max(0.0);
    }
}

/// A bucket for each caller.
#[derive(Debug)]
pub struct CallerBuckets<K> {
    full: Bucket,
    known: HashMap<K, Bucket>,
    rest: Bucket,
    swept: Instant,
}

impl<K: Eq + Hash> CallerBuckets<K> {
    /// Nobody called yet; each caller has `capacity` units and gains `per_second`.
    pub fn new(capacity: u32, per_second: u32, now: Instant) -> Self {
        let full = Bucket::new(capacity, per_second, now);
        Self { rest: full.clone(), full, known: HashMap::new(), swept: now }
    }

    /// Takes `units` of a caller's if they are there.
    pub fn take(&mut self, caller: K, units: u32, now: Instant) -> Take {
        self.bucket(caller, now).take(units, now)
    }

    /// Takes up to `units` of a caller's: the price of a failure.
    pub fn charge(&mut self, caller: K, units: u32, now: Instant) {
        self.bucket(caller, now).charge(units);
    }

    fn bucket(&mut self, caller: K, now: Instant) -> &mut Bucket {
        if self.known.len() >= CALLERS_MAX && !self.known.contains_key(&caller) {
            if now.saturating_duration_since(self.swept) >= SWEEP_EVERY {
                self.swept = now;
                self.known.retain(|_, bucket| {
                    bucket.fill(now);
                    bucket.level < bucket.capacity
                });
            }
            if self.known.len() >= CALLERS_MAX {
                return &mut self.rest;
            }
        }
        self.known.entry(caller).or_insert_with(|| Bucket { at: now, ..self.full.clone() })
    }
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Go on.
    Granted,
    /// Too often; try later.
    Refused,
}

#[cfg(test)]
mod tests;
