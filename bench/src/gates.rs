//! The gates: what each scenario found of them is kept beside the raw numbers, and the document has them in one table,
//! also of scenarios that ran at another time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use crate::folder::Folder;
use crate::statistics::Estimate;

/// Where figures are kept.
const FILE: &str = "figures.json";

/// What a scenario found, by a name of its own.
pub(crate) struct Figure {
    pub name: String,
    pub value: Estimate,
}

impl Figure {
    /// One without an interval.
    pub(crate) fn exact(name: impl Into<String>, value: f64) -> Figure {
        Figure { name: name.into(), value: Estimate { median: value, low: value, high: value } }
    }
}

/// One gate.
struct GateRow {
    measure: &'static str,
    figure: &'static str,
    gate: f64,
    aim: f64,
}

const fn row(measure: &'static str, figure: &'static str, gate: f64, aim: f64) -> GateRow {
    GateRow { measure, figure, gate, aim }
}

const GATES: &[GateRow] = &[
    row("plain HTTP/1.1, of HAProxy", "http1/32 connections/Leno of HAProxy", 1.15, 0.95),
    row("plain HTTP/1.1, of Envoy", "http1/32 connections/Leno of Envoy", 0.35, 0.2),
    row("sidecar pair, of HAProxy's: 32 connections", "pair/32 connections/Leno of HAProxy", 1.3, 1.0),
    row("sidecar pair, of HAProxy's: 8", "pair/8 connections/Leno of HAProxy", 1.2, 0.95),
    row("sidecar pair, of HAProxy's: 1", "pair/1 connection/Leno of HAProxy", 1.1, 0.9),
    row("sidecar pair, of Envoy's: 32", "pair/32 connections/Leno of Envoy", 0.3, 0.2),
    row("sidecar pair, of Envoy's: 1", "pair/1 connection/Leno of Envoy", 0.4, 0.3),
    row("a mesh proxy, of the plain proxy: 1 connection", "pair/1 connection/mesh of plain", 1.7, 1.4),
    row("a mesh proxy, of the plain proxy: 32", "pair/32 connections/mesh of plain", 1.5, 1.3),
    row("gRPC unary, of Envoy", "http2/gRPC unary, 1 connection of 64 streams/Leno of Envoy", 0.6, 0.3),
    row("allocations per keep-alive request (plain)", "counts/plain.allocations", 3.0, 0.0),
    row("system calls per request (plain, 32 connections)", "http1/32 connections/system calls", 4.2, 4.05),
    row("HTTP/2 upload, speed of direct", "bulk/Upload, 1 stream/Leno speed of direct", 0.8, 0.95),
    row("opaque TCP through the pair, CPU of Envoy's pair", "tcp/1 connection/Leno of Envoy", 0.6, 0.4),
    row("memory of a route at a gateway with 10,000, KiB", "routes/10000/KiB", 4.0, 2.0),
    row("memory of an endpoint at a proxy, bytes", "endpoints/10000/proxy", 128.0, 64.0),
    row(
        "memory of an endpoint at a gateway and its control plane, bytes",
        "counts/memory.endpoint",
        128.0,
        64.0,
    ),
    row("1,000 proxies, one endpoint change, p99 ms", "proxies/1000/p99 ms", 250.0, 50.0),
];

/// A speed: more is better.
fn is_speed(row: &GateRow) -> bool {
    row.figure.contains("speed")
}

/// Keeps what a scenario found, and tells all gates that have a figure.
pub(crate) fn section(folder: &Folder, figures: &[Figure]) -> Result<String> {
    let text = std::fs::read_to_string(folder.path(FILE)).unwrap_or_default();
    let mut kept: BTreeMap<String, [f64; 3]> = serde_json::from_str(&text).unwrap_or_default();
    for Figure { name, value } in figures {
        kept.insert(name.clone(), [value.median, value.low, value.high]);
    }
    folder.write(FILE, &serde_json::to_string_pretty(&kept)?)?;
    Ok(table(&kept))
}

fn table(kept: &BTreeMap<String, [f64; 3]>) -> String {
    let mut out = String::from(ABOUT);
    for row in GATES {
        let found = kept.get(row.figure);
        let value = match found {
            Some([median, low, high]) if low < high => format!("{median:.2} ({low:.2} to {high:.2})"),
            Some([median, ..]) => format!("{median:.2}"),
            None => "not measured".to_owned(),
        };
        let holds = found.map_or("", |[median, ..]| {
            let (within_gate, within_aim) = match is_speed(row) {
                true => (*median >= row.gate, *median >= row.aim),
                false => (*median <= row.gate, *median <= row.aim),
            };
            match (within_gate, within_aim) {
                (_, true) => "aim",
                (true, false) => "gate",
                (false, false) => "open",
            }
        });
        let _ = writeln!(out, "| {} | {value} | {} | {} | {holds} |", row.measure, row.gate, row.aim);
    }
    out
}

const ABOUT: &str = "## Gates

Ratios are of the same round on the same machine, medians with an interval of 95 %; each is explained in its section
below.

| measure | found | gate | aim | holds |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests;
