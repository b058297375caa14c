//! Istio's request and TCP metrics: one writer per counter, summed when they are read.

use super::access_log::AccessLog;
use super::labels::{self, Key, Own, OwnedKey};
use super::record::{RequestRecord, TcpRecord};
use super::series::{Certificate, Series, add};
use daemon::clock::Clock;
use model::Reason;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Distinct label sets of one proxy. What exceeds it is counted in a series `reporter="overflow"`.
pub const SERIES_MAX: usize = 2000;
/// Refused connections that one worker logs in a second; all are counted.
const REFUSALS_LOGGED_MAX: u32 = 10;

/// All that is recorded in this process. Shared by all threads.
pub struct Observe {
    clock: Arc<dyn Clock>,
    log: Option<AccessLog>,
    own: Mutex<Arc<Own>>,
    // Moves when `own` changes, so that recorders resolve their labels anew.
    own_epoch: AtomicU64,
    // Rendered labels to the series of each worker. Taken when a worker meets a label set for the first
    // time, and to render; never for an ordinary request.
    series: Mutex<BTreeMap<Arc<str>, Vec<Arc<Series>>>>,
    refused: Vec<AtomicU64>,
    pub(super) certificate: Mutex<Certificate>,
    pub(super) renewals: AtomicU64,
    pub(super) renewal_failures: AtomicU64,
    pub(super) is_connected: AtomicU64,
    pub(super) connects: AtomicU64,
}

impl Observe {
    /// Records into memory and, when given, into an access log.
    pub fn new(clock: Arc<dyn Clock>, log: Option<AccessLog>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            log,
            own: Mutex::default(),
            own_epoch: AtomicU64::new(0),
            series: Mutex::default(),
            refused: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            certificate: Mutex::default(),
            renewals: AtomicU64::new(0),
            renewal_failures: AtomicU64::new(0),
            is_connected: AtomicU64::new(0),
            connects: AtomicU64::new(0),
        })
    }

    /// A recorder for one worker, to be called on its thread, once.
    pub fn recorder(self: &Arc<Self>) -> Recorder {
        Recorder {
            observe: Arc::clone(self),
            hasher: RandomState::new(),
            cache: RefCell::new(HashMap::new()),
            own_epoch: Cell::new(0),
            logged: Cell::new((self.clock.now(), 0)),
        }
    }

    /// Says who this proxy is: after joining, and when its group's labels change.
    pub fn set_own(&self, own: Own) {
        let mut mine = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if **mine != own {
            *mine = Arc::new(own);
            self.own_epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Who this proxy says it is.
    pub fn own(&self) -> Arc<Own> {
        Arc::clone(&self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes what is still queued for the access log and ends its thread.
    pub fn finish(&self) {
        if let Some(log) = &self.log {
            log.finish();
        }
    }

    /// The access log, when there is one.
    pub(super) fn log(&self) -> Option<&AccessLog> {
        self.log.as_ref()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Refused connections by reason, those that occurred.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (Reason, u64)> {
        let count = |(reason, count): (&Reason, &AtomicU64)| (*reason, count.load(Ordering::Relaxed));
        Reason::ALL.iter().zip(&self.refused).map(count).filter(|(_, count)| *count > 0)
    }

    /// Label sets with the sum over all workers.
    pub(super) fn sums(&self) -> Vec<(Arc<str>, Series)> {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.iter().map(|(labels, workers)| (Arc::clone(labels), Series::sum(workers))).collect()
    }

    /// A new series of one worker under these labels, or under the overflow's when there are too many.
    fn open_series(&self, key: &Key<'_>) -> Arc<Series> {
        let text = labels::render(key, &self.own());
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let is_http = key.http.is_some();
        let fresh = Arc::new(if is_http { Series::http() } else { Series::tcp() });
        let text = if all.contains_key(text.as_str()) || all.len() < SERIES_MAX {
            text
        } else {
            format!("{},request_protocol=\"{}\"", labels::OVERFLOW, if is_http { "http" } else { "tcp" })
        };
        all.entry(text.into()).or_default().push(Arc::clone(&fresh));
        fresh
    }
}

/// One worker's end. Not shared between threads.
pub struct Recorder {
    observe: Arc<Observe>,
    hasher: RandomState,
    // By hash of the key; the owned key is compared too, so that a collision cannot mix series.
    cache: RefCell<HashMap<u64, (OwnedKey, Arc<Series>)>>,
    own_epoch: Cell<u64>,
    logged: Cell<(Instant, u32)>,
}

impl Recorder {
    /// Records one request: metrics and, when there is one, the access log.
    pub fn request(&self, record: &RequestRecord<'_>) {
        self.with_series(&Key::of_request(record), |series| {
            if let Some(http) = &series.http {
                add(&http.requests, 1);
                http.duration_ms.observe(record.duration.as_secs_f64() * 1000.0);
                http.request_bytes.observe(record.bytes_received as f64);
                http.response_bytes.observe(record.bytes_sent as f64);
            }
        });
        if let Some(log) = &self.observe.log {
            log.request(record, self.own_id().as_ref());
        }
    }

    /// Records that an opaque connection was opened. The record's end is not looked at.
    pub fn tcp_opened(&self, record: &TcpRecord<'_>) {
        self.with_series(&Key::of_tcp(record), |series| {
            if let Some(tcp) = &series.tcp {
                add(&tcp.opened, 1);
            }
        });
    }

    /// Records one opaque connection that has ended.
    pub fn tcp(&self, record: &TcpRecord<'_>) {
        self.with_series(&Key::of_tcp(record), |series| {
            if let Some(tcp) = &series.tcp {
                add(&tcp.closed, 1);
                add(&tcp.received_bytes, record.bytes_received);
                add(&tcp.sent_bytes, record.bytes_sent);
            }
        });
        if let Some(log) = &self.observe.log {
            log.tcp(record, self.own_id().as_ref());
        }
    }

    /// Counts a connection that was refused before anything was exchanged, and logs it with its reason.
    pub fn refused(&self, peer: SocketAddr, reason: Reason) {
        if let Some(count) =
            Reason::ALL.iter().position(|r| *r == reason).and_then(|i| self.observe.refused.get(i))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let now = self.observe.clock.now();
        let (since, logged) = self.logged.get();
        let (since, logged) =
            if now.duration_since(since) >= Duration::from_secs(1) { (now, 0) } else { (since, logged) };
        if logged < REFUSALS_LOGGED_MAX {
            let row = reason.row();
            tracing::warn!(%peer, reason = row.code, advice = row.advice, "refused a connection");
        }
        self.logged.set((since, logged.saturating_add(1)));
    }

    fn own_id(&self) -> Option<model::SpiffeId> {
        self.observe.own().id.clone()
    }

    fn with_series(&self, key: &Key<'_>, record: impl FnOnce(&Series)) {
        let epoch = self.observe.own_epoch.load(Ordering::Relaxed);
        let mut cache = self.cache.borrow_mut();
        if self.own_epoch.replace(epoch) != epoch {
            cache.clear();
        }
        let hash = key.hash_with(&self.hasher);
        match cache.get(&hash) {
            Some((known, series)) if known.borrow() == *key => record(series),
            Some(_) => record(&self.observe.open_series(key)),
            None => {
                let series = self.observe.open_series(key);
                record(&series);
                if cache.len() >= SERIES_MAX {
                    cache.clear();
                }
                cache.insert(hash, (key.keep(), series));
            }
        }
    }
}
