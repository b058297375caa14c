//! The facts of one request, gathered as they become known and told once, when it has ended.
//!
//! It is the watch of the response body, so it learns of the end wherever the response goes. When the caller
//! goes away earlier, only a drop shows it; [`Unfinished`] turns that into the same explicit telling.

use crate::failure::{Failure, ReplyTo, Spoken};
use crate::observe::{Direction, RequestProtocol, RequestRecord, Security};
use crate::snapshot::Active;
use crate::upstream::Target;
use crate::upstream::attempt::address;
use crate::upstream::pool1::Lease;
use crate::worker::Worker;
use codec::{Body, BodyEnd, Reply, Watch};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header};
use model::route::RouteRule;
use model::{Hostname, Policy, Reason, SpiffeId};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// One request of one caller.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    direction: Direction,
    downstream: SocketAddr,
    method: Method,
    uri: Uri,
    authority: Option<HeaderValue>,
    version: Version,
    protocol: RequestProtocol,
    started: SystemTime,
    clock: Instant,
    received: Rc<Received>,
    sent: Cell<u64>,
    status: Cell<u16>,
    grpc_status: Cell<Option<u16>>,
    reason: Cell<Option<Reason>>,
    attempts: Cell<u32>,
    upstream: Cell<Option<SocketAddr>>,
    is_told: Cell<bool>,
    facts: RefCell<Facts>,
}

/// What does not fit a cell.
#[derive(Default)]
struct Facts {
    host: Option<Hostname>,
    target: Option<(Arc<crate::snapshot::HostEntry>, usize)>,
    peer: Option<SpiffeId>,
    policy: Option<Arc<Policy>>,
    rule: Option<Arc<RouteRule>>,
    request_id: Option<HeaderValue>,
    active: Option<Active>,
    lease: Option<Lease>,
}

/// Counts the request body.
#[derive(Default)]
struct Received(Cell<u64>);

impl Watch for Received {
    fn data(&self, len: usize) {
        self.0.set(self.0.get() + len as u64);
    }

    fn end(&self, _end: BodyEnd) {}
}

