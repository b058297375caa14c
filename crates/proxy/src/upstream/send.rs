//! A request to a service or to the local application: over plain HTTP/1.1 or HTTP/2, or over the mesh.

use super::application::ApplicationAddress;
use super::attempt_error::{AttemptError, EndpointVerdict};
use super::attempts::{self, AttemptLog, Attempted, Deadline, Repeatable, Timeouts};
use super::connect::Age;
use super::http1_pool::Lease;
use super::http2_pool::Leased;
use super::retry_state::{Repeat, RetryState};
use super::upgrade::{self, Http1Handshake, Http2Handshake};
use super::{Place, Target, Upstream};
use crate::body::Replay;
use crate::failure;
use crate::grpc::GrpcCall;
use crate::peer::Peer;
use crate::request::{HEADER_DESTINATION, Head, Outgoing};
use crate::snapshot::{Active, Retries};
use codec::{Body, InterimSink, SendError, SendErrorKind, Upgrade};
use decide::filter::RequestHead;
use decide::listener::AppProtocol;
use futures_util::TryFutureExt;
use http::{HeaderValue, Request, Response};
use model::Reason;
use model::route::{RetryPolicy, RouteRule};
use model::service::{Endpoint, Protocol, Reach};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::time::Instant;

/// An answer of which nothing was passed on yet.
pub(crate) struct UpstreamAnswer {
    /// Head and body.
    pub(crate) response: Response<Body>,
    /// Who gave it; `None`: plaintext.
    pub(crate) peer: Option<Rc<Peer>>,
    /// To be given back when the body was read.
    pub(crate) lease: Option<Lease>,
    /// Why the callee's proxy gave it, and not the application.
    pub(crate) told: Option<Reason>,
    /// Counts as in flight while it is held.
    pub(crate) active: Option<Active>,
    /// When the last byte of its body must have come. Both timeouts of a route last to the end of the response
    /// (Gateway API, `HTTPRouteTimeouts`).
    pub(crate) deadline: Option<Deadline>,
}

impl UpstreamAnswer {
    pub(super) fn new(response: Response<Body>) -> Self {
        Self { response, peer: None, lease: None, told: None, active: None, deadline: None }
    }
}

/// A port of the local application.
#[derive(Clone, Copy)]
pub(crate) struct LocalApplication<'a> {
    /// Which one.
    pub(crate) address: ApplicationAddress,
    /// What it speaks.
    pub(crate) protocol: AppProtocol,
    /// What it had lately of requests and retries.
    pub(crate) budget: &'a Retries,
    /// When the request began, by the worker's `Uptime`.
    pub(crate) begun_ms: u64,
    /// What is asked is gRPC.
    pub(crate) grpc: Option<GrpcCall>,
}

