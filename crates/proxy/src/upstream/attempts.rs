//! The one loop of attempts: choose an endpoint, begin, do what is to be done there, record how it went, and once
//! more where `decide::retry` says that this is safe. What is done, in `send` and `tunnel`, knows of one endpoint
//! only; where to, in `retry_state`, knows nothing of what is done.

use super::attempt_error::{AttemptError, EndpointVerdict};
use super::retry_state::{Repeat, RetryState};
use crate::snapshot::{Active, HostEntry};
use decide::grpc::{self, Limit};
use decide::retry::{self, Next, Outcome};
use model::Reason;
use model::route::RouteRule;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// For the head of a response where the route sets no timeout, as of servers that send one only with their first
/// message (gRPC streams). Longer: `Reason::RequestTimeout`.
const RESPONSE_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Longest timeout of a route that is taken as written; a longer one counts as this.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What can be tried at one endpoint after the other.
pub(crate) trait Repeatable {
    /// What comes of it.
    type Done;

    /// One attempt at endpoint `index`, which somebody has limited to `until`.
    async fn attempt(&self, index: usize, until: Option<Instant>) -> Result<Self::Done, AttemptError>;

    /// Where that is.
    fn address(&self, index: usize) -> Option<SocketAddr>;

    /// Whether it has a connection for itself there while it lasts.
    fn is_exclusive(&self, _index: usize) -> bool {
        false
    }

    /// The status that came of it; 200 for a tunnel that stands.
    fn status(_done: &Self::Done) -> u16 {
        200
    }

    /// The status of gRPC, where it ends without a message.
    fn grpc_status(_done: &Self::Done) -> Option<u16> {
        None
    }

    /// Whether it may be repeated, as far as it lies with it.
    fn repeat(&self) -> Repeat<'_>;

    /// It will be: what the last attempt still does must not go on.
    fn retire(&self) {}
}

/// Who keeps what becomes known of the attempts.
pub(crate) trait AttemptLog {
    /// One begins.
    ///
    /// # Errors
    /// It may not.
    fn began(&self, attempt: &Begun<'_>) -> Result<(), Reason>;

    /// There would be one more but for this.
    fn limited(&self, by: Reason);

    /// Why the body of the request was broken off: the caller's doing, or that of who waited for it.
    fn broken_off(&self) -> Reason {
        Reason::DownstreamReset
    }
}

/// An attempt that begins.
pub(crate) struct Begun<'a> {
    /// The service; `None`: it goes to the local application.
    pub(crate) entry: Option<&'a Arc<HostEntry>>,
    /// Which of its endpoints.
    pub(crate) index: usize,
    /// Where that is.
    pub(crate) address: Option<SocketAddr>,
    /// It needs an upstream connection of its own.
    pub(crate) is_exclusive: bool,
}

/// An attempt that succeeded, and was the last.
pub(crate) struct Attempted<T> {
    /// What came of it.
    pub(crate) done: T,
    /// Counts as in flight at the endpoint while it is held.
    pub(crate) active: Option<Active>,
    /// When all of it must be over.
    pub(crate) deadline: Option<Deadline>,
}

/// Tries until it succeeds or nothing more may be tried. What becomes known goes to `log` at once.
///
/// # Errors
/// The last attempt's, or a timeout.
pub(super) async fn run<R: Repeatable>(
    what: &R,
    retries: &mut RetryState<'_>,
    timeouts: &Timeouts,
    log: &impl AttemptLog,
) -> Result<Attempted<R::Done>, Reason> {
    loop {
        let Some(index) = retries.choose() else { return Err(retries.last_reason()) };
        log.began(&Begun {
            entry: retries.entry(),
            index,
            address: what.address(index),
            is_exclusive: what.is_exclusive(index),
        })?;
        let active = retries.begin_at(index);
        let deadline = timeouts.next();
        // An answer that nobody will read holds a connection, and some room in this future: it goes before the wait.
        let after = {
            let until = deadline.as_ref().filter(|deadline| deadline.is_set).map(|deadline| deadline.until);
            let outcome = within(&deadline, pin!(what.attempt(index, until))).await;
            retries.record(index, &outcome);
            let verdict = match &outcome {
                Ok(done) => ended(what, done),
                Err(error) => Outcome::Failed(error.reason),
            };
            let next = retries.next(index, what.repeat(), verdict, &outcome);
            if let Next::Limited(reason) = next {
                log.limited(reason);
            }
            let Next::Again { after } = next else {
                let deadline = deadline.filter(|deadline| deadline.is_set);
                return outcome
                    .map(|done| Attempted { done, active, deadline })
                    .map_err(|error| error.reason);
            };
            what.retire();
            after
        };
        drop(active);
        if timeouts.total.is_some_and(|total| Instant::now() + after >= total) {
            return Err(timeouts.reason());
        }
        if !after.is_zero() {
            sleep(after).await;
        }
    }
}