impl Exchange {
    /// A request whose head has arrived.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        direction: Direction,
        downstream: SocketAddr,
        request: &Request<Body>,
    ) -> Rc<Self> {
        let headers = request.headers();
        let is_grpc = super::head::spoken(headers) == Spoken::Grpc;
        Rc::new(Self {
            worker: Rc::clone(worker),
            direction,
            downstream,
            method: request.method().clone(),
            uri: request.uri().clone(),
            authority: headers.get(header::HOST).cloned(),
            version: request.version(),
            protocol: if is_grpc { RequestProtocol::Grpc } else { RequestProtocol::Http },
            started: worker.shared.clock.wall(),
            clock: worker.shared.clock.now(),
            received: Rc::default(),
            sent: Cell::new(0),
            status: Cell::new(0),
            grpc_status: Cell::new(None),
            reason: Cell::new(None),
            attempts: Cell::new(0),
            upstream: Cell::new(None),
            is_told: Cell::new(false),
            facts: RefCell::default(),
        })
    }

    /// Counts the bytes of the request's body from now on.
    pub(crate) fn counting(&self, body: Body) -> Body {
        if body.is_end_stream() { body } else { body.watched(Rc::clone(&self.received) as Rc<dyn Watch>) }
    }

    /// The destination by name (inbound).
    pub(crate) fn is_for(&self, host: Hostname) {
        self.facts.borrow_mut().host = Some(host);
    }

    /// Who calls (inbound).
    pub(crate) fn is_from(&self, peer: SpiffeId) {
        self.facts.borrow_mut().peer = Some(peer);
    }

    /// The rule that it follows.
    pub(crate) fn follows(&self, rule: &Arc<RouteRule>) {
        self.facts.borrow_mut().rule = Some(Arc::clone(rule));
    }

    /// Its `x-request-id`.
    pub(crate) fn is_called(&self, headers: &HeaderMap) {
        self.facts.borrow_mut().request_id = headers.get(super::head::X_REQUEST_ID).cloned();
    }

    /// An attempt at this endpoint begins; it counts as in flight until the response ends.
    pub(crate) fn tries(&self, target: &Target, index: usize) {
        let mut facts = self.facts.borrow_mut();
        facts.active = target.entry.states.get(index).map(|state| state.begin());
        self.upstream.set(target.entry.endpoints.get(index).map(|endpoint| address(endpoint, target)));
        self.attempts.set(self.attempts.get() + 1);
        match &mut facts.target {
            Some((entry, at)) if Arc::ptr_eq(entry, &target.entry) => *at = index,
            other => *other = Some((Arc::clone(&target.entry), index)),
        }
    }

    /// The application was asked at this address (inbound).
    pub(crate) fn asks(&self, application: SocketAddr) {
        self.upstream.set(Some(application));
        self.attempts.set(self.attempts.get() + 1);
    }

    /// The last attempt was answered. The lease goes back when the response was read to its end.
    pub(crate) fn answered(&self, peer: Option<SpiffeId>, lease: Option<Lease>) {
        let mut facts = self.facts.borrow_mut();
        if peer.is_some() {
            facts.peer = peer;
        }
        facts.lease = lease;
    }

    /// It failed for this reason; the reply is ours.
    pub(crate) fn failed(&self, reason: Reason) {
        self.reason.set(Some(reason));
    }

    /// The reply to a failure; told of at its end like any other.
    pub(crate) fn fail(self: &Rc<Self>, failure: &Failure, to: ReplyTo, spoken: Spoken) -> Reply {
        self.failed(failure.reason);
        if failure.policy.is_some() {
            self.facts.borrow_mut().policy.clone_from(&failure.policy);
        }
        match failure.reply(to, spoken) {
            Reply::Response(response) => Reply::Response(self.watch(response)),
            other => {
                self.tell();
                other
            }
        }
    }

    /// Follows the response to its end, and tells then.
    pub(crate) fn watch(self: &Rc<Self>, response: Response<Body>) -> Response<Body> {
        self.status.set(response.status().as_u16());
        let grpc = response.headers().get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
        self.grpc_status.set(grpc);
        response.map(|body| body.watched(Rc::clone(self) as Rc<dyn Watch>))
    }

    /// Tells now: there is no response whose end would do it.
    pub(crate) fn tell(&self) {
        if self.is_told.replace(true) {
            return;
        }
        let facts = std::mem::take(&mut *self.facts.borrow_mut());
        let endpoint = facts.target.as_ref().and_then(|(entry, at)| entry.endpoints.get(*at));
        let service = facts.target.as_ref().map(|(entry, _)| &entry.service);
        let is_inbound = self.direction == Direction::Inbound;
        self.worker.recorder.request(&RequestRecord {
            direction: self.direction,
            host: facts.host.as_ref().or(service.map(|service| &service.host)),
            service,
            peer: facts.peer.as_ref(),
            peer_cluster: endpoint.map(|endpoint| &*endpoint.cluster),
            security: match (&facts.peer, is_inbound || self.attempts.get() > 0) {
                (Some(_), _) => Security::MutualTls,
                (None, true) => Security::None,
                (None, false) => Security::Unknown,
            },
            protocol: self.protocol,
            version: self.version,
            method: self.method.as_str(),
            path: self.uri.path_and_query().map_or("", |path| path.as_str()),
            authority: text(self.authority.as_ref()),
            status: self.status.get(),
            grpc_status: self.grpc_status.get(),
            reason: self.reason.get(),
            policy: facts.policy.as_deref(),
            started: self.started,
            duration: self.worker.shared.clock.now().duration_since(self.clock),
            bytes_received: self.received.0.get(),
            bytes_sent: self.sent.get(),
            downstream: Some(self.downstream),
            upstream: self.upstream.get(),
            route: facts.rule.as_ref().map(|rule| &rule.origin.object),
            request_id: text(facts.request_id.as_ref()),
            attempts: self.attempts.get(),
        });
    }
}

/// What is no ASCII is not shown.
fn text(value: Option<&HeaderValue>) -> &str {
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Watch for Exchange {
    fn data(&self, len: usize) {
        self.sent.set(self.sent.get() + len as u64);
    }

    fn end(&self, end: BodyEnd) {
        let lease = self.facts.borrow_mut().lease.take();
        match end {
            BodyEnd::Complete => {
                if let Some(lease) = lease {
                    lease.give_back();
                }
            }
            BodyEnd::Failed => self.failed(Reason::ResponseReset),
            BodyEnd::Dropped => self.failed(Reason::DownstreamReset),
        }
        self.tell();
    }
}

/// Tells of a request whose caller went away before there was a response.
pub(crate) struct Unfinished<'a>(pub(crate) &'a Exchange);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.0.status.get() == 0 && self.0.reason.get().is_none() {
            self.0.failed(Reason::DownstreamReset);
            self.0.tell();
        }
    }
}
