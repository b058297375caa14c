//! The table: medians over rounds, ratios within rounds, and how far they spread.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::measured::{Block, Effect, ManyObjects, ManyRoutes, Measured, median};
use crate::process;

/// What goes into the document.
pub(crate) struct Report {
    pub measured: Vec<Measured>,
    pub rounds: usize,
    /// Rounds left out because the machine was not steady.
    pub dropped: usize,
    pub seconds: u64,
    pub connections: usize,
    /// Heap allocations of Leno per request.
    pub allocations: f64,
    /// From a changed file to its effect.
    pub effect: Effect,
    /// Part of the time that the hypervisor gave to others.
    pub steal: f64,
}

/// Puts a section into the document, in the place of an earlier one of the same heading.
pub(crate) fn put(path: &Path, section: &str) -> Result<()> {
    let document = fs::read_to_string(path).unwrap_or_default();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, placed(&document, section)).with_context(|| format!("write {}", path.display()))?;
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
        None => all.push(section.to_owned()),
    }
    format!("{HEAD}\n{}", all.join("\n"))
}

/// The section about many routes.
pub(crate) fn routes(measured: &ManyRoutes) -> String {
    let grown_kib = (measured.full_mib - measured.empty_mib) * 1024.0;
    let mut out = String::from(ROUTES);
    let _ = writeln!(out, "Machine: {}.\n", process::machine());
    let _ = writeln!(
        out,
        "| `leno gateway -f`, one worker | |\n|---|---|\n| RSS with one HTTPRoute, MiB | {:.1} |\n\
         | RSS with {} more, MiB | {:.1} |\n| for each, KiB | {:.1} |\n\
         | from start to an answer by the last one, s | {:.2} |\n",
        measured.empty_mib,
        measured.gateway_routes,
        measured.full_mib,
        grown_kib / measured.gateway_routes as f64,
        measured.served_s
    );
    out.push_str("| HTTPRoutes stored at `leno control` | writes per second |\n|---|---|\n");
    for (stored, rate) in &measured.writes {
        let _ = writeln!(out, "| {stored} | {rate:.0} |");
    }
    out
}

/// The section about many objects in `translate`.
pub(crate) fn world(measured: &ManyObjects) -> String {
    let mut out = String::from(WORLD);
    let _ = writeln!(out, "Machine: {}.\n", process::machine());
    let _ = writeln!(
        out,
        "| {} Services, {} HTTPRoutes, {} AuthorizationPolicies, {} GlobalServices | |\n|---|---|\n\
         | heap of the objects, MiB | {:.1} |\n| heap of the world without them, MiB | {:.1} |\n\
         | from nothing, one after the other, ms | {:.0} |\n| all findings for the first time ({}), ms | {:.1} |\n",
        measured.services,
        measured.routes,
        measured.policies,
        measured.globals,
        measured.objects_mib,
        measured.world_mib,
        measured.scratch_ms,
        measured.findings,
        measured.findings_ms
    );
    out.push_str("| change of | which proxies, µs | all findings then, ms |\n|---|---|---|\n");
    for one in &measured.changes {
        let _ = writeln!(out, "| {} | {:.1} | {:.2} |", one.what, one.change_us, one.findings_ms);
    }
    out
}

