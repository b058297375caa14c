//! A bucket that fills with time: how often something may happen. Time is an argument.

use std::time::Instant;

/// A bucket of at most `capacity` units that gains `per_second` units each second.
#[derive(Debug)]
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

    /// Takes `units` if they are there.
    pub fn take(&mut self, units: u32, now: Instant) -> Take {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_second).min(self.capacity);
        self.at = now;
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
