//! Istio's request and TCP metrics: one writer per counter, summed when they are read.

use super::access_log::{AccessLog, denying_policy, policy_name};
use super::labels::{self, Own, OwnedKey, SeriesKey};
use super::record::{RequestRecord, TcpRecord};
use super::series::{Certificate, Series, add};
use daemon::clock::Clock;
use decide::authz::{Denial, DryRun};
use decide::hash::{BuildQuick, QuickMap};
use model::authz::Action;
use model::{Reason, SpiffeId};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Distinct label sets of one proxy. What exceeds it is counted in a series `reporter="overflow"`.
pub(crate) const SERIES_MAX: usize = 2000;
/// Refused connections that one worker logs in a second; all are counted.
const REFUSALS_LOGGED_MAX: u32 = 10;
/// Policies whose matches are counted without being enforced; more are counted together.
const DRY_RUN_SERIES_MAX: usize = 1000;
/// Policies whose denials are counted; more are counted together.
const DENYING_MAX: usize = 1000;

/// The series of each recorder, by its number.
type OfRecorders = Vec<(usize, Arc<Series>)>;

/// All that is recorded in this process. Shared by all threads.
pub struct Observe {
    clock: Arc<dyn Clock>,
    log: Option<AccessLog>,
    own: Mutex<Arc<Own>>,
    // Moves when `own` changes, so that recorders resolve their labels anew.
    own_epoch: AtomicU64,
    // By rendered labels. Taken when a worker meets a label set for the first time, and to render; never for
    // an ordinary request.
    series: Mutex<BTreeMap<Arc<str>, OfRecorders>>,
    recorders: AtomicUsize,
    // Matches of policies that are not enforced, by name and action.
    dry_run_matches: Mutex<BTreeMap<(String, &'static str), u64>>,
    // Denials by policy.
    denied: Mutex<BTreeMap<String, u64>>,
    refused: Vec<AtomicU64>,
    pub(super) certificate: Mutex<Certificate>,
    pub(super) renewals: AtomicU64,
    pub(super) renewal_refused: AtomicU64,
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
            recorders: AtomicUsize::new(0),
            dry_run_matches: Mutex::default(),
            denied: Mutex::default(),
            refused: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            certificate: Mutex::default(),
            renewals: AtomicU64::new(0),
            renewal_refused: AtomicU64::new(0),
            renewal_failures: AtomicU64::new(0),
            is_connected: AtomicU64::new(0),
            connects: AtomicU64::new(0),
        })
    }

    /// A recorder for one worker, to be called on its thread, once.
    pub fn recorder(self: &Arc<Self>) -> Recorder {
        Recorder {
            observe: Arc::clone(self),
            number: self.recorders.fetch_add(1, Ordering::Relaxed),
            cache: RefCell::default(),
            own_epoch: Cell::new(self.own_epoch.load(Ordering::Acquire)),
            own_id: RefCell::new(self.own().id.clone()),
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
        series
            .iter()
            .map(|(labels, all)| (Arc::clone(labels), Series::sum(all.iter().map(|(_, series)| &**series))))
            .collect()
    }

    /// Series in memory, of all workers.
    pub(super) fn series_len(&self) -> usize {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    /// Matches of policies that are not enforced: name, action, count.
    pub(super) fn dry_run_matches(&self) -> Vec<(String, &'static str, u64)> {
        let dry_run_matches = self.dry_run_matches.lock().unwrap_or_else(PoisonError::into_inner);
        dry_run_matches.iter().map(|((policy, action), count)| (policy.clone(), *action, *count)).collect()
    }

    fn count_dry_run(&self, dry_run: &DryRun) {
        let mut dry_run_matches = self.dry_run_matches.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, _) in &dry_run.matched {
            let mut key = (policy_name(policy), action_name(policy.action));
            if dry_run_matches.len() >= DRY_RUN_SERIES_MAX && !dry_run_matches.contains_key(&key) {
                key = ("other".to_owned(), "other");
            }
            *dry_run_matches.entry(key).or_default() += 1;
        }
    }

    /// Denials of requests and connections: policy, count.
    pub(super) fn denied(&self) -> Vec<(String, u64)> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.iter().map(|(policy, count)| (policy.clone(), *count)).collect()
    }

    fn count_denial(&self, denial: &Denial) {
        let mut policy = denying_policy(denial);
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() >= DENYING_MAX && !denied.contains_key(&policy) {
            policy = "other".to_owned();
        }
        *denied.entry(policy).or_default() += 1;
    }

    /// The series of one recorder under these labels, or under the overflow's when there are too many. There is
    /// one for each recorder and text, however often it is asked for.
    fn open_series(&self, key: &SeriesKey<'_>, recorder: usize) -> Arc<Series> {
        let text = labels::render(key, &self.own());
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let is_http = key.http.is_some();
        let text = if all.contains_key(text.as_str()) || all.len() < SERIES_MAX {
            text
        } else {
            format!("{},request_protocol=\"{}\"", labels::OVERFLOW, if is_http { "http" } else { "tcp" })
        };
        let of_text = all.entry(text.into()).or_default();
        if let Some((_, known)) = of_text.iter().find(|(number, _)| *number == recorder) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(if is_http { Series::http() } else { Series::tcp() });
        of_text.push((recorder, Arc::clone(&fresh)));
        fresh
    }
}