pub(crate) fn render(report: &Report) -> String {
    let mut out = String::from(HTTP1);
    let _ = writeln!(out, "Machine: {}.\n", process::machine());
    let _ = writeln!(
        out,
        "Load: {} rounds of {} s each, {} connections; {} rounds left out because the null proxy was more than 3 % \
         off its median; {:.1} % of the time was taken by the hypervisor.\n",
        report.rounds,
        report.seconds,
        report.connections,
        report.dropped,
        report.steal * 100.0
    );
    out.push_str(
        "| proxy | user µs | system µs | total µs | of HAProxy | of Envoy | RSS idle / loaded MiB | \
         system calls per request | p99 ms | errors |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for measured in &report.measured {
        let of = |field: fn(&Block) -> f64| median(measured.blocks.iter().map(field));
        let _ = writeln!(
            out,
            "| {} | {:.1} | {:.1} | {} | {} | {} | {:.1} / {:.1} | {} | {:.2} | {:.0} |",
            measured.name,
            of(|block| block.user_us),
            of(|block| block.system_us),
            spread(&measured.blocks.iter().map(Block::total_us).collect::<Vec<_>>(), 1),
            ratio(report, measured, "HAProxy"),
            ratio(report, measured, "Envoy"),
            measured.idle_mib,
            of(|block| block.resident_mib),
            measured.syscalls.map_or("-".to_owned(), |calls| format!("{calls:.2}")),
            of(|block| block.load.p99_ms),
            measured.blocks.iter().map(|block| block.load.errors).sum::<f64>(),
        );
    }
    let _ = writeln!(
        out,
        "\nHeap allocations of Leno per request: {:.1} (the same library code in the bench's own process, under an \
         allocator that counts; a run of its own).",
        report.allocations
    );
    let _ = writeln!(
        out,
        "\nA change of an HTTPRoute's file takes effect in `leno gateway -f` after {:.0} ms (median of 20; worst \
         {:.0} ms). The goal is a second.",
        report.effect.median_ms, report.effect.worst_ms
    );
    out.push_str("\nVersions: ");
    let versions: Vec<String> =
        report.measured.iter().map(|measured| format!("{}: `{}`", measured.name, measured.version)).collect();
    out.push_str(&versions.join("; "));
    out.push_str(".\n");
    out
}

/// Median, and least and greatest in parentheses.
fn spread(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values.iter().copied());
    format!("{middle:.digits$} ({least:.digits$} to {greatest:.digits$})")
}

/// Total CPU per request in relation to a peer's in the same round.
fn ratio(report: &Report, measured: &Measured, peer: &str) -> String {
    let Some(peer) = report.measured.iter().find(|other| other.name == peer) else { return "-".to_owned() };
    let ratios: Vec<f64> = measured
        .blocks
        .iter()
        .filter_map(|block| {
            let other = peer.blocks.iter().find(|other| other.round == block.round)?;
            Some(block.total_us() / other.total_us())
        })
        .collect();
    spread(&ratios, 2)
}

const HEAD: &str = "# Benchmarks

Made by `make bench` (`bench/src`); do not edit. Raw numbers are in `target/bench`.
";

const ROUTES: &str = "## Many HTTPRoutes

HTTPRoutes of one host name, one rule, one match and one backend. The gateway reads them from files of a thousand
documents each; its memory is taken when the last one is served. A write is a PUT of one route with another content
over the API, answered when it is stored and in force, one after the other on one connection; no proxy is connected.

";

const WORLD: &str = "## Many objects

The world of `translate` alone, in the bench's own process: each Service has a WorkloadGroup and one workload, in 100
namespaces; each tenth policy is for its whole namespace. Heap is bytes as asked for, counted by the allocator. Times of
changes are medians: of taking in one change and knowing which proxies it concerns, and of all findings after it.

";

const HTTP1: &str = "## Plain HTTP/1.1, one worker

Keep-alive on both sides, a GET with a reply of 100 bytes. wrk and an nginx backend on core 0, the proxy alone on core
1, the peers in turn (A B C, then C B A). Costs are CPU time of the whole process tree per request from
`/proc/PID/stat`: medians over the rounds, with the least and the greatest in parentheses; ratios are of total CPU in
the same round. `null` copies bytes and looks at none of them: what it costs is the machine's price for four socket
calls, which no proxy can avoid; `bare` is Leno's codec without any decision. Throughput is not compared, because generator and backend cost as much as a fast
proxy. p99 is that of a closed loop at saturation, so it is a sign of trouble and not a latency to compare. System calls
were counted by strace in a run of their own. Peers are tuned by their own guides; see `bench/src/peers/settings.rs`.

";

#[cfg(test)]
mod tests;
