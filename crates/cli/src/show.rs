//! Tables, and findings with the line that they are about.

use crate::console::{Console, Paint, Tone, paint};
use crate::exit::Failure;
use api::report::{self, FindingReport};
use model::{Finding, Severity};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Characters shown of a line; the rest is left out.
const EXCERPT_CHARS_MAX: usize = 240;

/// Forms of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ReportFormat {
    #[default]
    Table,
    Json,
    Yaml,
}

impl ReportFormat {
    /// The report as a document; `None`: a table is wanted.
    pub(crate) fn document(self, report: impl FnOnce() -> Value) -> Result<Option<String>, Failure> {
        match self {
            Self::Table => Ok(None),
            Self::Json => Ok(Some(format!("{:#}\n", report()))),
            Self::Yaml => {
                let text = serde_saphyr::to_string(&report()).map_err(anyhow::Error::new)?;
                Ok(Some(format!("{}\n", text.trim_end())))
            }
        }
    }
}

/// A finding as the API writes it.
pub(crate) fn finding(finding: &Finding) -> Value {
    json!(FindingReport::from(finding))
}

fn level(finding: &Finding) -> (&'static str, Tone) {
    let level = finding.code.level();
    let tone = match level {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Doubt,
        Severity::Info => Tone::Quiet,
    };
    (report::level(level), tone)
}

/// Columns padded to their widest cell, three spaces apart, as kubectl prints them. Empty when there are
/// no rows.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&header]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in [&header].into_iter().chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("   ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Prints findings to stderr, worst first, each with its source line if `source` has the file.
pub(crate) fn findings<'s>(
    console: &mut Console,
    findings: &[Finding],
    source: impl Fn(&str) -> Option<&'s str>,
) {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|f| (std::cmp::Reverse(f.code.level()), f.origin.file.clone(), f.origin.line));
    for finding in sorted {
        let text = source(&finding.origin.file);
        console.say(&describe(finding, text, console.paint));
    }
}

/// One finding as `error[CODE] KIND/NAME.NAMESPACE (FILE:LINE): CAUSE; FIX`, then the line underlined.
pub(crate) fn describe(finding: &Finding, source: Option<&str>, colour: Paint) -> String {
    let (word, tone) = level(finding);
    let origin = &finding.origin;
    let mut text = paint(colour, tone, &format!("{word}[{}]", finding.code.as_str()));
    if !origin.object.kind.is_empty() {
        let _ = write!(text, " {}", origin.object);
    }
    if !origin.file.is_empty() {
        let _ = write!(text, " ({}:{})", origin.file, origin.line);
    }
    let _ = write!(text, ": {}; {}", finding.cause, finding.fix);
    // No line of a file with a key is shown.
    let source = source.filter(|text| !api::parse::holds_secret(text));
    let line = source.zip(origin.line.checked_sub(1)).and_then(|(s, at)| s.lines().nth(at as usize));
    if let Some(line) = line.filter(|line| !line.trim().is_empty()) {
        let number = origin.line.to_string();
        let gutter = " ".repeat(number.len());
        let line: String = line.trim_end().replace('\t', " ").chars().take(EXCERPT_CHARS_MAX).collect();
        let indent = " ".repeat(line.chars().take_while(|c| c.is_whitespace()).count());
        let under = paint(colour, tone, &"^".repeat(line.trim().chars().count()));
        let bar = paint(colour, Tone::Quiet, "|");
        let _ = write!(text, "\n {gutter} {bar}\n {number} {bar} {line}\n {gutter} {bar} {indent}{under}");
    }
    text
}

/// `1 object`, `2 objects`.
pub(crate) fn count(number: usize, one: &str) -> String {
    count_of(number, one, &format!("{one}s"))
}

/// `1 proxy`, `2 proxies`.
pub(crate) fn count_of(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Seconds as kubectl writes ages: `12s`, `3m`, `5h`, `2d`.
pub(crate) fn age(seconds: f64) -> String {
    match seconds.max(0.0) as u64 {
        s @ 0..120 => format!("{s}s"),
        s @ 120..7_200 => format!("{}m", s / 60),
        s @ 7_200..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests;