impl Upstream {
    /// Sends a request to a service until somebody answers or nothing more may be tried. The body is not in the
    /// future, which would hold a copy of it.
    ///
    /// # Errors
    /// The last attempt's failure, or a timeout of the rule.
    pub(crate) fn send<'a>(
        &'a self,
        target: &'a Target,
        rule: Option<&'a RouteRule>,
        grpc: Option<GrpcCall>,
        head: &'a mut Head,
        body: Body,
        log: &'a (impl AttemptLog + InterimSink),
    ) -> impl Future<Output = Result<UpstreamAnswer, Reason>> {
        let policy = rule.and_then(|rule| rule.retry.as_deref());
        let hash = target.entry.priorities.hash(&head.view());
        let head = head.outgoing(&self.lists);
        let sending =
            Sending { upstream: self, target, policy, grpc, head, body: Replay::new(body), interims: log };
        let mut retries = RetryState::begin(self, &target.entry).with_hash(hash);
        let timeouts = Timeouts::new(rule, grpc.and_then(|call| call.left));
        async move {
            let sent = attempts::run(&sending, &mut retries, &timeouts, log).await;
            finish(sent, &sending.body, log)
        }
    }

    /// Hands a request to the local application; once more when only an old connection had ended.
    ///
    /// # Errors
    /// The last attempt's failure.
    pub(crate) fn deliver<'a>(
        &'a self,
        to: LocalApplication<'a>,
        head: &'a mut Head,
        body: Body,
        log: &'a (impl AttemptLog + InterimSink),
    ) -> impl Future<Output = Result<UpstreamAnswer, Reason>> {
        let head = head.outgoing(&self.lists);
        let delivery = Delivery { upstream: self, to, head, body: Replay::new(body), interims: log };
        let mut retries = RetryState::at(self, to.budget, to.begun_ms);
        let timeouts = Timeouts::asked(to.grpc.and_then(|call| call.left));
        async move {
            let delivered = attempts::run(&delivery, &mut retries, &timeouts, log).await;
            finish(delivered, &delivery.body, log)
        }
    }

    /// Over HTTP/1.1. The request is made when there is a connection for it; one of which nothing was
    /// written goes on over a new connection.
    async fn send_http1(
        &self,
        to: Place<'_>,
        request: impl FnOnce() -> Request<Body>,
        interims: &dyn InterimSink,
    ) -> Result<UpstreamAnswer, AttemptError> {
        let mut lease = self.http1.lease(to).await?;
        let outcome = match lease.send(request(), interims).await {
            Err(SendError { kind: SendErrorKind::NotSent, request: Some(request), .. })
                if lease.age == Age::Reused =>
            {
                lease = Box::pin(self.http1.open(to)).await?;
                lease.send(*request, interims).await
            }
            outcome => outcome,
        };
        match outcome {
            Ok(response) => Ok(UpstreamAnswer { lease: Some(lease), ..UpstreamAnswer::new(response) }),
            Err(error) => {
                let error = attempt_error(&error, lease.age, Alive::No);
                if error.verdict == EndpointVerdict::StaleConnection {
                    // Connections as old as this one will have ended too.
                    self.http1.forget(to);
                }
                Err(error)
            }
        }
    }

    /// Over HTTP/2, for applications that want it.
    async fn send_http2(
        &self,
        to: Place<'_>,
        request: impl FnOnce() -> Request<Body>,
        interims: &dyn InterimSink,
    ) -> Result<UpstreamAnswer, AttemptError> {
        let leased = self.http2.lease_plain(to).await?;
        Ok(UpstreamAnswer::new(send_on(&leased, request(), interims).await?))
    }

    async fn send_mesh(
        &self,
        target: &Target,
        endpoint: &Endpoint,
        request: impl FnOnce() -> Request<Body>,
        interims: &dyn InterimSink,
    ) -> Result<UpstreamAnswer, AttemptError> {
        let leased = self.lease_mesh(target, endpoint).await?;
        let request = || {
            let mut request = request();
            request.headers_mut().insert(HEADER_DESTINATION, destination(target, endpoint));
            request
        };
        let response = send_on(&leased, request(), interims).await?;
        told_by_proxy(&leased, response)
    }

    /// Asks an application for another protocol.
    async fn upgrade(
        &self,
        to: Place<'_>,
        speaks: AppProtocol,
        asked: &Upgrade,
        mut request: Request<Body>,
        interims: &dyn InterimSink,
    ) -> Result<UpstreamAnswer, AttemptError> {
        match speaks {
            AppProtocol::Http1 => {
                let handshake = Http1Handshake::begin(asked, &mut request, &self.dice);
                let mut answer = self.send_http1(to, || request, interims).await?;
                handshake.check(&mut answer.response)?;
                Ok(answer)
            }
            AppProtocol::Http2 => {
                let leased = self.http2.lease_plain(to).await?;
                let handshake = Http2Handshake::with_application(asked, &request);
                Ok(UpstreamAnswer::new(upgrade_on(&leased, handshake, request, interims).await?))
            }
        }
    }

    /// Asks another proxy for it.
    async fn upgrade_mesh(
        &self,
        target: &Target,
        endpoint: &Endpoint,
        asked: &Upgrade,
        mut request: Request<Body>,
        interims: &dyn InterimSink,
    ) -> Result<UpstreamAnswer, AttemptError> {
        let leased = self.lease_mesh(target, endpoint).await?;
        request.headers_mut().insert(HEADER_DESTINATION, destination(target, endpoint));
        upgrade::tell_method(&mut request);
        let handshake = Http2Handshake::with_proxy(asked);
        let mut response = upgrade_on(&leased, handshake, request, interims).await?;
        upgrade::hear_status(&mut response);
        told_by_proxy(&leased, response)
    }
}

/// On a stream of its own, where the peer takes upgrades.
async fn upgrade_on(
    leased: &Leased,
    handshake: Http2Handshake<'_>,
    request: Request<Body>,
    interims: &dyn InterimSink,
) -> Result<Response<Body>, AttemptError> {
    upgrade::wait_for_offer(&leased.connection.sender).await?;
    let mut response = send_on(leased, request, interims).await?;
    handshake.complete(&mut response);
    Ok(response)
}

