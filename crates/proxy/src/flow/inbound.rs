//! The callee's side: who calls is known from the handshake, what may be reached is decided by `decide`, and
//! what was not delivered is refused so that the caller may go elsewhere (design, D4).

mod tunnel;

use crate::failure::{Failure, ReplyTo, guard};
use crate::flow::exchange::{Exchange, Unfinished};
use crate::flow::{budget, eastwest, policy, report};
use crate::limits::{UpstreamShare, Whose};
use crate::observe::Direction;
use crate::peer::Peer;
use crate::request::{self, HEADER_DESTINATION};
use crate::secure::Accepted;
use crate::snapshot::Snapshot;
use crate::upstream::connect::STREAMS_MAX;
use crate::upstream::send::Application;
use crate::worker::Worker;
use codec::{
    Body, FloodLimits, Reply, ResetLimits, SHARED_CONNECTION_WINDOW_BYTES, SHARED_HELD_BYTES_MAX,
    SHARED_SEND_BUFFER_BYTES_MAX, ServerOptions,
};
use daemon::Drain;
use decide::authz::{DryRun, Facts, RemoteIp, dry_run};
use decide::listener::{self, AppProtocol, Destination, Local, PeerCluster};
use http::{HeaderMap, Method, Request, Response};
use model::service::Protocol;
use model::trust::{EXPIRED_GRACE, Proof};
use model::{Hostname, Reason};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

/// Another proxy, proved by its certificate.
pub(crate) struct PeerConnection {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Who it is.
    pub(crate) peer: Rc<Peer>,
    /// Who vouches for it.
    pub(crate) peer_cluster: PeerCluster,
    /// Where it comes from; through a gateway: the gateway.
    pub(crate) address: SocketAddr,
    /// What it may have of the connections to the application.
    pub(crate) share: Rc<UpstreamShare>,
    /// When its certificate ends.
    expires: Instant,
    drain: Drain,
}

impl PeerConnection {
    /// Waits until it is to be said goodbye to: this proxy stops, or its certificate expires.
    async fn drain_requested(&self) {
        tokio::select! {
            () = self.drain.started() => {}
            () = sleep_until(self.expires) => {}
        }
    }

    /// Waits until nothing of it may go on. When its certificate expires, its connection takes no new streams;
    /// those that are open (tunnels, long responses) may go on for [`EXPIRED_GRACE`], then they are cut, and the
    /// connection counts as refused.
    pub(crate) async fn grace_expired(&self) {
        sleep_until(self.expires + EXPIRED_GRACE).await;
    }

    /// Its own address; unknown for one that comes through a gateway.
    fn ip(&self) -> Option<IpAddr> {
        (self.peer_cluster == PeerCluster::Local).then(|| self.address.ip())
    }
}

/// A port of the local application that somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct InboundTarget {
    /// The port and its protocol.
    pub(crate) local: Local,
    /// Where the application listens.
    pub(crate) application: SocketAddr,
    /// By which name it was asked for, or the first that it has.
    pub(crate) host: Option<Hostname>,
    /// What to speak to it.
    pub(crate) app_protocol: AppProtocol,
}

/// A connection at the mesh port.
pub(crate) async fn mesh(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, drain: Drain) {
    let handshake = worker.limits.handshakes.take(address.ip());
    let (Some(_permit), Some(handshake)) = (worker.limits.callers.take(address.ip()), handshake) else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let Accepted { tls, proof, expires } = match worker.tls.accept(stream).await {
        Ok(accepted) => accepted,
        Err(reason) => return worker.recorder.refused(address, reason),
    };
    drop(handshake);
    let peer_cluster = peer_cluster(&worker, &proof);
    let (peer, share) = (Peer::of(&proof), worker.limits.share(Whose::Proxy(address.ip())));
    let peer_connection =
        Rc::new(PeerConnection { worker, peer, peer_cluster, address, share, expires, drain });
    let service = |request| serve(Rc::clone(&peer_connection), request);
    let options = ServerOptions {
        max_concurrent_streams: STREAMS_MAX,
        connection_window: SHARED_CONNECTION_WINDOW_BYTES,
        max_send_buffer_bytes: SHARED_SEND_BUFFER_BYTES_MAX,
        // Whoever reads from the caller's proxy is judged there.
        budget: Some(budget(&peer_connection.worker, address, SHARED_HELD_BYTES_MAX)),
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
        served = codec::http2::serve(tls, &options, peer_connection.drain_requested(), service) => served,
        () = peer_connection.grace_expired() => {
            return peer_connection.worker.recorder.refused(address, Reason::PeerExpired);
        }
    };
    if let Err(error) = served {
        report(&peer_connection.worker, address, &error);
    }
}

/// Who vouches for a caller, as seen from here.
fn peer_cluster(worker: &Worker, proof: &Proof) -> PeerCluster {
    let domain = worker.shared.identity.id().map(|id| id.trust_domain);
    listener::peer_cluster(proof, &worker.shared.me.place.cluster, domain.as_ref())
}

/// A captured connection that came past the mesh: STRICT, so it is refused.
pub(crate) fn plaintext(worker: &Worker, address: SocketAddr) {
    worker.recorder.refused(address, Reason::Plaintext);
}

