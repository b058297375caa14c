//! The cells behind one label set. Each has one writer, so an addition is a plain load and store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Upper bounds of all histograms: Envoy's default, which Istio uses for milliseconds and bytes alike.
pub(super) const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Adds to a cell of which the caller is the only writer.
pub(super) fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

fn read(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

/// Counts by bound, the last one for what exceeds all.
#[derive(Default)]
pub(super) struct SeriesHistogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// In thousandths.
    sum: AtomicU64,
}

impl SeriesHistogram {
    pub(super) fn observe(&self, value: f64) {
        let index = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        if let Some(cell) = self.counts.get(index) {
            add(cell, 1);
        }
        add(&self.sum, (value * 1000.0) as u64);
    }

    fn merge(&self, other: &Self) {
        for (mine, theirs) in self.counts.iter().zip(&other.counts) {
            add(mine, read(theirs));
        }
        add(&self.sum, read(&other.sum));
    }

    /// Cumulative counts for each bound and infinity, and the sum.
    pub(super) fn cumulative(&self) -> ([u64; BOUNDS.len() + 1], f64) {
        let mut total = 0;
        let counts = std::array::from_fn(|i| {
            total += self.counts.get(i).map_or(0, read);
            total
        });
        (counts, read(&self.sum) as f64 / 1000.0)
    }
}

/// Cells of requests.
#[derive(Default)]
pub(super) struct Http {
    pub(super) requests: AtomicU64,
    pub(super) duration_ms: SeriesHistogram,
    pub(super) request_bytes: SeriesHistogram,
    pub(super) response_bytes: SeriesHistogram,
}

/// Cells of opaque connections.
#[derive(Default)]
pub(super) struct Tcp {
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
}

/// One label set of one worker: requests or connections.
pub(super) struct Series {
    pub(super) http: Option<Http>,
    pub(super) tcp: Option<Tcp>,
}

impl Series {
    pub(super) fn http() -> Self {
        Self { http: Some(Http::default()), tcp: None }
    }

    pub(super) fn tcp() -> Self {
        Self { http: None, tcp: Some(Tcp::default()) }
    }

    /// All workers together.
    pub(super) fn sum<'a>(workers: impl Iterator<Item = &'a Self>) -> Self {
        let mut total = Self { http: None, tcp: None };
        for worker in workers {
            if let Some(http) = &worker.http {
                let into = total.http.get_or_insert_default();
                add(&into.requests, read(&http.requests));
                into.duration_ms.merge(&http.duration_ms);
                into.request_bytes.merge(&http.request_bytes);
                into.response_bytes.merge(&http.response_bytes);
            }
            if let Some(tcp) = &worker.tcp {
                let into = total.tcp.get_or_insert_default();
                add(&into.opened, read(&tcp.opened));
                add(&into.closed, read(&tcp.closed));
                add(&into.received_bytes, read(&tcp.received_bytes));
                add(&into.sent_bytes, read(&tcp.sent_bytes));
            }
        }
        total
    }
}

/// Validity of the local certificate.
#[derive(Clone, Copy, Default)]
pub(super) struct Certificate {
    pub(super) not_before: Option<SystemTime>,
    pub(super) not_after: Option<SystemTime>,
    pub(super) renew_at: Option<SystemTime>,
}
