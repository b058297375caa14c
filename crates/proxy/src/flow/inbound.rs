//! The callee's side: who calls is known from the handshake, what may be reached is decided by `decide`, and
//! what was not delivered is refused so that the caller may go elsewhere.

mod local;
pub(crate) mod plaintext;
mod tunnel;

use crate::failure::{Failure, ReplyTo, guard};
use crate::flow::arrival::{InboundTarget, arrive_by_header, may_arrive};
use crate::flow::downstream::{Downstream, DownstreamSide, TlsFacts};
use crate::flow::eastwest::{self, ForwardRequest};
use crate::flow::exchange::{self, Exchange, Unfinished};
use crate::flow::filters::Filters;
use crate::flow::http;
use crate::flow::policy;
use crate::flow::upgrade;
use crate::mesh_tls::Accepted;
use crate::peer::Peer;
use crate::request::{self, Head, X_FORWARDED_CLIENT_CERT, client_cert_of_peer};
use crate::snapshot::Snapshot;
use crate::upstream::connect::STREAMS_MAX;
use crate::upstream::send::LocalApplication;
use crate::worker::Worker;
use ::http::{HeaderMap, HeaderValue, Method, Request, Response};
use codec::{
    Body, FloodLimits, Interims, Reply, ResetLimits, SHARED_CONNECTION_WINDOW_BYTES, SHARED_HELD_BYTES_MAX,
    SHARED_SEND_BUFFER_BYTES_MAX, ServerOptions,
};
use daemon::Drain;
use decide::authz::{DryRun, Facts, RemoteIp, dry_run};
use decide::listener::{self, AppProtocol, Destination, PeerCluster};
use filter::Stage;
use model::Reason;
use model::trust::Proof;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use tokio::net::TcpStream;

/// A connection at the mesh port.
pub(crate) async fn mesh(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, drain: Drain) {
    let handshake = worker.limits.handshakes.take(address.ip());
    let (Some(_permit), Some(handshake)) = (worker.limits.callers.take(address.ip()), handshake) else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let Accepted { tls: stream, proof, validity, sha256 } = match worker.tls.accept(stream).await {
        Ok(accepted) => accepted,
        Err(reason) => return worker.recorder.refused(address, reason),
    };
    drop(handshake);
    let own = worker.shared.identity.id();
    let client_cert = client_cert_of_peer(own.as_ref(), &proof.id, &sha256);
    let tls = TlsFacts { peer: Some(Peer::of(&proof)), validity: Some(validity), edge: None, client_cert };
    let side = DownstreamSide::Mesh { cluster: peer_cluster(&worker, &proof) };
    let downstream = Downstream::new(&worker, address, side, Some(tls), drain);
    let service = |request, interims| serve(Rc::clone(&downstream), request, interims);
    let options = ServerOptions {
        max_concurrent_streams: STREAMS_MAX,
        connection_window: SHARED_CONNECTION_WINDOW_BYTES,
        max_send_buffer_bytes: SHARED_SEND_BUFFER_BYTES_MAX,
        takes_upgrades: true,
        // Whoever reads from the caller's proxy is judged there.
        budget: Some(downstream.budget(SHARED_HELD_BYTES_MAX)),
        // Many callers share it.
        floods: FloodLimits::shared(),
        resets: ResetLimits::shared(),
        ..ServerOptions::default()
    };
    let served = tokio::select! {
        // First, so that tunnels, which end at the same moment, tell of it before they are cut.
        biased;
        served = codec::http2::serve_with_interims(stream, &options, downstream.drain_requested(), service) => served,
        reason = downstream.until_refused() => return downstream.refused(reason),
    };
    if let Err(error) = served {
        downstream.report(&error);
    }
}

/// Who vouches for a caller, as seen from here.
fn peer_cluster(worker: &Worker, proof: &Proof) -> PeerCluster {
    let domain = worker.shared.identity.id().map(|id| id.trust_domain);
    listener::peer_cluster(proof, &worker.shared.me.place.cluster, domain.as_ref())
}

