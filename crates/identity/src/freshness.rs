//! How a certificate stands: what is left of its life.

use model::time::{rfc3339, span};
use std::time::{Duration, SystemTime};

/// The last part of a certificate's life. Renewal is due before half of it is over, so one that is still in use
/// then could not be renewed for long, and whoever asks is told while there is time to act.
pub const EXPIRES_SOON_PART: f64 = 0.2;

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// There is time.
    Good,
    /// The last part of its life ([`EXPIRES_SOON_PART`]); so long is left.
    ExpiresSoon(Duration),
    /// Expired, this long ago.
    Expired(Duration),
}

impl Freshness {
    /// Of a certificate that is valid from `begin` to `end`.
    pub fn of(begin: SystemTime, end: SystemTime, now: SystemTime) -> Self {
        match end.duration_since(now) {
            Ok(left) if until_part((begin, end), now, 1.0 - EXPIRES_SOON_PART).is_zero() => {
                Self::ExpiresSoon(left)
            }
            Ok(_) => Self::Good,
            Err(ago) => Self::Expired(ago.duration()),
        }
    }
}

/// A certificate that a process holds, for its reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateValidity {
    /// What it is for, in a word or two.
    pub name: &'static str,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until.
    pub not_after: SystemTime,
}

impl CertificateValidity {
    /// How much of its life is left.
    pub fn freshness(&self, now: SystemTime) -> Freshness {
        Freshness::of(self.not_before, self.not_after, now)
    }

    /// What is wrong with it, in words; `None`: nothing.
    pub fn trouble(&self, now: SystemTime) -> Option<String> {
        let end = rfc3339(self.not_after);
        match self.freshness(now) {
            Freshness::Good => None,
            Freshness::ExpiresSoon(left) => {
                Some(format!("{} expires in {} ({end}) and could not be renewed", self.name, span(left)))
            }
            Freshness::Expired(ago) => Some(format!("{} expired {} ago ({end})", self.name, span(ago))),
        }
    }
}

/// How long from `now` until `part` (0.0 to 1.0) of a life is over; zero when it is.
pub(crate) fn until_part((begin, end): (SystemTime, SystemTime), now: SystemTime, part: f64) -> Duration {
    let life = end.duration_since(begin).unwrap_or_default();
    (begin + life.mul_f64(part)).duration_since(now).unwrap_or_default()
}