/// What came from another proxy: an answer of its application, or of its own.
fn told_by_proxy(leased: &Leased, response: Response<Body>) -> Result<UpstreamAnswer, AttemptError> {
    let told = failure::told(response.headers());
    match told {
        // A denial is the final word of a policy, for the caller as well: an answer, and no failure that could be
        // mended elsewhere.
        None | Some(Reason::DeniedUpstream) => {
            Ok(UpstreamAnswer { peer: leased.connection.peer.clone(), told, ..UpstreamAnswer::new(response) })
        }
        // The callee's proxy tells what it saw itself, so that we judge as if we had seen it.
        Some(reason) => Err(AttemptError { reason, verdict: EndpointVerdict::Neutral }),
    }
}

/// A request to a service.
struct Sending<'a> {
    upstream: &'a Upstream,
    target: &'a Target,
    policy: Option<&'a RetryPolicy>,
    grpc: Option<GrpcCall>,
    head: Outgoing<'a>,
    body: Replay,
    interims: &'a dyn InterimSink,
}

impl Sending<'_> {
    fn endpoint(&self, index: usize) -> Option<&Endpoint> {
        self.target.entry.endpoints.get(index)
    }

    /// Rare and large: it is no part of each request's future.
    async fn upgrade(
        &self,
        endpoint: &Endpoint,
        asked: &Upgrade,
        request: Request<Body>,
    ) -> Result<UpstreamAnswer, AttemptError> {
        let (upstream, target) = (self.upstream, self.target);
        let speaks = match target.protocol {
            Protocol::Http2 => AppProtocol::Http2,
            _ => AppProtocol::Http1,
        };
        match target.reach(endpoint) {
            Reach::Plain => {
                upstream.upgrade(target.place(endpoint), speaks, asked, request, self.interims).await
            }
            Reach::Native | Reach::Gateway => {
                upstream.upgrade_mesh(target, endpoint, asked, request, self.interims).await
            }
            Reach::Hbone => Err(Reason::ConnectFailed.into()),
        }
    }
}

impl Repeatable for Sending<'_> {
    type Done = UpstreamAnswer;

    async fn attempt(&self, index: usize, until: Option<Instant>) -> Result<UpstreamAnswer, AttemptError> {
        let Some(endpoint) = self.endpoint(index) else { return Err(Reason::NoEndpoint.into()) };
        let request = || GrpcCall::timed(self.grpc, until, self.head.request(self.body.next()));
        let (upstream, target) = (self.upstream, self.target);
        if let Some(asked) = self.head.upgrade {
            return Box::pin(self.upgrade(endpoint, asked, request())).await;
        }
        match target.reach(endpoint) {
            Reach::Plain if target.protocol == Protocol::Http2 => {
                upstream.send_http2(target.place(endpoint), request, self.interims).await
            }
            Reach::Plain => upstream.send_http1(target.place(endpoint), request, self.interims).await,
            Reach::Native | Reach::Gateway => {
                upstream.send_mesh(target, endpoint, request, self.interims).await
            }
            // No such endpoint is made yet; its proxy would refuse an ordinary request.
            Reach::Hbone => Err(Reason::ConnectFailed.into()),
        }
    }

    fn address(&self, index: usize) -> Option<SocketAddr> {
        self.endpoint(index).map(|endpoint| self.target.address(endpoint))
    }

    fn is_exclusive(&self, index: usize) -> bool {
        self.target.protocol != Protocol::Http2
            && self.endpoint(index).is_some_and(|endpoint| *self.target.reach(endpoint) == Reach::Plain)
    }

    fn status(answer: &UpstreamAnswer) -> u16 {
        answer.response.status().as_u16()
    }

    fn grpc_status(answer: &UpstreamAnswer) -> Option<u16> {
        answer.response.headers().get("grpc-status")?.to_str().ok()?.parse().ok()
    }

    fn retire(&self) {
        self.body.retire();
    }

    fn repeat(&self) -> Repeat<'_> {
        let (method, replayable) = (self.head.method.as_str(), self.body.is_replayable());
        Repeat { policy: self.policy, method, replayable }
    }
}

/// A request to the local application.
struct Delivery<'a> {
    upstream: &'a Upstream,
    to: LocalApplication<'a>,
    head: Outgoing<'a>,
    body: Replay,
    interims: &'a dyn InterimSink,
}

