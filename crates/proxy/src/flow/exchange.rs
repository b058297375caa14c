//! The facts of one request, gathered as they become known and recorded once, when it has ended.
//!
//! It is the watch of the response body, so it learns of the end wherever the response goes. When the caller
//! goes away earlier, only a drop shows it; [`Unfinished`] turns that into the same explicit record.

mod calls;
mod expectations;

use crate::body::{Expectation, StallTimeout, Timed};
use crate::failure::{Failure, ReplyTo, ResponseFormat};
use crate::flow::attempt_facts::AttemptFacts;
use crate::flow::downstream::Downstream;
use crate::grpc::web;
use crate::limits::UpstreamPermit;
use crate::observe::{Direction, RequestProtocol, RequestRecord, Security};
use crate::peer::Peer;
use crate::request::{Head, strip_trailers};
use crate::snapshot::{Active, Snapshot};
use crate::upstream::AttemptLog;
use crate::upstream::attempts::{Begun, Deadline};
use crate::upstream::http1_pool::Lease;
use crate::upstream::send::UpstreamAnswer;
use codec::{Body, BodyEnd, InterimSink, Interims, Reply, Upgrade, Watch};
use decide::authz::{Denial, DryRun};
use decide::grpc::web::WebForm;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use model::route::RouteRule;
use model::{Hostname, Reason};
use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// One request of one caller.
pub(crate) struct Exchange {
    downstream: Rc<Downstream>,
    interims: Interims,
    response_format: ResponseFormat,
    is_head: bool,
    clock: Instant,
    sent: Cell<u64>,
    status: Cell<u16>,
    grpc_status: Cell<Option<u16>>,
    reason: Cell<Option<Reason>>,
    attempts: AttemptFacts,
    is_answered: Cell<bool>,
    is_recorded: Cell<bool>,
    is_delayed: Cell<bool>,
    mirrors: Cell<u32>,
    /// The body of the answer is to be translated to gRPC-Web in this form.
    translated: Cell<Option<WebForm>>,
    facts: RefCell<Gathered>,
}

/// What does not fit a cell.
#[derive(Default)]
struct Gathered {
    host: Option<Hostname>,
    peer: Option<Rc<Peer>>,
    denial: Option<Box<Denial>>,
    dry_run: Option<Box<DryRun>>,
    rule: Option<Arc<RouteRule>>,
    received: Option<Rc<Received>>,
    active: Option<Active>,
    lease: Option<Lease>,
    permit: Option<UpstreamPermit>,
    line: Option<Box<LogEntry>>,
    may_stay: Option<Rc<MayStay>>,
    expectation: Option<Rc<Expectation>>,
}

/// Whether what was let in once would be let in by this configuration too.
pub(crate) type MayStay = dyn Fn(&Downstream, &Snapshot) -> Result<(), Failure>;

/// What only the access log wants; kept when there is one.
struct LogEntry {
    method: Method,
    target: Option<PathAndQuery>,
    authority: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    client: Option<IpAddr>,
    version: Version,
    started: SystemTime,
}

/// Sees the request body pass.
#[derive(Default)]
struct Received {
    bytes: Cell<u64>,
    /// Here, and not among the facts, it outlives a response that ends before the request: whoever still sends the
    /// body holds the connection.
    permit: OnceCell<UpstreamPermit>,
}

impl Watch for Received {
    fn data(&self, len: usize) {
        self.bytes.set(self.bytes.get() + len as u64);
    }

    fn trailers(&self, trailers: &mut HeaderMap) {
        strip_trailers(trailers);
    }

    fn end(&self, _end: BodyEnd) {}
}

/// What a success means to who has asked for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuccessMeans {
    /// An ordinary answer: nobody has heeded the question.
    Answer,
    /// That the tunnel is open.
    Tunnel,
}

/// Whether a request asks for an upgrade.
pub(crate) fn asks_upgrade(request: &Request<Body>) -> Option<SuccessMeans> {
    if request.method() == Method::CONNECT {
        return Some(SuccessMeans::Tunnel);
    }
    let is_http2 = request.version() == Version::HTTP_2;
    let means = if is_http2 { SuccessMeans::Tunnel } else { SuccessMeans::Answer };
    request.extensions().get::<Upgrade>().map(|_| means)
}

