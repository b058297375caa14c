//! One worker's end of metrics and access log: the calls by which requests, connections and refusals are recorded.

use super::inbound::WorkerInbound;
use super::labels::{OwnedKey, SeriesKey};
use super::metrics::{MirrorOutcome, Observe, SERIES_MAX};
use super::record::{RequestRecord, TcpRecord};
use super::series::{Series, add};
use crate::edge_tls::facts::{EdgeTls, TlsRefusal};
use decide::authz::{Denial, DryRun};
use decide::hash::{BuildQuick, QuickMap};
use model::{Reason, SpiffeId};
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Refused connections that one worker logs in a second; all are counted.
const REFUSALS_LOGGED_MAX: u32 = 10;

/// One worker's end. Not shared between threads.
pub struct Recorder {
    /// Who comes to the application's ports.
    pub inbound: WorkerInbound,
    observe: Arc<Observe>,
    number: usize,
    // By hash of the key; the owned key is compared too, so that a collision cannot mix series.
    cache: RefCell<QuickMap<u64, (OwnedKey, Arc<Series>)>>,
    own_epoch: Cell<u64>,
    own_id: RefCell<Option<SpiffeId>>,
    logged: Cell<(Instant, u32)>,
    /// Lines of the access log are formatted here.
    line: RefCell<Vec<u8>>,
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
            log.request(record, self.own_id.borrow().as_ref(), &mut self.line.borrow_mut());
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
            log.tcp(record, self.own_id.borrow().as_ref(), &mut self.line.borrow_mut());
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

    /// Counts a handshake with a caller from outside that succeeded.
    pub(crate) fn tls_handshake(&self, tls: &EdgeTls) {
        self.observe.count_handshake(tls.version.unwrap_or_default(), tls.cipher.unwrap_or_default());
    }

    /// Counts and logs a caller from outside whose TLS came to nothing.
    pub(crate) fn tls_refused(&self, peer: SocketAddr, refusal: &TlsRefusal) {
        if self.count_refusal(refusal.reason) {
            let row = refusal.reason.row();
            let source = refusal.source().map(|cause| tracing::field::display(cause.to_string()));
            let deeper = refusal
                .source()
                .and_then(Error::source)
                .map(|cause| tracing::field::display(cause.to_string()));
            tracing::warn!(
                %peer,
                reason = row.code,
                requested_server_name = refusal.server_name,
                cause = %refusal,
                source,
                deeper,
                advice = row.advice,
                "refused a connection in TLS"
            );
        }
    }

    /// Counts a copy of a request.
    pub(crate) fn mirrored(&self, outcome: MirrorOutcome) {
        let counts = MirrorOutcome::ALL.iter().zip(&self.observe.mirrored);
        for (_, count) in counts.filter(|((own, _), _)| *own == outcome) {
            count.fetch_add(1, Ordering::Relaxed);
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

impl Observe {
    /// A recorder for one worker, to be called on its thread, once.
    pub fn recorder(self: &Arc<Self>) -> Recorder {
        Recorder {
            inbound: self.inbound.worker(Arc::clone(&self.clock)),
            observe: Arc::clone(self),
            number: self.recorders.fetch_add(1, Ordering::Relaxed),
            cache: RefCell::default(),
            own_epoch: Cell::new(self.own_epoch.load(Ordering::Acquire)),
            own_id: RefCell::new(self.own().id.clone()),
            logged: Cell::new((self.clock.now(), 0)),
            line: RefCell::default(),
        }
    }
}