async fn serve(peer_connection: Rc<PeerConnection>, request: Request<Body>) -> Reply {
    if request.method() != Method::CONNECT {
        return serve_request(&peer_connection, request, None).await;
    }
    let snapshot = peer_connection.worker.snapshot();
    let authority = request.uri().authority().map(|authority| authority.as_str()).unwrap_or_default();
    match (listener::parse_destination(authority), &snapshot.exports) {
        (Some(Destination::Name(host, port)), Some(exports)) => {
            eastwest::forward(&peer_connection, &snapshot, exports, host, port).await
        }
        (Some(destination), _) => tunnel::serve(&peer_connection, &snapshot, &destination).await,
        (None, _) => {
            Failure::from(Reason::BadRequest).reply(ReplyTo::Proxy, crate::failure::ResponseFormat::Http)
        }
    }
}

/// Answers one request. `within`: it came inside a tunnel to this port; otherwise its destination header says
/// where to.
pub(super) async fn serve_request(
    peer_connection: &Rc<PeerConnection>,
    request: Request<Body>,
    within: Option<&InboundTarget>,
) -> Reply {
    let exchange =
        Exchange::begin(&peer_connection.worker, Direction::Inbound, peer_connection.address, &request);
    exchange.set_peer(Rc::clone(&peer_connection.peer));
    exchange.shares(&peer_connection.share);
    let _unfinished = Unfinished(&exchange);
    let to = if within.is_some() { ReplyTo::Application } else { ReplyTo::Proxy };
    let story = pin!(follow(peer_connection, &exchange, request, within));
    match guard(story).await {
        Ok(response) => Reply::Response(exchange.watch(response)),
        Err(failure) => exchange.fail(&failure, to),
    }
}

/// The story: where to, canonical request, may it, the application's response.
async fn follow(
    peer_connection: &PeerConnection,
    exchange: &Rc<Exchange>,
    request: Request<Body>,
    within: Option<&InboundTarget>,
) -> Result<Response<Body>, Failure> {
    let worker = &peer_connection.worker;
    let snapshot = worker.snapshot();
    let target = match within {
        Some(target) => target.clone(),
        None => arrive_by_header(&snapshot, request.headers(), peer_connection.peer_cluster)?,
    };
    if let Some(host) = &target.host {
        exchange.set_host(host.clone());
    }
    let (head, body) = request::receive(request, None, &snapshot.settings)?;
    exchange.set_head(&head);
    if let Some(redirect) = request::unescape(&head)? {
        return Ok(redirect);
    }
    let remote_ip = RemoteIp::Told(&snapshot.settings.http);
    let facts = Facts { remote_ip, ..facts(peer_connection, &target) };
    policy::may_request(&snapshot.policies, facts, &head, exchange)?;

    let application = Application {
        address: target.application,
        protocol: target.app_protocol,
        budget: &worker.shared.deliveries,
        begun_ms: worker.uptime.ms_at(exchange.begun()),
    };
    let answer = worker.upstream.deliver(application, &head, exchange.counting(body), &**exchange).await?;
    let mut response = exchange.pass_on(answer);
    request::strip(response.headers_mut());
    Ok(response)
}

fn arrive_by_header(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    by: PeerCluster,
) -> Result<InboundTarget, Reason> {
    let mut values = headers.get_all(HEADER_DESTINATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Reason::BadRequest) };
    let text = value.to_str().map_err(|_| Reason::BadRequest)?;
    let (destination, app_protocol) = listener::parse_destination_header(text).ok_or(Reason::BadRequest)?;
    arrive(snapshot, &destination, app_protocol, by)
}

/// The local port that a destination means.
pub(super) fn arrive(
    snapshot: &Snapshot,
    destination: &Destination,
    app_protocol: AppProtocol,
    by: PeerCluster,
) -> Result<InboundTarget, Reason> {
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
    let app_protocol = if local.protocol == Protocol::Http2 { AppProtocol::Http2 } else { app_protocol };
    Ok(InboundTarget {
        local,
        application: SocketAddr::new(ip, local.port),
        host: host.or_else(first_name),
        app_protocol,
    })
}

fn own_address(snapshot: &Snapshot) -> IpAddr {
    snapshot.own.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// What is known of a caller at a port of the application, before anything is read as HTTP.
fn facts<'a>(peer_connection: &'a PeerConnection, target: &InboundTarget) -> Facts<'a> {
    let (peer, peer_ip, port) = (Some(&peer_connection.peer.id), peer_connection.ip(), target.local.port);
    Facts { peer, peer_ip, remote_ip: RemoteIp::Peer, port, http: None }
}

/// Whether opaque bytes may pass: no condition on HTTP can hold for them.
pub(super) fn may_connect(
    peer_connection: &PeerConnection,
    snapshot: &Snapshot,
    target: &InboundTarget,
) -> Result<(), Failure> {
    policy::check(&snapshot.policies, &facts(peer_connection, target))
}

/// What policies that are not enforced say of opaque bytes.
pub(super) fn dry_run_connect(
    peer_connection: &PeerConnection,
    snapshot: &Snapshot,
    target: &InboundTarget,
) -> Option<DryRun> {
    dry_run(&snapshot.policies, &facts(peer_connection, target))
}