fn ended<R: Repeatable>(what: &R, done: &R::Done) -> Outcome {
    let asks_grpc = what.repeat().policy.is_some_and(retry::asks_grpc_status);
    let grpc = if asks_grpc { R::grpc_status(done) } else { None };
    grpc.map_or_else(|| Outcome::Status(R::status(done)), Outcome::Grpc)
}

/// Not longer than until `deadline`. The attempt is some kilobytes of state, so it stays where it is pinned.
async fn within<T>(
    deadline: &Option<Deadline>,
    attempt: Pin<&mut impl Future<Output = Result<T, AttemptError>>>,
) -> Result<T, AttemptError> {
    let Some(Deadline { until, reason, .. }) = *deadline else { return attempt.await };
    let late = |_| Err(AttemptError { reason, verdict: EndpointVerdict::Neutral });
    timeout_at(until, attempt).await.unwrap_or_else(late)
}

/// The timeouts of rule and caller, as points in time.
pub(super) struct Timeouts {
    total: Option<Instant>,
    /// What `total` is called, where somebody has set it.
    set_by: Option<Reason>,
    each: Option<Duration>,
}

impl Timeouts {
    /// Attempts have their own.
    pub(super) const NONE: Self = Self { total: None, set_by: None, each: None };

    /// Those of `rule`, from now on, where its caller gives it `asked`.
    pub(super) fn new(rule: Option<&RouteRule>, asked: Option<Duration>) -> Self {
        // Zero disables a timeout (Gateway API, `HTTPRouteTimeouts`).
        let given = |timeout: Option<Duration>| {
            timeout.filter(|timeout| !timeout.is_zero()).map(|timeout| timeout.min(TIMEOUT_MAX))
        };
        let limit = grpc::limit(rule.and_then(|rule| given(rule.request_timeout)), given(asked));
        Self {
            total: Some(Instant::now() + limit.map_or(RESPONSE_WAIT_MAX, |limit| limit.after)),
            set_by: limit.map(|limit| limit.reason),
            each: rule.and_then(|rule| given(rule.backend_timeout)),
        }
    }

    /// That of the caller alone.
    pub(super) fn asked(asked: Option<Duration>) -> Self {
        match grpc::limit(None, asked) {
            Some(Limit { after, reason }) => {
                let total = Some(Instant::now() + after.min(TIMEOUT_MAX));
                Self { total, set_by: Some(reason), each: None }
            }
            None => Self::NONE,
        }
    }

    fn reason(&self) -> Reason {
        self.set_by.unwrap_or(Reason::RequestTimeout)
    }

    /// When the attempt that starts now must be over, with the last byte of its response.
    fn next(&self) -> Option<Deadline> {
        let total = self.total?;
        Some(match self.each.map(|each| Instant::now() + each) {
            Some(each) if each < total => {
                Deadline { until: each, reason: Reason::AttemptTimeout, is_set: true }
            }
            _ => Deadline { until: total, reason: self.reason(), is_set: self.set_by.is_some() },
        })
    }
}

/// The limit of one attempt.
pub(crate) struct Deadline {
    /// When it passes.
    pub(crate) until: Instant,
    /// What it is called then.
    pub(crate) reason: Reason,
    /// Whether a route or the caller sets it. The other one, [`RESPONSE_WAIT_MAX`], is for the head alone.
    is_set: bool,
}
