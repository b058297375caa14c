//! Retry budget: how many requests may be retried, as a share of all that a service had lately, with a floor. It
//! cannot be configured yet. Envoy's `retry_budget` (`budget_percent`), the Gateway API's retry constraint. Without it a service that
//! fails gets a multiple of its load at the worst moment.
//!
//! The window is a ring of seconds; each is packed into 64 bits for an atomic, as `outlier` is.

#[cfg(test)]
mod tests;

/// Retries for each 100 requests of the window (Envoy's and the Gateway API's default).
pub const BUDGET_PERCENT: u64 = 20;
/// So many retries in each second are allowed while requests are so few that their share is less (the Gateway API's
/// default `minRetryRate`).
pub const BUDGET_RETRIES_PER_S_MIN: u64 = 10;
/// Length of the window in seconds (the Gateway API's default).
pub const BUDGET_WINDOW_S: usize = 10;

const NUMBER_BITS: u32 = 24;
const REQUESTS_BITS: u32 = 24;
const RETRIES_BITS: u32 = 16;
const NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 1;
const REQUESTS_MAX: u64 = (1 << REQUESTS_BITS) - 1;
const RETRIES_MAX: u64 = (1 << RETRIES_BITS) - 1;

/// One second: its number (24 bits, counted round), the requests that began in it (24 bits) and the retries
/// (16 bits). Counts stop at what they can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second(u64);

impl Second {
    /// For an `AtomicU64`.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Back from an `AtomicU64`.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn new(number: u64, requests: u64, retries: u64) -> Self {
        Self(
            (number & NUMBER_MAX) << (REQUESTS_BITS + RETRIES_BITS)
                | requests.min(REQUESTS_MAX) << RETRIES_BITS
                | retries.min(RETRIES_MAX),
        )
    }

    fn number(self) -> u64 {
        self.0 >> (REQUESTS_BITS + RETRIES_BITS)
    }

    fn requests(self) -> u64 {
        self.0 >> RETRIES_BITS & REQUESTS_MAX
    }

    fn retries(self) -> u64 {
        self.0 & RETRIES_MAX
    }

    /// As of `now_s`: what is of an earlier turn of the ring is over.
    fn at(self, now_s: u64) -> Self {
        if self.number() == now_s & NUMBER_MAX { self } else { Self::new(now_s, 0, 0) }
    }
}

/// Where in the ring `now_s` (monotonic seconds) has its place.
pub fn place(now_s: u64) -> usize {
    (now_s % BUDGET_WINDOW_S as u64) as usize
}

/// The second with one more request, which is no retry.
pub fn after_request(second: Second, now_s: u64) -> Second {
    let second = second.at(now_s);
    Second::new(now_s, second.requests() + 1, second.retries())
}

/// The second with one more retry.
pub fn after_retry(second: Second, now_s: u64) -> Second {
    let second = second.at(now_s);
    Second::new(now_s, second.requests(), second.retries() + 1)
}

/// Whether one more retry is within the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// It is.
    Left,
    /// It is not.
    Spent,
}

/// The second of this number.
fn at(window: &[Second; BUDGET_WINDOW_S], number: u64) -> Second {
    window.get(place(number)).copied().unwrap_or_default().at(number)
}

/// What is left at `now_s` of the window whose seconds these are.
pub fn left(window: &[Second; BUDGET_WINDOW_S], now_s: u64) -> Budget {
    let is_recent =
        |second: &&Second| (now_s.wrapping_sub(second.number()) & NUMBER_MAX) < BUDGET_WINDOW_S as u64;
    let recent = || window.iter().filter(is_recent);
    let requests: u64 = recent().map(|second| second.requests()).sum();
    let retries: u64 = recent().map(|second| second.retries()).sum();
    let share = |requests: u64| requests * BUDGET_PERCENT / 100;
    let (this, before) = (at(window, now_s), at(window, now_s.wrapping_sub(1)));
    // This second may just have begun, so the one before it tells as well.
    let is_quiet = share(this.requests().max(before.requests())) < BUDGET_RETRIES_PER_S_MIN;
    let is_within = retries < share(requests) || is_quiet && this.retries() < BUDGET_RETRIES_PER_S_MIN;
    if is_within { Budget::Left } else { Budget::Spent }
}