impl Exchange {
    /// A request whose head has arrived.
    pub(crate) fn begin(
        downstream: &Rc<Downstream>,
        request: &Request<Body>,
        interims: Interims,
    ) -> Rc<Self> {
        let worker = &downstream.worker;
        let line = worker.recorder.is_logging().then(|| {
            Box::new(LogEntry {
                method: request.method().clone(),
                target: request.uri().path_and_query().cloned(),
                authority: request.headers().get(header::HOST).cloned(),
                request_id: None,
                client: None,
                version: request.version(),
                started: worker.shared.clock.wall(),
            })
        });
        Rc::new(Self {
            downstream: Rc::clone(downstream),
            interims,
            response_format: crate::request::response_format(request.headers()),
            is_head: request.method() == Method::HEAD,
            clock: worker.shared.clock.now(),
            sent: Cell::new(0),
            status: Cell::new(0),
            grpc_status: Cell::new(None),
            reason: Cell::new(None),
            attempts: AttemptFacts::default(),
            is_answered: Cell::new(false),
            is_recorded: Cell::new(false),
            is_delayed: Cell::new(false),
            mirrors: Cell::new(0),
            translated: Cell::new(None),
            facts: RefCell::new(Gathered { line, ..Gathered::default() }),
        })
    }

    /// Counts the bytes of the request's body from now on.
    pub(crate) fn counting(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let received = Rc::<Received>::default();
        let mut facts = self.facts.borrow_mut();
        if let Some(permit) = facts.permit.take() {
            let _ = received.permit.set(permit);
        }
        facts.received = Some(Rc::clone(&received));
        body.watched(received)
    }

    /// Waits for the request's body no longer than `wait` (edge).
    pub(crate) fn with_stall_timeout(self: &Rc<Self>, body: Body, version: Version, wait: Duration) -> Body {
        // A gRPC stream may be silent for as long as it likes.
        let is_stream = version == Version::HTTP_2 && self.response_format == ResponseFormat::Grpc;
        let starved = Rc::clone(self);
        StallTimeout::body(body, wait, move || starved.is_starved(is_stream))
    }

    /// The destination by name (inbound).
    pub(crate) fn set_host(&self, host: Hostname) {
        self.facts.borrow_mut().host = Some(host);
    }

    /// The rule that it follows.
    pub(crate) fn follows(&self, rule: Option<&Arc<RouteRule>>) {
        self.facts.borrow_mut().rule = rule.map(Arc::clone);
    }

    /// The canonical request: what is decided on is what is logged.
    pub(crate) fn set_head(&self, head: &Head) {
        if let Some(line) = &mut self.facts.borrow_mut().line {
            line.target = Some(head.target.clone());
            line.authority = Some(head.authority.value().clone());
            line.request_id = head.headers.get(crate::request::X_REQUEST_ID).cloned();
            line.client = head.client;
            if head.upgrade.is_some() {
                line.method = head.method.clone();
            }
        }
    }

    /// What policies that are not enforced say of it (inbound).
    pub(crate) fn set_dry_run(&self, dry_run: Option<DryRun>) {
        if let Some(dry_run) = dry_run {
            self.facts.borrow_mut().dry_run = Some(Box::new(dry_run));
        }
    }

    /// It needs an upstream connection of its own, and keeps the permit for one until it has ended and its body was
    /// sent.
    ///
    /// # Errors
    /// [`Reason::TooManyConnections`].
    fn take_upstream_permit(&self) -> Result<(), Reason> {
        let mut facts = self.facts.borrow_mut();
        let Gathered { received, permit, .. } = &mut *facts;
        let in_body = received.as_ref().map(|received| &received.permit);
        if permit.is_some() || in_body.is_some_and(|permit| permit.get().is_some()) {
            return Ok(());
        }
        let taken = self.downstream.share.take().ok_or(Reason::TooManyConnections)?;
        match in_body {
            Some(in_body) => drop(in_body.set(taken)),
            None => *permit = Some(taken),
        }
        Ok(())
    }

