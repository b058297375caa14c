//! The callee's side: who calls is known from the handshake, what may be reached is decided by `decide`, and
//! what was not delivered is refused so that the caller may go elsewhere (design, D4).

mod tunnel;

use crate::failure::{Failure, ReplyTo, guard};
use crate::flow::exchange::{Exchange, Unfinished};
use crate::flow::head::{self, HEADER_DESTINATION, Head};
use crate::flow::{budget, eastwest, policy, report};
use crate::observe::Direction;
use crate::secure::{self, Accepted, Peer};
use crate::snapshot::Snapshot;
use crate::stream::Replay;
use crate::upstream::attempt::{self, Answer, Missed, Standing};
use crate::worker::Worker;
use crate::worker::seats::{Share, Whose};
use codec::{
    Body, FloodLimits, Reply, ResetLimits, SHARED_CONNECTION_WINDOW_BYTES, SHARED_HELD_BYTES_MAX,
    SHARED_SEND_BUFFER_BYTES_MAX, ServerOptions,
};
use daemon::Drain;
use decide::authz::{Facts, Rehearsal, RemoteIp, rehearse};
use decide::listener::{self, Destination, Kin, Local, Speak};
use decide::retry::{self, Ahead, Attempt, Next, Outcome};
use http::{HeaderMap, Method, Request, Response};
use model::service::Protocol;
use model::trust::{EXPIRED_GRACE, Proof};
use model::{Hostname, Reason};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// Streams that one caller's connection may have open: each tunnelled connection is one, and a caller has one
/// connection for each of its workers. More: `REFUSED_STREAM`.
pub(crate) const STREAMS_MAX: u32 = 4096;
/// Another proxy, proved by its certificate.
pub(crate) struct Visitor {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Who it is.
    pub(crate) peer: Rc<Peer>,
    /// Who vouches for it.
    pub(crate) kin: Kin,
    /// Where it comes from; through a gateway: the gateway.
    pub(crate) address: SocketAddr,
    /// What it may have of the connections to the application.
    pub(crate) share: Rc<Share>,
    /// When its certificate ends.
    expires: Instant,
    drain: Drain,
}

impl Visitor {
    /// Waits until it is to be said goodbye to: this proxy stops, or its certificate expires.
    async fn leaves(&self) {
        tokio::select! {
            () = self.drain.started() => {}
            () = sleep_until(self.expires) => {}
        }
    }

    /// Waits until nothing of it may go on. When its certificate expires, its connection takes no new streams;
    /// those that are open (tunnels, long responses) may go on for [`EXPIRED_GRACE`], then they are cut, and the
    /// connection counts as refused.
    pub(crate) async fn outlived(&self) {
        sleep_until(self.expires + EXPIRED_GRACE).await;
    }

    /// Its own address; unknown for one that comes through a gateway.
    fn ip(&self) -> Option<IpAddr> {
        (self.kin == Kin::Own).then(|| self.address.ip())
    }
}

/// A port of the own application that somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The port and its protocol.
    pub(crate) local: Local,
    /// Where the application listens.
    pub(crate) application: SocketAddr,
    /// By which name it was asked for, or the first that it has.
    pub(crate) host: Option<Hostname>,
    /// What to speak to it.
    pub(crate) speak: Speak,
}

/// A connection at the mesh port.
pub(crate) async fn mesh(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, drain: Drain) {
    let handshake = worker.hall.handshakes.take(address.ip());
    let (Some(_seat), Some(handshake)) = (worker.hall.callers.take(address.ip()), handshake) else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let Accepted { tls, proof, expires } = match secure::accept(&worker, stream).await {
        Ok(accepted) => accepted,
        Err(reason) => return worker.recorder.refused(address, reason),
    };
    drop(handshake);
    let kin = kin(&worker, &proof);
    let (peer, share) = (Peer::of(&proof), worker.hall.share(Whose::Proxy(address.ip())));
    let visitor = Rc::new(Visitor { worker, peer, kin, address, share, expires, drain });
    let service = |request| serve(Rc::clone(&visitor), request);
    let options = ServerOptions {
        max_concurrent_streams: STREAMS_MAX,
        connection_window: SHARED_CONNECTION_WINDOW_BYTES,
        max_send_buffer_bytes: SHARED_SEND_BUFFER_BYTES_MAX,
        // Whoever reads from the caller's proxy is judged there.
        budget: Some(budget(&visitor.worker, address, SHARED_HELD_BYTES_MAX)),
        // The caller's proxy has looked at what it passes on.
        follows_fields: false,
        // Many callers share it.
        floods: FloodLimits::shared(),
        resets: ResetLimits::shared(),
        ..ServerOptions::default()
    };
    let served = tokio::select! {
        // First, so that tunnels, which end at the same moment, tell of it before they are cut.
        biased;
        served = codec::http2::serve(tls, &options, visitor.leaves(), service) => served,
        () = visitor.outlived() => {
            return visitor.worker.recorder.refused(address, Reason::PeerExpired);
        }
    };
    if let Err(error) = served {
        report(&visitor.worker, address, &error);
    }
}