async fn serve(downstream: Rc<Downstream>, request: Request<Body>, interims: Interims) -> Reply {
    if request.method() != Method::CONNECT {
        return match at_listener(&downstream, &request) {
            // Apart, because few proxies are gateways, and others need not have room for it.
            Some(entered) => Box::pin(http::serve(entered, request, interims)).await,
            None => serve_request(&downstream, request, interims).await,
        };
    }
    let snapshot = downstream.worker.snapshot();
    let authority = request.uri().authority().map(|authority| authority.as_str()).unwrap_or_default();
    match (listener::parse_destination(authority), &snapshot.exports) {
        (Some(Destination::Name(host, port)), Some(exports)) => {
            let asked = ForwardRequest { host, port, headers: request.headers() };
            eastwest::forward(&downstream, &snapshot, exports, asked).await
        }
        (Some(destination), _) => tunnel::serve(&downstream, &snapshot, &destination).await,
        (None, _) => {
            Failure::from(Reason::BadRequest).reply(ReplyTo::Proxy, crate::failure::ResponseFormat::Http)
        }
    }
}

/// The listener of a gateway that a request is for, which comes through the mesh, as to an egress gateway. One for another
/// protocol is carried to the listener as to any application.
fn at_listener(downstream: &Downstream, request: &Request<Body>) -> Option<Rc<Downstream>> {
    let snapshot = downstream.worker.snapshot();
    let gateway = snapshot.gateway.as_ref()?;
    if exchange::asks_upgrade(request).is_some() {
        return None;
    }
    let target = arrive_by_header(&snapshot, request.headers(), downstream.peer_cluster()).ok()?;
    let at = listener::mesh_entrance(&gateway.gateway, target.application.called)?;
    downstream.count_first(&target);
    Some(downstream.at_listener(at))
}

/// Answers one request.
pub(super) async fn serve_request(
    downstream: &Rc<Downstream>,
    request: Request<Body>,
    interims: Interims,
) -> Reply {
    let exchange = Exchange::begin(downstream, &request, interims);
    let asks_upgrade = exchange::asks_upgrade(&request);
    let _unfinished = Unfinished(&exchange);
    let to = match downstream.side {
        DownstreamSide::Tunnel { .. } | DownstreamSide::Plaintext { .. } => ReplyTo::Application,
        _ => ReplyTo::Proxy,
    };
    let story = pin!(follow(downstream, &exchange, request));
    match guard(story).await {
        Ok(response) => match asks_upgrade {
            Some(success) => upgrade::reply(&exchange, success, response, to),
            None => Reply::Response(exchange.watch(response)),
        },
        Err(failure) => exchange.fail(&failure, to),
    }
}