    /// Passes an answer on. A lease goes back when it was read to its end, by the deadline of the route at the latest.
    pub(crate) fn pass_on(self: &Rc<Self>, answer: UpstreamAnswer) -> Response<Body> {
        self.is_answered.set(true);
        {
            let mut facts = self.facts.borrow_mut();
            facts.peer = answer.peer;
            facts.lease = answer.lease;
            facts.active = answer.active;
            if let Some(expectation) = &facts.expectation {
                expectation.answered();
            }
        }
        if let Some(reason) = answer.told {
            self.failed(reason);
        }
        let mut response = answer.response;
        if let Some(Deadline { until, reason, .. }) = answer.deadline {
            let late = Rc::clone(self);
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = Timed::body(body, until, move || late.failed(reason));
        }
        response
    }

    /// The caller keeps us waiting for its body. Whether that is the end of it: while the answer is under way, and in
    /// a stream always, a body may be as slow as caller and callee like. After it, nobody waits for more.
    fn is_starved(&self, is_stream: bool) -> bool {
        if self.is_recorded.get() {
            return true;
        }
        if is_stream || self.is_answered.get() {
            return false;
        }
        self.failed(Reason::RequestBodyTimeout);
        true
    }

    /// When its head had arrived.
    pub(crate) fn begun(&self) -> Instant {
        self.clock
    }

    /// A fault filter makes it wait.
    pub(crate) fn delayed(&self) {
        self.is_delayed.set(true);
    }

    /// So many copies of it were made.
    pub(crate) fn mirrored(&self, copies: u32) {
        self.mirrors.set(copies);
    }

    /// It failed for this reason; the reply is ours.
    pub(crate) fn failed(&self, reason: Reason) {
        self.reason.set(Some(reason));
    }

    /// The same, with the policies that denied it.
    pub(crate) fn fails(&self, failure: &Failure) {
        self.failed(failure.reason);
        if failure.denial.is_some() {
            self.facts.borrow_mut().denial.clone_from(&failure.denial);
        }
    }

    /// Once upgraded, it is to stay for as long as this allows it.
    #[cold]
    pub(crate) fn stays_while(
        &self,
        may_stay: impl Fn(&Downstream, &Snapshot) -> Result<(), Failure> + 'static,
    ) {
        self.facts.borrow_mut().may_stay = Some(Rc::new(may_stay));
    }

    /// What was said in [`Self::stays_while`].
    pub(crate) fn may_stay(&self) -> Option<Rc<MayStay>> {
        self.facts.borrow().may_stay.clone()
    }

    /// The reply to a failure; logged at its end like any other.
    pub(crate) fn fail(self: &Rc<Self>, failure: &Failure, to: ReplyTo) -> Reply {
        self.fails(failure);
        // Nobody reads to its end what was answered to it, if anything was: that connection is not used again.
        self.facts.borrow_mut().lease = None;
        match failure.reply(to, self.response_format) {
            Reply::Response(response) => Reply::Response(self.watch(response)),
            other => {
                self.record();
                other
            }
        }
    }

    /// Where it came in.
    pub(crate) fn downstream(&self) -> &Downstream {
        &self.downstream
    }

    /// What was answered with something that is no response with an end.
    pub(crate) fn set_status(&self, status: StatusCode) {
        self.status.set(status.as_u16());
    }

    /// Records it as a stream that was upgraded, which has ended after so many bytes from the caller and to it.
    pub(crate) fn carried(&self, received: u64, sent: u64) {
        self.sent.set(sent);
        let carried = Received { bytes: Cell::new(received), ..Received::default() };
        self.facts.borrow_mut().received = Some(Rc::new(carried));
        self.record();
    }

    /// Follows the response to its end, and tells then.
    pub(crate) fn watch(self: &Rc<Self>, mut response: Response<Body>) -> Response<Body> {
        self.status.set(response.status().as_u16());
        self.note_grpc_status(response.headers());
        let body = std::mem::take(response.body_mut()).watched(Rc::clone(self) as Rc<dyn Watch>);
        *response.body_mut() = match self.translated.get() {
            None => body,
            Some(form) => web::body(body, form),
        };
        response
    }