impl Repeatable for Delivery<'_> {
    type Done = UpstreamAnswer;

    async fn attempt(&self, _index: usize, until: Option<Instant>) -> Result<UpstreamAnswer, AttemptError> {
        let LocalApplication { address, protocol, grpc, .. } = self.to;
        let request = || GrpcCall::timed(grpc, until, self.head.request(self.body.next()));
        if let Some(asked) = self.head.upgrade {
            let asking = self.upstream.upgrade(address.into(), protocol, asked, request(), self.interims);
            return Box::pin(asking).await;
        }
        match protocol {
            AppProtocol::Http1 => self.upstream.send_http1(address.into(), request, self.interims).await,
            AppProtocol::Http2 => self.upstream.send_http2(address.into(), request, self.interims).await,
        }
    }

    fn address(&self, _index: usize) -> Option<SocketAddr> {
        Some(self.to.address.called)
    }

    fn is_exclusive(&self, _index: usize) -> bool {
        self.to.protocol == AppProtocol::Http1
    }

    fn status(answer: &UpstreamAnswer) -> u16 {
        answer.response.status().as_u16()
    }

    fn retire(&self) {
        self.body.retire();
    }

    fn repeat(&self) -> Repeat<'_> {
        let (method, replayable) = (self.head.method.as_str(), self.body.is_replayable());
        Repeat { policy: None, method, replayable }
    }
}

/// The last attempt's answer; who broke off the body was not the callee.
fn finish(
    sent: Result<Attempted<UpstreamAnswer>, Reason>,
    body: &Replay,
    log: &impl AttemptLog,
) -> Result<UpstreamAnswer, Reason> {
    match sent {
        Ok(Attempted { done, active, deadline }) => {
            body.forget();
            Ok(UpstreamAnswer { active, deadline, ..done })
        }
        Err(_) if body.is_broken() => Err(log.broken_off()),
        Err(reason) => Err(reason),
    }
}

/// On a stream of its own. The request is not in the future, which would hold a copy of it.
fn send_on<'a>(
    leased: &'a Leased,
    request: Request<Body>,
    interims: &'a dyn InterimSink,
) -> impl Future<Output = Result<Response<Body>, AttemptError>> + use<'a> {
    let connection = &leased.connection;
    let is_alive = || Alive::of(connection.is_closed());
    let sending = connection.sender.send_with_interims(request, interims);
    sending.map_err(move |error| attempt_error(&error, leased.age, is_alive()))
}

/// The value of the destination header: an address within the network, a name across networks.
fn destination(target: &Target, endpoint: &Endpoint) -> HeaderValue {
    let suffix = if target.protocol == Protocol::Http2 { ";h2" } else { "" };
    let text = match endpoint.reach {
        Reach::Gateway => format!("{}:{}{suffix}", target.entry.service.host, target.port),
        _ => format!("{}{suffix}", target.address(endpoint)),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether a connection outlived the error of one of its streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alive {
    Yes,
    No,
}

impl Alive {
    fn of(is_closed: bool) -> Self {
        if is_closed { Self::No } else { Self::Yes }
    }
}

fn attempt_error(error: &SendError, age: Age, alive: Alive) -> AttemptError {
    if error.transport().is_some_and(identity::is_refused) {
        return Reason::TlsFailed.into();
    }
    let reason = match error.kind {
        SendErrorKind::NotSent => Reason::ConnectFailed,
        SendErrorKind::Refused => Reason::Refused,
        SendErrorKind::Full => Reason::UpstreamOverflow,
        SendErrorKind::Silent => Reason::UpstreamSilent,
        SendErrorKind::Reset | SendErrorKind::Closed | SendErrorKind::BodyFailed => Reason::UpstreamReset,
        SendErrorKind::Protocol | SendErrorKind::Status(_) => Reason::UpstreamProtocol,
        SendErrorKind::HeadTooLarge => Reason::ResponseHeadersTooLarge,
    };
    use SendErrorKind::{BodyFailed, Full, HeadTooLarge, Protocol, Silent};
    let is_known = matches!(error.kind, Protocol | HeadTooLarge | Silent | Full | BodyFailed);
    if age == Age::Reused && alive == Alive::No && !is_known {
        return AttemptError { reason, verdict: EndpointVerdict::StaleConnection };
    }
    reason.into()
}
