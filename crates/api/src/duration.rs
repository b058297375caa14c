//! Durations as Gateway API writes them (GEP-2257): `1h30m`, `10s`, `100ms`; and as Istio does, with Go: `1.5s` too.

use std::time::Duration;

/// Parts of at most five digits, at most four of them, with a unit each; `None` for anything else.
pub fn parse(text: &str) -> Option<Duration> {
    const PARTS_MAX: usize = 4;
    const DIGITS_MAX: usize = 5;
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..PARTS_MAX {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > DIGITS_MAX {
            return None;
        }
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let (millis, after) = if let Some(after) = after.strip_prefix("ms") {
            (1, after)
        } else if let Some(after) = after.strip_prefix('s') {
            (1_000, after)
        } else if let Some(after) = after.strip_prefix('m') {
            (60_000, after)
        } else {
            (3_600_000, after.strip_prefix('h')?)
        };
        total += Duration::from_millis(number * millis);
        if after.is_empty() {
            return Some(total);
        }
        rest = after;
    }
    None
}

/// As Istio takes them: parts of a decimal number and one of Go's units, each. Less than a nanosecond is dropped, and a
/// duration of more than a year is none.
pub fn parse_go(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    const BYTES_MAX: usize = 64;
    const SECONDS_MAX: f64 = 366.0 * 86_400.0;
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() || text.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|_| text.len() <= BYTES_MAX)?;
        let (number, after) = rest.split_at(end);
        let number: f64 = number.parse().ok()?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        seconds += number * UNITS.iter().find(|(name, _)| *name == unit)?.1;
        rest = after;
    }
    (seconds <= SECONDS_MAX).then(|| Duration::from_nanos((seconds * 1e9).round() as u64))
}

#[cfg(test)]
mod tests;
