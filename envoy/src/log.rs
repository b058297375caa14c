//! What the access logs of Envoy and of Leno say of each call: JSON lines with the same names, in the order of the calls.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Names in both logs that are compared.
pub(crate) const NAMES: [&str; 4] = ["response_code", "response_flags", "response_code_details", "attempts"];
/// Both write what they have a few times a second.
const WRITTEN_WITHIN: Duration = Duration::from_secs(15);

/// What is said of one call, by name.
pub(crate) type Line = Vec<(String, String)>;

/// The first `count` lines, once they are there.
///
/// # Errors
/// They do not come, or are not what was called, by its method.
pub(crate) fn read(path: &Path, methods: &[&str]) -> Result<Vec<Line>> {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        if whole.len() >= methods.len() {
            let lines = whole.into_iter().zip(methods);
            return lines
                .map(|(line, method)| parse(line, method).with_context(|| format!("read {}", path.display())))
                .collect();
        }
        ensure!(
            began.elapsed() < WRITTEN_WITHIN,
            "{} has {} lines for {} calls",
            path.display(),
            whole.len(),
            methods.len()
        );
        std::thread::yield_now();
    }
}

fn parse(line: &str, method: &str) -> Result<Line> {
    let line: Value = serde_json::from_str(line)?;
    ensure!(line["method"] == method, "{line} is not about a call by {method}");
    let said = |name: &str| match &line[name] {
        Value::Null => "0".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Ok(NAMES.iter().map(|name| (format!("log {name}"), said(name))).collect())
}
