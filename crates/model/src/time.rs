//! Times as people and Kubernetes write them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `YYYY-MM-DDTHH:MM:SSZ`, from 1970 on.
pub fn rfc3339(time: SystemTime) -> String {
    format!("{}Z", ToTheSecond(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()))
}

/// The same with milliseconds, for example `2026-11-22T10:11:12.345Z`.
pub fn rfc3339_ms(time: SystemTime) -> String {
    Rfc3339Ms(time).to_string()
}

/// Shows a time as [`rfc3339_ms`] does, without a string of its own.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339Ms(pub SystemTime);

impl fmt::Display for Rfc3339Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(f, "{}.{:03}Z", ToTheSecond(since.as_secs()), since.subsec_millis())
    }
}

/// Seconds since the epoch as a civil time.
struct ToTheSecond(u64);

impl fmt::Display for ToTheSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / 86_400, self.0 % 86_400);
        // Days to a civil date, counted in years that begin in March (a leap day is then the last one).
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

/// A span in the largest unit that keeps it exact enough to act on: `45 s`, `12 min`, `26 h`, `3 days`.
pub fn span(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests;