    /// Records now: there is no response whose end would do it.
    pub(crate) fn record(&self) {
        if self.is_recorded.replace(true) {
            return;
        }
        let facts = std::mem::take(&mut *self.facts.borrow_mut());
        if let Some(expectation) = &facts.expectation {
            expectation.ended();
        }
        let service = self.attempts.service();
        let line = facts.line.as_ref();
        let target = line.and_then(|line| line.target.as_ref());
        let client = line.and_then(|line| line.client);
        let direction = self.downstream.direction();
        let peer = match direction {
            Direction::Inbound => self.downstream.peer(),
            _ => facts.peer.as_ref(),
        };
        let worker = &self.downstream.worker;
        worker.recorder.request(&RequestRecord {
            direction,
            host: facts.host.as_ref().or(service.map(|service| &service.host)),
            service,
            peer: peer.map(|peer| &**peer),
            peer_cluster: self.attempts.endpoint().map(|endpoint| &*endpoint.cluster),
            security: match (peer, self.is_answered.get()) {
                (Some(_), _) => Security::MutualTls,
                (None, true) => Security::None,
                (None, false) => Security::Unknown,
            },
            protocol: match self.response_format {
                ResponseFormat::Grpc | ResponseFormat::GrpcWeb { .. } => RequestProtocol::Grpc,
                ResponseFormat::Http => RequestProtocol::Http,
            },
            version: line.map_or(Version::HTTP_11, |line| line.version),
            method: line.map_or("", |line| line.method.as_str()),
            path: target.map_or("", |target| target.as_str()),
            authority: text(line.and_then(|line| line.authority.as_ref())),
            status: self.status.get(),
            grpc_status: self.grpc_status.get(),
            reason: self.reason.get(),
            limited: self.attempts.limited(),
            is_delayed: self.is_delayed.get(),
            mirrors: self.mirrors.get(),
            denial: facts.denial.as_deref(),
            dry_run: facts.dry_run.as_deref(),
            started: line.map_or(SystemTime::UNIX_EPOCH, |line| line.started),
            duration: worker.shared.clock.now().duration_since(self.clock),
            bytes_received: facts.received.as_ref().map_or(0, |received| received.bytes.get()),
            bytes_sent: self.sent.get(),
            // No port is logged for it; Envoy writes 0 too.
            downstream: Some(client.map_or(self.downstream.address, |ip| SocketAddr::new(ip, 0))),
            upstream: self.attempts.address(),
            route: facts.rule.as_ref().map(|rule| &rule.origin.object),
            request_id: text(line.and_then(|line| line.request_id.as_ref())),
            tls: self.downstream.edge_tls(),
            attempts: self.attempts.count(),
        });
    }
}

impl AttemptLog for Exchange {
    fn began(&self, attempt: &Begun<'_>) -> Result<(), Reason> {
        if attempt.is_exclusive {
            self.take_upstream_permit()?;
        }
        self.attempts.began(attempt);
        Ok(())
    }

    fn limited(&self, by: Reason) {
        self.attempts.set_limited(by);
    }

    /// Of the request or the response: who did so has said why, else the caller went away.
    fn broken_off(&self) -> Reason {
        self.reason.get().unwrap_or(Reason::DownstreamReset)
    }
}

/// Whatever an upstream says before its response is passed on; no attempt is over by it.
impl InterimSink for Exchange {
    fn interim(&self, mut head: Response<()>) {
        if head.status() == StatusCode::CONTINUE {
            return self.is_invited();
        }
        crate::request::strip(head.headers_mut());
        self.interims.send(head);
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

    fn trailers(&self, trailers: &mut HeaderMap) {
        strip_trailers(trailers);
        self.note_grpc_status(trailers);
    }

    fn end(&self, end: BodyEnd) {
        let lease = self.facts.borrow_mut().lease.take();
        match end {
            BodyEnd::Complete => {
                if let Some(lease) = lease {
                    lease.give_back();
                }
            }
            // Unless who broke it off has said why.
            BodyEnd::Failed => self.failed(self.reason.get().unwrap_or(Reason::ResponseReset)),
            BodyEnd::Unread => self.failed(Reason::StreamIdle),
            BodyEnd::Shed => self.failed(Reason::BudgetExhausted),
            // The body of an answer to HEAD is never asked for.
            BodyEnd::Dropped if self.is_head => {}
            BodyEnd::Dropped => self.failed(self.broken_off()),
        }
        self.record();
    }
}

/// Tells of a request whose caller went away before there was a response.
pub(crate) struct Unfinished<'a>(pub(crate) &'a Exchange);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.0.status.get() == 0 {
            self.0.failed(self.0.broken_off());
            self.0.record();
        }
    }
}
