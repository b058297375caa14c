//! Counters, gauges and histograms, and their Prometheus text form.
//!
//! A handle is an `Arc` of atomics: get it once, keep it, add to it. The number of series is bounded; what
//! comes beyond goes into one overflow series per family, so that no client can fill memory with labels.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Series of one family; more: the series with `overflow="true"`.
pub const SERIES_MAX: usize = 4096;

/// Counts up.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

/// Goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// Counts observations by upper bound.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    // One more than `bounds`: the last is +Inf.
    counts: Box<[AtomicU64]>,
    // In thousandths, so that it can be an atomic integer.
    sum_thousandths: AtomicU64,
}

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Adds 1.
    pub fn inc(&self) {
        self.add(1);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The present value.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum_thousandths: AtomicU64::new(0) }))
    }

    /// Records one observation, in the unit of the family's name.
    pub fn observe(&self, value: f64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[bucket].fetch_add(1, Relaxed);
        self.0.sum_thousandths.fetch_add((value.max(0.0) * 1000.0) as u64, Relaxed);
    }

    /// How many observations so far.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}

#[derive(Clone, Debug)]
enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: &'static str,
    series: HashMap<Box<str>, Cell>,
}

/// All families of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<&'static str, Family>>>);

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter with these labels, made if need be. `name` should end in `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Counter {
        match self.cell(name, help, "counter", labels, || Cell::Counter(Counter::default())) {
            Cell::Counter(counter) => counter,
            _ => Counter::default(),
        }
    }

    /// The gauge with these labels, made if need be.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&str, &str)]) -> Gauge {
        match self.cell(name, help, "gauge", labels, || Cell::Gauge(Gauge::default())) {
            Cell::Gauge(gauge) => gauge,
            _ => Gauge::default(),
        }
    }

    /// The histogram with these labels and ascending upper `bounds`, made if need be.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &'static [f64],
        labels: &[(&str, &str)],
    ) -> Histogram {
        match self.cell(name, help, "histogram", labels, || Cell::Histogram(Histogram::new(bounds))) {
            Cell::Histogram(histogram) => histogram,
            _ => Histogram::new(bounds),
        }
    }

    fn cell(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: &[(&str, &str)],
        make: impl Fn() -> Cell,
    ) -> Cell {
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(name).or_insert_with(|| Family { help, kind, series: HashMap::new() });
        debug_assert_eq!(family.kind, kind, "{name} is used with two kinds");
        let mut key = label_text(labels);
        if family.series.len() >= SERIES_MAX && !family.series.contains_key(key.as_str()) {
            key = label_text(&[("overflow", "true")]);
        }
        family.series.entry(key.into_boxed_str()).or_insert_with(make).clone()
    }

    /// Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for (name, family) in families.iter() {
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.kind);
            let mut series: Vec<_> = family.series.iter().collect();
            series.sort_by_key(|(labels, _)| *labels);
            for (labels, cell) in series {
                render_cell(&mut out, name, labels, cell);
            }
        }
        out
    }
}

fn render_cell(out: &mut String, name: &str, labels: &str, cell: &Cell) {
    let braced = |labels: &str| if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = match cell {
        Cell::Counter(counter) => writeln!(out, "{name}{} {}", braced(labels), counter.get()),
        Cell::Gauge(gauge) => writeln!(out, "{name}{} {}", braced(labels), gauge.get()),
        Cell::Histogram(histogram) => {
            let separator = if labels.is_empty() { "" } else { "," };
            let mut total = 0;
            for (index, count) in histogram.0.counts.iter().enumerate() {
                total += count.load(Relaxed);
                let bound = histogram.0.bounds.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                let _ = writeln!(out, "{name}_bucket{{{labels}{separator}le=\"{bound}\"}} {total}");
            }
            let sum = histogram.0.sum_thousandths.load(Relaxed) as f64 / 1000.0;
            writeln!(out, "{name}_sum{0} {sum}\n{name}_count{0} {total}", braced(labels))
        }
    };
}

/// `a="x",b="y"` with values escaped as the text format demands.
fn label_text(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (index, (name, value)) in labels.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let _ = write!(text, "{separator}{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_of_each_kind() {
        let registry = Registry::new();
        registry.counter("c_total", "Counts.", &[("who", "a\"b\n")]).add(2);
        registry.counter("c_total", "Counts.", &[("who", "a\"b\n")]).inc();
        registry.gauge("g", "Goes.", &[]).set(-4);
        let histogram = registry.histogram("h_ms", "Times.", &[1.0, 5.0], &[("x", "y")]);
        for value in [0.5, 1.0, 4.0, 100.0] {
            histogram.observe(value);
        }
        assert_eq!(
            registry.render(),
            "# HELP c_total Counts.\n# TYPE c_total counter\nc_total{who=\"a\\\"b\\n\"} 3\n\
             # HELP g Goes.\n# TYPE g gauge\ng -4\n\
             # HELP h_ms Times.\n# TYPE h_ms histogram\n\
             h_ms_bucket{x=\"y\",le=\"1\"} 2\nh_ms_bucket{x=\"y\",le=\"5\"} 3\nh_ms_bucket{x=\"y\",le=\"+Inf\"} 4\n\
             h_ms_sum{x=\"y\"} 105.5\nh_ms_count{x=\"y\"} 4\n"
        );
    }

    #[test]
    fn series_are_bounded() {
        let registry = Registry::new();
        for n in 0..SERIES_MAX + 10 {
            registry.counter("c_total", "Counts.", &[("n", &n.to_string())]).inc();
        }
        assert!(registry.render().contains("c_total{overflow=\"true\"} 10\n"));
    }
}