/// Who vouches for a caller, as seen from here.
fn kin(worker: &Worker, proof: &Proof) -> Kin {
    let domain = worker.shared.identity.id().map(|id| id.trust_domain);
    listener::kin(proof, &worker.shared.me.place.cluster, domain.as_ref())
}

/// A captured connection that came past the mesh: STRICT, so it is refused.
pub(crate) fn plaintext(worker: &Worker, address: SocketAddr) {
    worker.recorder.refused(address, Reason::Plaintext);
}

async fn serve(visitor: Rc<Visitor>, request: Request<Body>) -> Reply {
    if request.method() != Method::CONNECT {
        return serve_request(&visitor, request, None).await;
    }
    let snapshot = visitor.worker.snapshot();
    let authority = request.uri().authority().map(|authority| authority.as_str()).unwrap_or_default();
    match (listener::parse_destination(authority), &snapshot.exports) {
        (Some(Destination::Name(host, port)), Some(exports)) => {
            eastwest::forward(&visitor, &snapshot, exports, host, port).await
        }
        (Some(destination), _) => tunnel::serve(&visitor, &snapshot, &destination).await,
        (None, _) => Failure::from(Reason::BadRequest).reply(ReplyTo::Proxy, crate::failure::Spoken::Http),
    }
}

/// Answers one request. `within`: it came inside a tunnel to this port; otherwise its destination header says
/// where to.
pub(super) async fn serve_request(
    visitor: &Rc<Visitor>,
    request: Request<Body>,
    within: Option<&Arrival>,
) -> Reply {
    let exchange = Exchange::begin(&visitor.worker, Direction::Inbound, visitor.address, &request);
    exchange.is_from(Rc::clone(&visitor.peer));
    exchange.shares(&visitor.share);
    let _unfinished = Unfinished(&exchange);
    let to = if within.is_some() { ReplyTo::Application } else { ReplyTo::Proxy };
    let story = pin!(follow(visitor, &exchange, request, within));
    match guard(story).await {
        Ok(response) => Reply::Response(exchange.watch(response)),
        Err(failure) => exchange.fail(&failure, to),
    }
}

/// The story: where to, canonical request, may it, the application's response.
async fn follow(
    visitor: &Visitor,
    exchange: &Rc<Exchange>,
    request: Request<Body>,
    within: Option<&Arrival>,
) -> Result<Response<Body>, Failure> {
    let worker = &visitor.worker;
    let snapshot = worker.snapshot();
    let arrival = match within {
        Some(arrival) => arrival.clone(),
        None => arrive_by_header(&snapshot, request.headers(), visitor.kin)?,
    };
    if let Some(host) = &arrival.host {
        exchange.is_for(host.clone());
    }
    let (head, body) = head::receive(request, None, &snapshot.settings)?;
    exchange.is_called(&head);
    if let Some(redirect) = head::unescape(&head)? {
        return Ok(redirect);
    }
    let remote_ip = RemoteIp::Told(&snapshot.settings.http);
    let facts = Facts { remote_ip, ..facts(visitor, &arrival) };
    policy::may_request(&snapshot.policies, facts, &head, exchange)?;

    if arrival.speak == Speak::Http1 {
        exchange.takes_place()?;
    }
    exchange.asks(arrival.application);
    worker.shared.deliveries.requested(worker.ms_at(exchange.begun()));
    let answer = deliver(worker, &arrival, &head, exchange.counting(body)).await?;
    exchange.answered(None, answer.lease);
    let mut response = answer.response;
    head::edit_response(response.headers_mut(), &[]);
    Ok(response)
}

