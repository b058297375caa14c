//! The document: one section for each scenario, and the tables that several have.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::chart::Chart;
use crate::folder::Folder;
use crate::gates::{self, Figure};
use crate::measured::{Block, Comparison, Measured};
use crate::process;
use crate::statistics::Estimate;

/// The section that comes before all others.
const FIRST: &str = "## Gates";

/// What a scenario ends with.
pub(crate) struct ScenarioReport {
    /// Markdown, from its heading on.
    pub section: String,
    pub charts: Vec<Chart>,
    /// What gates are about.
    pub figures: Vec<Figure>,
}

/// Puts a section into the document, in the place of an earlier one of the same heading, and its charts beside it.
pub(crate) fn put(path: &Path, folder: &Folder, outcome: &ScenarioReport) -> Result<()> {
    let document = fs::read_to_string(path).unwrap_or_default();
    let document = placed(&document, &gates::section(folder, &outcome.figures)?);
    let charts = path.with_extension("");
    fs::create_dir_all(&charts).with_context(|| format!("create {}", charts.display()))?;
    for chart in &outcome.charts {
        fs::write(charts.join(format!("{}.svg", chart.file)), chart.svg())?;
    }
    let section = outcome.section.trim_end().to_owned() + "\n";
    fs::write(path, placed(&document, &section)).with_context(|| format!("write {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    print!("{section}");
    Ok(())
}

/// The document with this section; a section begins with its heading, and ends where the next one begins.
fn placed(document: &str, section: &str) -> String {
    let heading = section.lines().next().unwrap_or_default();
    let others = document.split("\n## ").skip(1);
    let mut all: Vec<String> = others.map(|old| format!("## {}\n", old.trim_end())).collect();
    match all.iter_mut().find(|old| old.lines().next() == Some(heading)) {
        Some(old) => section.clone_into(old),
        None if heading == FIRST => all.insert(0, section.to_owned()),
        None => all.push(section.to_owned()),
    }
    format!("{HEAD}\n{}", all.join("\n"))
}

/// What gates may be about: Leno's cost in relation to `peers`.
pub(crate) fn figures(scenario: &str, comparisons: &[Comparison], peers: &[&str]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for comparison in comparisons {
        let Some(leno) = comparison.find("Leno") else { continue };
        let name = |what: &str| format!("{scenario}/{}/{what}", comparison.label);
        for peer in peers {
            let ratio = comparison.ratio(leno, peer);
            figures.extend(ratio.map(|value| Figure { name: name(&format!("Leno of {peer}")), value }));
        }
        let speed = comparison.speed_ratio(leno, "direct");
        figures.extend(speed.map(|value| Figure { name: name("Leno speed of direct"), value }));
        figures.extend(leno.syscalls.map(|calls| Figure::exact(name("system calls"), calls)));
    }
    figures
}

/// What all contenders cost under one load, and in relation to `peers`.
pub(crate) fn comparison(comparison: &Comparison, peers: &[&str]) -> String {
    let mut out = String::new();
    let dropped = match comparison.find("null") {
        Some(_) => format!(
            "{} rounds left out because the null proxy was more than 3 % off its median; ",
            comparison.dropped
        ),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "### {}\n\nMachine: {}. {} rounds of {} s each; {dropped}{:.1} % of the time was taken by the hypervisor.\n",
        comparison.label,
        process::machine(),
        comparison.rounds,
        comparison.seconds,
        comparison.steal * 100.0
    );
    let ratios: String = peers.iter().map(|peer| format!(" of {peer} |")).collect();
    let _ = writeln!(
        out,
        "| proxy | user µs | system µs | total µs |{ratios} context switches | system calls | RSS idle / loaded MiB \
         | p50 / p99 ms | errors |\n|---|---|---|---|{}---|---|---|---|---|",
        "---|".repeat(peers.len())
    );
    for measured in &comparison.measured {
        out.push_str(&row(comparison, measured, peers));
    }
    out.push('\n');
    out
}

fn row(comparison: &Comparison, measured: &Measured, peers: &[&str]) -> String {
    let totals: Vec<f64> = measured.blocks.iter().map(Block::total_us).collect();
    format!(
        "| {} | {:.1} | {:.1} | {} |{} {:.2} | {} | {:.1} / {:.1} | {:.2} / {:.2} | {:.0} |\n",
        measured.name,
        measured.median(|block| block.user_us),
        measured.median(|block| block.system_us),
        spread(&totals, 1),
        peers.iter().map(|peer| cell(comparison.ratio(measured, peer))).collect::<String>(),
        measured.median(|block| block.switches),
        measured.syscalls.map_or("-".to_owned(), |calls| format!("{calls:.2}")),
        measured.idle_mib,
        measured.median(|block| block.resident_mib),
        measured.median(|block| block.load.p50_ms),
        measured.median(|block| block.load.p99_ms),
        measured.blocks.iter().map(|block| block.load.errors).sum::<f64>(),
    )
}

/// The same where an operation is a gigabyte: cost of each and how fast they went, in relation to `peers` by cost.
pub(crate) fn bulk(comparison: &Comparison, peers: &[&str]) -> String {
    let ratios: String = peers.iter().map(|peer| format!(" CPU of {peer} |")).collect();
    let mut out = format!(
        "### {}\n\nMachine: {}. {} rounds of {} s each; {} left out because the null proxy drifted.\n\n\
         | proxy | user ms/GB | system ms/GB | total ms/GB |{ratios} GB/s | speed of direct |\n|---|---|---|---|{}---|---|\n",
        comparison.label,
        process::machine(),
        comparison.rounds,
        comparison.seconds,
        comparison.dropped,
        "---|".repeat(peers.len())
    );
    for measured in &comparison.measured {
        let totals: Vec<f64> = measured.blocks.iter().map(|block| block.total_us() / 1000.0).collect();
        let _ = writeln!(
            out,
            "| {} | {:.0} | {:.0} | {} |{} {:.2} |{}",
            measured.name,
            measured.median(|block| block.user_us) / 1000.0,
            measured.median(|block| block.system_us) / 1000.0,
            spread(&totals, 0),
            peers.iter().map(|peer| cell(comparison.ratio(measured, peer))).collect::<String>(),
            measured.median(|block| block.load.requests / block.load.seconds),
            cell(comparison.speed_ratio(measured, "direct")),
        );
    }
    out.push('\n');
    out
}

/// A ratio with its interval.
pub(crate) fn cell(ratio: Option<Estimate>) -> String {
    match ratio.filter(|ratio| ratio.median.is_finite()) {
        Some(ratio) => format!(" {:.2} ({:.2} to {:.2}) |", ratio.median, ratio.low, ratio.high),
        None => " - |".to_owned(),
    }
}

/// Who took part, each once.
pub(crate) fn versions<'a>(measured: impl Iterator<Item = &'a Measured>) -> String {
    let mut versions: Vec<String> =
        measured.map(|measured| format!("{}: `{}`", measured.name, measured.version)).collect();
    versions.sort();
    versions.dedup();
    format!("Versions: {}.\n", versions.join("; "))
}

/// Median, and least and greatest in parentheses.
pub(crate) fn spread(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = crate::statistics::median(values.iter().copied());
    format!("{middle:.digits$} ({least:.digits$} to {greatest:.digits$})")
}

const HEAD: &str = "# Benchmarks

Made by `make bench` (`bench/src`), but for the last section; do not edit. Raw numbers are in `target/bench`.
";

#[cfg(test)]
mod tests;
