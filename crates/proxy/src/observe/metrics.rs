//! Istio's request and TCP metrics, as they are kept and read: one writer per counter, summed when they are read. Who
//! writes is `recorder`.

use super::access_log::{AccessLog, denying_policy, policy_name};
use super::inbound::InboundCounts;
use super::labels::{self, Own, SeriesKey};
use super::series::{Certificate, Series};
use daemon::clock::Clock;
use decide::authz::{Denial, DryRun};
use model::Reason;
use model::authz::Action;
use model::observed::ObservedInbound;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Distinct label sets of one proxy. What exceeds it is counted in a series `reporter="overflow"`.
pub(crate) const SERIES_MAX: usize = 2000;
/// Policies whose matches are counted without being enforced; more are counted together.
const DRY_RUN_SERIES_MAX: usize = 1000;
/// Policies whose denials are counted; more are counted together.
const DENYING_MAX: usize = 1000;

/// The series of each recorder, by its number.
type OfRecorders = Vec<(usize, Arc<Series>)>;

/// How the copy of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MirrorOutcome {
    /// It was sent, and answered somehow.
    Answered,
    /// It was sent, or should have been, and nothing came of it.
    Failed,
    /// There was no room for it, or its request broke off or was too long.
    Dropped,
}

impl MirrorOutcome {
    pub(super) const ALL: [(Self, &str); 3] =
        [(Self::Answered, "answered"), (Self::Failed, "failed"), (Self::Dropped, "dropped")];
}

/// All that is recorded in this process. Shared by all threads.
pub struct Observe {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) log: Option<AccessLog>,
    own: Mutex<Arc<Own>>,
    // Moves when `own` changes, so that recorders resolve their labels anew.
    pub(super) own_epoch: AtomicU64,
    // By rendered labels. Taken when a worker meets a label set for the first time, and to render; never for
    // an ordinary request.
    series: Mutex<BTreeMap<Arc<str>, OfRecorders>>,
    pub(super) recorders: AtomicUsize,
    // Matches of policies that are not enforced, by name and action.
    dry_run_matches: Mutex<BTreeMap<(String, &'static str), u64>>,
    // Denials by policy.
    denied: Mutex<BTreeMap<String, u64>>,
    // Handshakes with callers from outside, by version and cipher suite.
    handshakes: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    pub(super) refused: Vec<AtomicU64>,
    // In the order of `MirrorOutcome::ALL`.
    pub(super) mirrored: [AtomicU64; MirrorOutcome::ALL.len()],
    pub(super) inbound: InboundCounts,
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
            inbound: InboundCounts::new(clock.wall()),
            clock,
            log,
            own: Mutex::default(),
            own_epoch: AtomicU64::new(0),
            series: Mutex::default(),
            recorders: AtomicUsize::new(0),
            dry_run_matches: Mutex::default(),
            denied: Mutex::default(),
            handshakes: Mutex::default(),
            refused: Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            mirrored: Default::default(),
            certificate: Mutex::default(),
            renewals: AtomicU64::new(0),
            renewal_refused: AtomicU64::new(0),
            renewal_failures: AtomicU64::new(0),
            is_connected: AtomicU64::new(0),
            connects: AtomicU64::new(0),
        })
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

    /// Who came to the application's ports since this process started.
    pub fn inbound(&self, report_every: Duration) -> ObservedInbound {
        self.inbound.sum(report_every)
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

    pub(super) fn count_dry_run(&self, dry_run: &DryRun) {
        let mut dry_run_matches = self.dry_run_matches.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, _) in &dry_run.matched {
            let mut key = (policy_name(policy), action_name(policy.action));
            if dry_run_matches.len() >= DRY_RUN_SERIES_MAX && !dry_run_matches.contains_key(&key) {
                key = ("other".to_owned(), "other");
            }
            *dry_run_matches.entry(key).or_default() += 1;
        }
    }

    /// Handshakes with callers from outside: version, cipher suite, count.
    pub(super) fn handshakes(&self) -> Vec<(&'static str, &'static str, u64)> {
        let handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        handshakes.iter().map(|((version, cipher), count)| (*version, *cipher, *count)).collect()
    }

    /// Both are words of ours, of which there are few.
    pub(super) fn count_handshake(&self, version: &'static str, cipher: &'static str) {
        let mut handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        *handshakes.entry((version, cipher)).or_default() += 1;
    }

    /// Denials of requests and connections: policy, count.
    pub(super) fn denied(&self) -> Vec<(String, u64)> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.iter().map(|(policy, count)| (policy.clone(), *count)).collect()
    }

    pub(super) fn count_denial(&self, denial: &Denial) {
        let mut policy = denying_policy(denial);
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() >= DENYING_MAX && !denied.contains_key(&policy) {
            policy = "other".to_owned();
        }
        *denied.entry(policy).or_default() += 1;
    }

    /// The series of one recorder under these labels, or under the overflow's when there are too many. There is
    /// one for each recorder and text, however often it is asked for.
    pub(super) fn open_series(&self, key: &SeriesKey<'_>, recorder: usize) -> Arc<Series> {
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

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Audit => "audit",
    }
}