fn arrive_by_header(snapshot: &Snapshot, headers: &HeaderMap, by: Kin) -> Result<Arrival, Reason> {
    let mut values = headers.get_all(HEADER_DESTINATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Reason::BadRequest) };
    let text = value.to_str().map_err(|_| Reason::BadRequest)?;
    let (destination, speak) = listener::parse_destination_header(text).ok_or(Reason::BadRequest)?;
    arrive(snapshot, &destination, speak, by)
}

/// The own port that a destination means.
pub(super) fn arrive(
    snapshot: &Snapshot,
    destination: &Destination,
    speak: Speak,
    by: Kin,
) -> Result<Arrival, Reason> {
    let Some(inbound) = &snapshot.inbound else {
        return Err(if snapshot.is_configured() { Reason::NotMyDestination } else { Reason::NotSynced });
    };
    let local = listener::inbound(inbound, &snapshot.own, destination, by)?;
    let (ip, host) = match destination {
        Destination::Address(address) => (address.ip(), None),
        Destination::Name(host, _) => (own_address(snapshot), Some(host.clone())),
    };
    let first_name = || {
        let port = inbound.ports.iter().find(|port| port.port == local.port)?;
        port.names.first().map(|(host, _)| host.clone())
    };
    let speak = if local.protocol == Protocol::Http2 { Speak::Http2 } else { speak };
    Ok(Arrival { local, application: SocketAddr::new(ip, local.port), host: host.or_else(first_name), speak })
}

fn own_address(snapshot: &Snapshot) -> IpAddr {
    snapshot.own.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// What is known of a caller at a port of the application, before anything is read as HTTP.
fn facts<'a>(visitor: &'a Visitor, arrival: &Arrival) -> Facts<'a> {
    let (peer, peer_ip, port) = (Some(&visitor.peer.id), visitor.ip(), arrival.local.port);
    Facts { peer, peer_ip, remote_ip: RemoteIp::Peer, port, http: None }
}

/// Whether opaque bytes may pass: no condition on HTTP can hold for them.
pub(super) fn may_connect(visitor: &Visitor, snapshot: &Snapshot, arrival: &Arrival) -> Result<(), Failure> {
    policy::judge(&snapshot.policies, &facts(visitor, arrival))
}

/// What policies that are not enforced say of opaque bytes.
pub(super) fn rehearse_connect(
    visitor: &Visitor,
    snapshot: &Snapshot,
    arrival: &Arrival,
) -> Option<Rehearsal> {
    rehearse(&snapshot.policies, &facts(visitor, arrival))
}

/// Hands the request to the application; once more when only an old connection had ended.
async fn deliver(worker: &Rc<Worker>, arrival: &Arrival, head: &Head, body: Body) -> Result<Answer, Failure> {
    let body = Replay::new(body);
    let first = once(worker, arrival, head, body.next()).await;
    let outcome = match first {
        Err(missed)
            if missed.standing == Standing::Stale
                && may_repeat(worker, head, missed.reason, body.is_replayable()) =>
        {
            worker.plain.forget(arrival.application);
            once(worker, arrival, head, body.next()).await
        }
        outcome => outcome,
    };
    body.forget();
    outcome.map_err(|missed| {
        let reason = if body.is_broken() { Reason::DownstreamReset } else { missed.reason };
        reason.into()
    })
}

fn may_repeat(worker: &Worker, head: &Head, reason: Reason, replayable: bool) -> bool {
    let (method, outcome) = (head.method.as_str(), Outcome::Failed(reason));
    let (now_ms, deliveries) = (worker.now_ms(), &worker.shared.deliveries);
    let (ahead, budget) = (Ahead::Fresh, deliveries.left(now_ms));
    let attempt = Attempt { policy: None, method, number: 0, outcome, replayable, ahead, budget };
    let next = retry::decide(&attempt, &mut *worker.dice.borrow_mut());
    let is_repeated = matches!(next, Next::Again { .. });
    if is_repeated {
        deliveries.repeated(now_ms);
    }
    is_repeated
}

async fn once(worker: &Rc<Worker>, arrival: &Arrival, head: &Head, body: Body) -> Result<Answer, Missed> {
    let request = || attempt::outgoing(head, body);
    match arrival.speak {
        Speak::Http1 => attempt::plain1(worker, arrival.application, request).await,
        Speak::Http2 => attempt::plain2(worker, arrival.application, request()).await,
    }
}
