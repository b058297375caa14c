//! How much there may be of what is counted: `bench/limits.toml`, of which this reads tables, numbers and comments.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// CountLimits by name, `TABLE.KEY`.
pub(crate) struct CountLimits(BTreeMap<String, f64>);

/// What a count is beside its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitVerdict {
    Within,
    /// So much less that the limit should be lowered.
    Lower,
    Exceeded,
}

impl CountLimits {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<CountLimits> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("read {}", path.display()))
    }

    fn parse(text: &str) -> Result<CountLimits> {
        let (mut limits, mut table) = (BTreeMap::new(), "");
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if line.is_empty() {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                table = name;
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                bail!("line {number}: neither a table nor a key")
            };
            let value = value.trim().replace('_', "");
            let value: f64 = value.parse().with_context(|| format!("line {number}: {value} is no number"))?;
            limits.insert(format!("{table}.{}", key.trim()), value);
        }
        Ok(CountLimits(limits))
    }

    /// How a count compares: `share` of the limit more is still within it, and less is not worth a word.
    pub(crate) fn judge(&self, name: &str, value: f64, share: f64) -> Result<(f64, LimitVerdict)> {
        let limit = *self.0.get(name).with_context(|| format!("no limit for {name}"))?;
        let verdict = match value {
            _ if value > limit * (1.0 + share) => LimitVerdict::Exceeded,
            _ if value < limit * (1.0 - share) => LimitVerdict::Lower,
            _ => LimitVerdict::Within,
        };
        Ok((limit, verdict))
    }
}

#[cfg(test)]
mod tests;
