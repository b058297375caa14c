//! What a proxy knows of the addresses of one name, and when it asks again: as long as an answer says, within bounds; what
//! was known stays in use for a while when nobody answers.

use crate::Dice;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// An answer counts at least so long, whatever it says.
pub const TTL_MIN: Duration = Duration::from_secs(5);
/// And at most so long, so that a slip in a zone is over some day.
pub const TTL_MAX: Duration = Duration::from_secs(3600);
/// Addresses stay in use so long after they were last confirmed, when name servers fail.
pub const STALE_MAX: Duration = Duration::from_secs(3600);
/// First wait after a failure; doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Every wait is longer by up to this part of it, so that proxies do not ask all at once.
const JITTER_PART: u32 = 5;
/// Addresses of one name that are used; further ones are not.
pub const ADDRESSES_MAX: usize = 256;

/// What name servers say of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameAnswer {
    /// It has these addresses, for so long.
    Addresses(Vec<IpAddr>, Duration),
    /// It has none, for so long.
    Absent(Duration),
    /// Nobody could tell.
    Failed,
}

/// What the order of a name's addresses says, which many name servers turn round with each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressOrder {
    /// Nothing: all of them are used.
    Any,
    /// Which one is used: the first.
    FirstCounts,
}

/// Whether addresses are others than those that are in use, so that something must change. In another order they are the
/// same: what is made of them is not made anew for that.
pub fn is_other(in_use: &[IpAddr], now: &[IpAddr], order: AddressOrder) -> bool {
    let sorted = |addresses: &[IpAddr]| {
        let mut sorted = addresses.to_vec();
        sorted.sort_unstable();
        sorted
    };
    let is_first_other = order == AddressOrder::FirstCounts && in_use.first() != now.first();
    is_first_other || (in_use != now && sorted(in_use) != sorted(now))
}

/// What is known of a name.
#[derive(Clone, Debug, Default)]
pub struct NameState {
    addresses: Vec<IpAddr>,
    confirmed: Option<Instant>,
    failures: u32,
}

impl NameState {
    /// Its addresses, in the order of the last answer.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Takes an answer that came at `now`; gives how long to wait before it is asked again.
    pub fn judge(&mut self, now: Instant, answer: NameAnswer, dice: &mut dyn Dice) -> Duration {
        let wait = match answer {
            NameAnswer::Addresses(mut addresses, ttl) => {
                addresses.truncate(ADDRESSES_MAX);
                self.addresses = addresses;
                self.confirmed = Some(now);
                self.failures = 0;
                ttl.clamp(TTL_MIN, TTL_MAX)
            }
            NameAnswer::Absent(ttl) => {
                self.addresses.clear();
                self.confirmed = None;
                self.failures = 0;
                ttl.clamp(TTL_MIN, TTL_MAX)
            }
            NameAnswer::Failed => {
                if self.confirmed.is_none_or(|confirmed| now.duration_since(confirmed) >= STALE_MAX) {
                    self.addresses.clear();
                }
                let doubled = 1u32 << self.failures.min(5);
                self.failures = self.failures.saturating_add(1);
                (RETRY_FIRST * doubled).min(RETRY_MAX)
            }
        };
        let most = u64::try_from((wait / JITTER_PART).as_millis()).unwrap_or(u64::MAX);
        wait + Duration::from_millis(dice.below(most.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests;
