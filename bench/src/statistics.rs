//! Medians, and how sure they are.

/// Samples drawn for an interval.
const RESAMPLES: usize = 2000;
/// The interval holds this share of the resampled medians.
const COVERAGE: f64 = 0.95;

/// A median with its interval (bootstrap, 95 %).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// The middle one, or the mean of the two in the middle; NaN for none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (len, half) if len % 2 == 1 => values[half],
        (_, half) => (values[half - 1] + values[half]) / 2.0,
    }
}

/// The value that `share` of all are not above; NaN for none.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get(((last as f64) * share).ceil() as usize).copied().unwrap_or(f64::NAN)
}

/// The median of `values`, and between what it would lie if other rounds had been drawn. The same for the same values.
pub(crate) fn estimate(values: &[f64]) -> Estimate {
    let middle = median(values.iter().copied());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        // xorshift64*: good enough to draw with.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % values.len().max(1)
    };
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| median((0..values.len()).filter_map(|_| values.get(draw())).copied()))
        .collect();
    let outside = (1.0 - COVERAGE) / 2.0;
    let (low, high) = (quantile(&mut medians, outside), quantile(&mut medians, 1.0 - outside));
    Estimate { median: middle, low, high }
}

#[cfg(test)]
mod tests;
