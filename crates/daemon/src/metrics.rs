//! Counters, gauges, histograms and their Prometheus text. Handles are shared atomics: resolve them once, keep
//! them. A family holds a limited number of series; further label sets share one series with `overflow="true"`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Series of one family. More: they are added up in its overflow series.
pub const SERIES_MAX: usize = 2_000;

/// Bounds of the buckets of [`Registry::histogram`]: Envoy's, for milliseconds and for bytes.
pub const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// All metrics of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<String, Family>>>);

#[derive(Debug)]
struct Family {
    help: String,
    kind: Kind,
    series: BTreeMap<Box<str>, Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Debug)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// Only goes up.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

/// Goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// Counts values by size.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// Per bucket, not cumulative; the last is for everything above the last bound.
    counts: [AtomicU64; BUCKETS.len() + 1],
    /// In thousandths.
    sum: AtomicU64,
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    /// Counts `value` (milliseconds, or bytes); below zero counts as zero.
    pub fn observe(&self, value: f64) {
        let bucket = BUCKETS.partition_point(|bound| *bound < value);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum.fetch_add((value.max(0.0) * 1_000.0) as u64, Ordering::Relaxed);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Registry {
    /// Without metrics.
    pub fn new() -> Self {
        Registry::default()
    }

    /// The counter of these labels; the same handle for the same labels.
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Counter {
        let fresh = || Series::Counter(Counter::default());
        match self.series(name, help, Kind::Counter, labels, fresh) {
            Some(Series::Counter(counter)) => counter,
            _ => Counter::default(),
        }
    }

    /// Shows a counter, without labels, that is kept elsewhere. Nothing if the name is taken.
    pub fn share_counter(&self, name: &str, help: &str, counter: &Counter) {
        self.series(name, help, Kind::Counter, &[], || Series::Counter(counter.clone()));
    }

    /// The gauge of these labels; the same handle for the same labels.
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Gauge {
        let fresh = || Series::Gauge(Gauge::default());
        match self.series(name, help, Kind::Gauge, labels, fresh) {
            Some(Series::Gauge(gauge)) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram of these labels, with [`BUCKETS`]; the same handle for the same labels.
    pub fn histogram(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Histogram {
        let fresh = || Series::Histogram(Histogram::default());
        match self.series(name, help, Kind::Histogram, labels, fresh) {
            Some(Series::Histogram(histogram)) => histogram,
            _ => Histogram::default(),
        }
    }

    /// Removes all series of `name` that carry this label; handles still held count into nothing.
    pub fn forget(&self, name: &str, label: (&str, &str)) {
        let wanted = render_labels(&[label]);
        if let Some(family) = self.lock().get_mut(name) {
            family.series.retain(|labels, _| !has_label(labels, &wanted));
        }
    }

    /// Prometheus text exposition, version 0.0.4.
    pub fn render(&self) -> String {
        let families = self.lock();
        let mut out = String::with_capacity(families.len() * 256);
        for (name, family) in families.iter() {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, series) in &family.series {
                render_series(&mut out, name, labels, series);
            }
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing if the name is taken by another kind: a mistake of ours that must not stop traffic.
    fn series(
        &self,
        name: &str,
        help: &str,
        kind: Kind,
        labels: &[(&str, &str)],
        fresh: impl FnOnce() -> Series,
    ) -> Option<Series> {
        let labels = render_labels(labels);
        let mut families = self.lock();
        let family = families.entry(name.to_owned()).or_insert_with(|| Family {
            help: help.to_owned(),
            kind,
            series: BTreeMap::new(),
        });
        debug_assert!(family.kind == kind, "metric {name} registered twice with different kinds");
        if family.kind != kind {
            return None;
        }
        if let Some(series) = family.series.get(labels.as_str()) {
            return Some(series.clone());
        }
        let full = family.series.len() >= SERIES_MAX;
        let key = if full { "overflow=\"true\"".to_owned() } else { labels };
        Some(family.series.entry(key.into_boxed_str()).or_insert_with(fresh).clone())
    }
}

fn has_label(labels: &str, wanted: &str) -> bool {
    labels.match_indices(wanted).any(|(at, _)| {
        (at == 0 || labels.as_bytes()[at - 1] == b',') && ends_label(&labels[at + wanted.len()..])
    })
}

fn ends_label(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(',')
}

fn render_labels(labels: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(labels.len() * 32);
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    out
}

fn render_series(out: &mut String, name: &str, labels: &str, series: &Series) {
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    match series {
        Series::Counter(counter) => {
            let _ = writeln!(out, "{name}{braced} {}", counter.get());
        }
        Series::Gauge(gauge) => {
            let _ = writeln!(out, "{name}{braced} {}", gauge.get());
        }
        Series::Histogram(histogram) => {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut below = 0;
            for (index, count) in histogram.0.counts.iter().enumerate() {
                below += count.load(Ordering::Relaxed);
                let bound = BUCKETS.get(index).map_or("+Inf".to_owned(), ToString::to_string);
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
            }
            let sum = histogram.0.sum.load(Ordering::Relaxed) as f64 / 1_000.0;
            let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {below}");
        }
    }
}

#[cfg(test)]
mod tests;
