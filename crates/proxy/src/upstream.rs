//! Sending a request, or opening a tunnel, to some endpoint of a service: choose, connect, send, record, and
//! once more where `decide::retry` says that this is safe. Pools are below: `http1_pool` (HTTP/1.1), `http2_pool`
//! (HTTP/2: in mutual TLS, and plain to the local application or a backend), `connect` (how one of those is made).

pub(crate) mod attempt;
pub(crate) mod connect;
pub(crate) mod http1_pool;
pub(crate) mod http2_pool;
pub(crate) mod retry_state;
pub(crate) mod tunnel;

use crate::body::{Replay, Timed};
use crate::failure::Failure;
use crate::flow::exchange::Exchange;
use crate::request::Head;
use crate::snapshot::HostEntry;
use crate::worker::Worker;
use attempt::{Answer, AttemptError, EndpointVerdict};
use codec::Body;
use decide::retry::{Next, Outcome};
use http::{Response, Version};
use model::Reason;
use model::route::RouteRule;
use model::service::{Protocol, ServicePort};
use retry_state::{Repeat, RetryState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// For a TCP connection to be made. Longer: the endpoint is ejected and another is tried.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For the head of a response where the route sets no timeout, as of servers that send one only with their first
/// message (gRPC streams). Longer: `Reason::RequestTimeout`.
const RESPONSE_WAIT_MAX: Duration = Duration::from_secs(3600);
/// Longest timeout of a route that is taken as written; a longer one counts as this.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A port of a service.
pub(crate) struct Target {
    /// The service and its endpoints.
    pub(crate) entry: Arc<HostEntry>,
    /// The port that clients use.
    pub(crate) port: u16,
    /// The application's port, where an endpoint does not name its own.
    pub(crate) target_port: u16,
    /// What the application speaks.
    pub(crate) protocol: Protocol,
}

impl Target {
    /// The service's port; `None`: it has no such port.
    pub(crate) fn new(entry: &Arc<HostEntry>, port: u16) -> Option<Self> {
        let known: &ServicePort = entry.service.ports.iter().find(|known| known.port == port)?;
        Some(Self {
            entry: Arc::clone(entry),
            port,
            target_port: known.target_port,
            protocol: known.protocol,
        })
    }

    /// The same for a caller who speaks `version`: where nothing is declared, the application is expected to
    /// speak what its caller does.
    #[must_use]
    pub(crate) fn spoken_to_in(mut self, version: Version) -> Self {
        if self.protocol == Protocol::Undeclared && version == Version::HTTP_2 {
            self.protocol = Protocol::Http2;
        }
        self
    }
}

/// Sends a request until somebody answers or nothing more may be tried. Facts go to `exchange` as they
/// become known.
///
/// # Errors
/// The last attempt's failure, or a timeout of the rule.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    target: &Target,
    rule: Option<&RouteRule>,
    head: &Head,
    body: Body,
    exchange: &Rc<Exchange>,
) -> Result<Response<Body>, Failure> {
    let limits = Limits::new(rule);
    let policy = rule.and_then(|rule| rule.retry.as_ref());
    let body = Replay::new(body);
    let mut retries = RetryState::begin(worker, &target.entry);
    loop {
        let Some(index) = retries.choose() else { return Err(retries.into_failure()) };
        if attempt::is_exclusive(target, index) {
            exchange.take_upstream_permit()?;
        }
        exchange.tries(target, index);
        let limit = limits.next();
        let outcome = {
            // Pinned where it is, and only for so long: an attempt is some kilobytes of state.
            let trying = std::pin::pin!(attempt::request(worker, target, index, head, body.next()));
            timeout_at(limit.until, trying).await
        };
        let outcome =
            outcome.unwrap_or(Err(AttemptError { reason: limit.reason, verdict: EndpointVerdict::Neutral }));
        let verdict = match &outcome {
            Ok(answer) => Outcome::Status(answer.response.status().as_u16()),
            Err(error) => Outcome::Failed(error.reason),
        };
        record_result(worker, &target.entry, index, &outcome);
        let repeat = Repeat { policy, method: head.method.as_str(), replayable: body.is_replayable() };
        let next = retries.next(index, repeat, verdict, &outcome);
        if let Next::Limited(reason) = next {
            exchange.limited(reason);
        }
        let Next::Again { after } = next else {
            return match outcome {
                Ok(answer) => {
                    body.forget();
                    Ok(accept(answer, exchange, &limit))
                }
                Err(_) if body.is_broken() => Err(exchange.broken_off().into()),
                Err(error) => Err(error.reason.into()),
            };
        };
        if Instant::now() + after >= limits.total {
            return Err(Reason::RequestTimeout.into());
        }
        // An answer that nobody will read holds a connection.
        drop(outcome);
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
    }
}

/// Passes the answer on. Both timeouts of a route last to the end of the response (Gateway API,
/// `HTTPRouteTimeouts`).
fn accept(answer: Answer, exchange: &Rc<Exchange>, limit: &Limit) -> Response<Body> {
    exchange.answered(answer.peer, answer.lease);
    if let Some(reason) = answer.told {
        exchange.failed(reason);
    }
    let mut response = answer.response;
    if limit.is_set {
        let (late, reason) = (Rc::clone(exchange), limit.reason);
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Timed::body(body, limit.until, move || late.failed(reason));
    }
    response
}

/// Remembers what the attempt says about the endpoint, for all requests to come.
pub(crate) fn record_result<T>(
    worker: &Worker,
    entry: &HostEntry,
    index: usize,
    outcome: &Result<T, AttemptError>,
) {
    let Some(state) = entry.states.get(index) else { return };
    match outcome {
        Ok(_) => state.succeeded(worker.now_ms()),
        Err(AttemptError { verdict: EndpointVerdict::Failed, .. }) => {
            state.failed(worker.now_ms(), &mut *worker.dice.borrow_mut());
        }
        Err(_) => {}
    }
}

/// The rule's timeouts, as points in time.
struct Limits {
    total: Instant,
    has_total: bool,
    each: Option<Duration>,
}

impl Limits {
    fn new(rule: Option<&RouteRule>) -> Self {
        // Zero disables a timeout (Gateway API, `HTTPRouteTimeouts`).
        let given = |timeout: Option<Duration>| {
            timeout.filter(|timeout| !timeout.is_zero()).map(|timeout| timeout.min(TIMEOUT_MAX))
        };
        let total = rule.and_then(|rule| given(rule.request_timeout));
        Self {
            total: Instant::now() + total.unwrap_or(RESPONSE_WAIT_MAX),
            has_total: total.is_some(),
            each: rule.and_then(|rule| given(rule.backend_timeout)),
        }
    }

    /// When the attempt that starts now must be over, with the last byte of its response.
    fn next(&self) -> Limit {
        match self.each.map(|each| Instant::now() + each) {
            Some(each) if each < self.total => {
                Limit { until: each, reason: Reason::AttemptTimeout, is_set: true }
            }
            _ => Limit { until: self.total, reason: Reason::RequestTimeout, is_set: self.has_total },
        }
    }
}

/// The limit of one attempt.
struct Limit {
    until: Instant,
    /// What it is called when it passes.
    reason: Reason,
    /// Whether a route sets it. The other one, [`RESPONSE_WAIT_MAX`], is for the head alone.
    is_set: bool,
}