/// The story: where to, canonical request, may it, the application's response.
async fn follow(
    downstream: &Downstream,
    exchange: &Rc<Exchange>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let worker = &downstream.worker;
    let snapshot = worker.snapshot();
    let target = match &downstream.side {
        DownstreamSide::Tunnel { target, .. } | DownstreamSide::Plaintext { target, .. } => {
            may_arrive(&snapshot, target, downstream.transport())?;
            Cow::Borrowed(target)
        }
        _ => {
            let target = arrive_by_header(&snapshot, request.headers(), downstream.peer_cluster())?;
            downstream.count_first(&target);
            request::hear_method(&mut request);
            Cow::Owned(target)
        }
    };
    if let Some(host) = &target.host {
        exchange.set_host(host.clone());
    }
    let edge = downstream.edge();
    let is_entry = edge.is_some();
    let client_cert = downstream.forwarded_client_cert(request.headers_mut());
    let (mut head, body) = request::receive(request, edge, &snapshot.settings)?;
    if head.method == Method::CONNECT {
        // It was carried to an application as bytes where it came in.
        return Err(Reason::UpgradeFailed.into());
    }
    if is_entry {
        downstream.name_request(&mut head.headers);
    }
    set_client_cert(&mut head.headers, client_cert);
    exchange.set_head(&head);
    if let Some(redirect) = request::unescape(&head)? {
        return Ok(redirect);
    }
    let facts = request_facts(downstream, &snapshot, &target);
    let filters = Filters::of(downstream, &snapshot, facts);
    if let Some(reply) = filters.on_request(Stage::Authentication, &mut head).await? {
        return Ok(reply);
    }
    policy::may_request(&snapshot.policies, facts, &head, exchange)?;
    if head.upgrade.is_some() {
        exchange.stays_while(may_stay(InboundTarget::clone(&target), head.copy()));
    }
    if let Some(reply) = filters.on_request(Stage::BeforeUpstream, &mut head).await? {
        return Ok(reply);
    }

    let application = LocalApplication {
        address: target.application,
        protocol: target.app_protocol,
        budget: &worker.shared.deliveries,
        begun_ms: worker.uptime.ms_at(exchange.begun()),
        grpc: exchange.grpc_call(&head.headers)?,
    };
    let mut body = exchange.counting(body);
    if is_entry {
        body = exchange.with_stall_timeout(body, head.version, snapshot.settings.http.stream_idle_timeout);
    }
    let body = exchange.when_wanted(&head, body);
    let speaks_http2 = application.protocol == AppProtocol::Http2;
    let body = exchange.translate(&mut head, body, speaks_http2);
    let answer = worker.upstream.deliver(application, &mut head, body, &**exchange).await?;
    let mut response = exchange.pass_on(answer);
    request::strip(response.headers_mut());
    exchange.translate_answer(&mut response);
    filters.on_response(&head, response.headers_mut()).await?;
    Ok(response)
}

/// Of its own, so that the value is no part of the story's future.
fn set_client_cert(headers: &mut HeaderMap, client_cert: Option<HeaderValue>) {
    if let Some(value) = client_cert {
        headers.insert(X_FORWARDED_CLIENT_CERT, value);
    }
}

/// What is known of a caller at a port of the application, before anything is read as HTTP.
fn facts<'a>(downstream: &'a Downstream, target: &InboundTarget) -> Facts<'a> {
    let is_here = match downstream.side {
        DownstreamSide::Plaintext { .. } => true,
        // Unknown for one that comes through a gateway.
        _ => downstream.peer_cluster() == PeerCluster::Local,
    };
    let peer_ip = is_here.then(|| downstream.address.ip());
    let (peer, port) = (downstream.peer().map(|peer| &peer.id), target.local.port);
    Facts { peer, peer_ip, remote_ip: RemoteIp::Peer, port, http: None }
}

/// The same for a request. Only proxies are believed; whoever else is was asked (`Head::client`).
fn request_facts<'a>(
    downstream: &'a Downstream,
    snapshot: &'a Snapshot,
    target: &InboundTarget,
) -> Facts<'a> {
    let is_entry = matches!(downstream.side, DownstreamSide::Plaintext { .. });
    let remote_ip = if is_entry { RemoteIp::Peer } else { RemoteIp::Told(&snapshot.settings.http) };
    Facts { remote_ip, ..facts(downstream, target) }
}

/// What an upgraded stream is asked for again: that request, as it was judged.
fn may_stay(
    target: InboundTarget,
    asked: Head,
) -> impl Fn(&Downstream, &Snapshot) -> Result<(), Failure> + 'static {
    move |downstream, snapshot| {
        may_arrive(snapshot, &target, downstream.transport())?;
        policy::check_request(&snapshot.policies, request_facts(downstream, snapshot, &target), &asked)
    }
}

/// Whether opaque bytes may pass: no condition on HTTP can hold for them.
pub(super) fn may_connect(
    downstream: &Downstream,
    snapshot: &Snapshot,
    target: &InboundTarget,
) -> Result<(), Failure> {
    may_arrive(snapshot, target, downstream.transport())?;
    policy::check(&snapshot.policies, &facts(downstream, target))
}

/// What policies that are not enforced say of opaque bytes.
pub(super) fn dry_run_connect(
    downstream: &Downstream,
    snapshot: &Snapshot,
    target: &InboundTarget,
) -> Option<DryRun> {
    dry_run(&snapshot.policies, &facts(downstream, target))
}