/// One worker's end. Not shared between threads.
pub struct Recorder {
    observe: Arc<Observe>,
    number: usize,
    // By hash of the key; the owned key is compared too, so that a collision cannot mix series.
    cache: RefCell<QuickMap<u64, (OwnedKey, Arc<Series>)>>,
    own_epoch: Cell<u64>,
    own_id: RefCell<Option<SpiffeId>>,
    logged: Cell<(Instant, u32)>,
}

impl Recorder {
    /// Whether there is an access log, so that what only it wants is worth keeping.
    pub fn is_logging(&self) -> bool {
        self.observe.log.is_some()
    }

    /// Records one request: metrics and, when there is one, the access log.
    pub fn request(&self, record: &RequestRecord<'_>) {
        self.with_series(&SeriesKey::of_request(record), |series| {
            if let Some(http) = &series.http {
                add(&http.requests, 1);
                http.duration_ms.observe(record.duration.as_secs_f64() * 1000.0);
                http.request_bytes.observe(record.bytes_received as f64);
                http.response_bytes.observe(record.bytes_sent as f64);
            }
        });
        self.verdicts(record.dry_run, record.denial);
        if let Some(log) = &self.observe.log {
            log.request(record, self.own_id.borrow().as_ref());
        }
    }

    fn verdicts(&self, dry_run: Option<&DryRun>, denial: Option<&Denial>) {
        if let Some(dry_run) = dry_run {
            self.observe.count_dry_run(dry_run);
        }
        if let Some(denial) = denial {
            self.observe.count_denial(denial);
        }
    }

    /// Records that an opaque connection was opened. The record's end is not looked at.
    pub fn tcp_opened(&self, record: &TcpRecord<'_>) {
        self.with_series(&SeriesKey::of_tcp(record), |series| {
            if let Some(tcp) = &series.tcp {
                add(&tcp.opened, 1);
            }
        });
    }

    /// Records one opaque connection that has ended.
    pub fn tcp(&self, record: &TcpRecord<'_>) {
        self.with_series(&SeriesKey::of_tcp(record), |series| {
            if let Some(tcp) = &series.tcp {
                add(&tcp.closed, 1);
                add(&tcp.received_bytes, record.bytes_received);
                add(&tcp.sent_bytes, record.bytes_sent);
            }
        });
        self.verdicts(record.dry_run, record.denial);
        if let Some(log) = &self.observe.log {
            log.tcp(record, self.own_id.borrow().as_ref());
        }
    }

    /// Counts a connection that was refused before anything was exchanged, and logs it with its reason.
    pub fn refused(&self, peer: SocketAddr, reason: Reason) {
        if self.count_refusal(reason) {
            let row = reason.row();
            tracing::warn!(%peer, reason = row.code, advice = row.advice, "refused a connection");
        }
    }

    /// The same for a connection that was cut in its course; `cause` says more than the reason.
    pub fn cut(&self, peer: SocketAddr, reason: Reason, cause: &dyn Error) {
        if self.count_refusal(reason) {
            let row = reason.row();
            let source = cause.source().map(tracing::field::display);
            tracing::warn!(%peer, reason = row.code, %cause, source, advice = row.advice, "cut a connection");
        }
    }

    /// Counts it, and says whether it may be logged.
    fn count_refusal(&self, reason: Reason) -> bool {
        if let Some(count) =
            Reason::ALL.iter().position(|r| *r == reason).and_then(|i| self.observe.refused.get(i))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let now = self.observe.clock.now();
        let (since, logged) = self.logged.get();
        let (since, logged) =
            if now.duration_since(since) >= Duration::from_secs(1) { (now, 0) } else { (since, logged) };
        self.logged.set((since, logged.saturating_add(1)));
        logged < REFUSALS_LOGGED_MAX
    }

    fn with_series(&self, key: &SeriesKey<'_>, record: impl FnOnce(&Series)) {
        let epoch = self.observe.own_epoch.load(Ordering::Acquire);
        let mut cache = self.cache.borrow_mut();
        if self.own_epoch.replace(epoch) != epoch {
            cache.clear();
            self.own_id.borrow_mut().clone_from(&self.observe.own().id);
        }
        let hash = BuildQuick::default().hash_one(key);
        match cache.get(&hash) {
            Some((known, series)) if known.borrow() == *key => record(series),
            Some(_) => record(&self.observe.open_series(key, self.number)),
            None => {
                let series = self.observe.open_series(key, self.number);
                record(&series);
                if cache.len() >= SERIES_MAX {
                    cache.clear();
                }
                cache.insert(hash, (key.keep(), series));
            }
        }
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Audit => "audit",
    }
}
