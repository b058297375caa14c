//! The life of a request that leaves an application or enters at the edge, told from top to bottom. Each
//! step lives in its own file: `request`, `filters`, `decide::plan`, `decide::filter`, `decide::split`, `upstream`,
//! `exchange`.

use crate::failure::{Failure, ReplyTo, guard};
use crate::flow::downstream::{Downstream, DownstreamSide};
use crate::flow::egress::place::{self, Placed};
use crate::flow::exchange::{self, Exchange, Unfinished};
use crate::flow::fetch_entry;
use crate::flow::filters::Filters;
use crate::flow::mirror;
use crate::flow::policy;
use crate::flow::upgrade;
use crate::request::{self, Fields, Head};
use crate::snapshot::{HostEntry, Snapshot};
use crate::upstream::Target;
use codec::{Body, Interims, Reply};
use decide::authz::{Facts, RemoteIp};
use decide::filter::{RequestHead, Verdict};
use decide::plan::{self, Filtered, Plan, Scope};
use decide::route::SourceWorkload;
use decide::{Dice, egress, listener, split};
use filter::Stage;
use http::{HeaderValue, Method, Request, Response, header};
use model::filter::Mirror;
use model::route::{RouteBackend, RouteRule};
use model::service::Protocol;
use model::{Policy, Reason};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::sleep;

/// Answers one request.
pub(crate) async fn serve(downstream: Rc<Downstream>, request: Request<Body>, interims: Interims) -> Reply {
    let exchange = Exchange::begin(&downstream, &request, interims);
    let asks_upgrade = exchange::asks_upgrade(&request);
    let _unfinished = Unfinished(&exchange);
    let story = pin!(follow(&downstream, &exchange, request));
    match guard(story).await {
        Ok(response) => match asks_upgrade {
            Some(success) => upgrade::reply(&exchange, success, response, ReplyTo::Application),
            None => Reply::Response(exchange.watch(response)),
        },
        Err(failure) => {
            let mut reply = exchange.fail(&failure, ReplyTo::Application);
            if let Reply::Response(response) = &mut reply
                && is_stranded(&downstream)
            {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            reply
        }
    }
}

/// The story: canonical request, may it (at the edge), rule, backend, endpoint, response.
async fn follow(
    downstream: &Downstream,
    exchange: &Rc<Exchange>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let worker = &downstream.worker;
    let snapshot = worker.snapshot();
    let (mut head, body) = request::receive(request, downstream.edge(), &snapshot.settings)?;
    downstream.name_request(&mut head.headers);
    exchange.set_head(&head);
    if let Some(redirect) = request::unescape(&head)? {
        return Ok(redirect);
    }

    let entered = enter(downstream, &snapshot, &head).await?;
    let filters = Filters::of(downstream, &snapshot, facts(downstream, &entered, &head));
    if let Some(reply) = filters.on_request(Stage::Authentication, &mut head).await? {
        return Ok(reply);
    }
    let scope = entered.scope(&snapshot, source(downstream, &snapshot), filters.facts)?;
    let Plan { dry_run, route } = plan::plan(&scope, &head.view());
    exchange.set_dry_run(dry_run);
    let route = route?;
    exchange.follows(route.rule);
    if head.upgrade.is_some() {
        keep(exchange, &head);
    }
    let filtered = route.on_request(&mut head, &mut *worker.dice.borrow_mut())?;
    let mut mirrors = match carry_out(filtered, exchange).await {
        ControlFlow::Continue(mirrors) => mirrors,
        ControlFlow::Break(reply) => return Ok(reply),
    };
    if let Some(reply) = filters.on_request(Stage::BeforeUpstream, &mut head).await? {
        return Ok(reply);
    }
    let (target, backend) = choose_backend(downstream, &snapshot, &entered, route.rule).await?;
    let target = target.spoken_to_in(head.spoken());
    if let Some(backend) = backend.filter(|backend| !backend.filters.is_empty()) {
        let filtered = route.on_request_to(backend, &mut head, &mut *worker.dice.borrow_mut())?;
        match carry_out(filtered, exchange).await {
            ControlFlow::Continue(more) => mirrors.extend(more),
            ControlFlow::Break(reply) => return Ok(reply),
        }
    }
    let body = if mirrors.is_empty() {
        body
    } else {
        let (body, copies) = mirror::begin(worker, &mirrors, &head, body);
        exchange.mirrored(copies);
        body
    };
    let body = watched(body, downstream, exchange, &snapshot, &head);
    let body = exchange.translate(&mut head, body, target.protocol == Protocol::Http2);
    let rule = route.rule.map(|rule| &**rule);
    let grpc = exchange.grpc_call(&head.headers)?;
    let answer = if head.method == Method::CONNECT {
        // Rare and large: it is no part of each request's future.
        Box::pin(worker.upstream.connect(&target, &**exchange)).await?
    } else {
        worker.upstream.send(&target, rule, grpc, &mut head, body, &**exchange).await?
    };
    let mut response = exchange.pass_on(answer);
    request::strip(response.headers_mut());
    exchange.translate_answer(&mut response);
    filters.on_response(&head, response.headers_mut()).await?;
    route.on_response(backend, &head, &mut Fields(response.headers_mut()));
    Ok(response)
}

/// Waits and answers as a rule's filters say. Where it goes on: which copies they ask for.
async fn carry_out<'r>(
    filtered: Filtered<'r>,
    exchange: &Rc<Exchange>,
) -> ControlFlow<Response<Body>, Vec<&'r Mirror>> {
    if let Some(delay) = filtered.asked.delay {
        exchange.delayed();
        // Rare and large: it is no part of each request's future.
        Box::pin(sleep(delay)).await;
    }
    match filtered.verdict {
        Verdict::Continue => ControlFlow::Continue(filtered.asked.mirrors),
        Verdict::Reply(reply) => {
            if let Some(reason) = reply.reason {
                exchange.failed(reason);
            }
            ControlFlow::Break(request::local_response(&reply))
        }
    }
}

/// The caller's body, counted; at the edge given up when it stops; not before it is wanted where its sender waits.
fn watched(
    body: Body,
    downstream: &Downstream,
    exchange: &Rc<Exchange>,
    snapshot: &Snapshot,
    head: &Head,
) -> Body {
    let mut body = exchange.counting(body);
    if let DownstreamSide::Edge { .. } = downstream.side {
        let wait = downstream.stream_idle_timeout(&snapshot.settings);
        body = exchange.with_stall_timeout(body, head.version, wait);
        if let Some(time) = downstream.terms().and_then(|terms| terms.settings.request_received_timeout) {
            body = exchange.with_received_timeout(body, time);
        }
    }
    exchange.when_wanted(head, body)
}

/// Where a request comes in: this says which rules apply to it.
enum RouteScope {
    /// By a service's mesh-only address, or by what else means it; `at` has the endpoints of one without.
    Service { entry: Arc<HostEntry>, port: u16, at: Option<Arc<HostEntry>> },
    /// By this listener of the gateway.
    Listener { index: usize, port: u16 },
}

async fn enter(downstream: &Downstream, snapshot: &Snapshot, head: &Head) -> Result<RouteScope, Reason> {
    match &downstream.side {
        DownstreamSide::Application { host, port, called } => {
            let entry = fetch_entry(&downstream.worker, snapshot, host).await?;
            if entry.service.external.is_some() {
                let egress = &snapshot.settings.egress;
                egress::may_say(&snapshot.names, egress, head.authority.as_str(), *port)?;
            }
            let Some(called) = called else {
                return Ok(RouteScope::Service { entry, port: *port, at: None });
            };
            // Rare: it is no part of each request's future.
            let placing = place::of_request(&downstream.worker, entry, head.authority.as_str(), *called);
            let Placed { entry, at } = Box::pin(placing).await?;
            Ok(RouteScope::Service { entry, port: *port, at })
        }
        DownstreamSide::Edge { at, .. } => enter_at_listener(downstream, snapshot, *at, head),
        // Handled by `inbound` and `tcp`.
        DownstreamSide::Passthrough
        | DownstreamSide::Mesh { .. }
        | DownstreamSide::Tunnel { .. }
        | DownstreamSide::Plaintext { .. } => Err(Reason::NotMyDestination),
    }
}

fn enter_at_listener(
    downstream: &Downstream,
    snapshot: &Snapshot,
    at: SocketAddr,
    head: &Head,
) -> Result<RouteScope, Reason> {
    let gateway = snapshot.gateway.as_ref().ok_or(Reason::NotSynced)?;
    let found = listener::gateway_listener(&gateway.gateway, at, head.authority.as_str());
    let index = found.ok_or(Reason::NoRoute)?;
    match downstream.edge_tls() {
        // Browsers send to a connection what its certificate is good for, and another listener has (GEP-3567).
        Some(tls) if gateway.find(&tls.listener) != Some(index) => return Err(Reason::Misdirected),
        Some(_) => downstream.stands(snapshot)?,
        // Plaintext, from before the listener spoke TLS.
        None if gateway.tls(index).is_some() => return Err(Reason::TlsOutdated),
        None => {}
    }
    Ok(RouteScope::Listener { index, port: at.port() })
}

/// Has an upgraded stream asked for again, as the request that was judged.
#[cold]
fn keep(exchange: &Exchange, head: &Head) {
    let asked = head.copy();
    exchange.stays_while(move |downstream, snapshot| may_stay(downstream, snapshot, &asked));
}

/// Whether policies at the edge still let in what was asked for there. A listener that has gone ends no stream: its
/// connections are drained.
fn may_stay(downstream: &Downstream, snapshot: &Snapshot, asked: &Head) -> Result<(), Failure> {
    let DownstreamSide::Edge { at, .. } = &downstream.side else { return Ok(()) };
    downstream.stands(snapshot)?;
    let Ok(entered) = enter_at_listener(downstream, snapshot, *at, asked) else { return Ok(()) };
    policy::check_request(entered.policies(snapshot), facts(downstream, &entered, asked), asked)
}

impl RouteScope {
    /// What is asked at the edge.
    fn policies<'a>(&self, snapshot: &'a Snapshot) -> &'a [Arc<Policy>] {
        let (Self::Listener { index, .. }, Some(gateway)) = (self, &snapshot.gateway) else { return &[] };
        gateway.policies.get(*index).map_or(&[], |policies| policies)
    }

    fn port(&self) -> u16 {
        match self {
            Self::Service { port, .. } | Self::Listener { port, .. } => *port,
        }
    }

    /// What there is to decide by. A call of the local application is judged by its callee, so its own proxy asks no
    /// policies.
    fn scope<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        source: SourceWorkload<'a>,
        facts: Facts<'a>,
    ) -> Result<Scope<'a>, Reason> {
        match self {
            Self::Service { entry, port, .. } => {
                let (table, called) = (entry.rules.at(*port), Some(&entry.service.host));
                Ok(Scope { table, called, port: *port, source, policies: &[], facts })
            }
            Self::Listener { index, port } => {
                let gateway = snapshot.gateway.as_ref().ok_or(Reason::NoRoute)?;
                let table = gateway.rules.get(*index).ok_or(Reason::NoRoute)?;
                let policies = self.policies(snapshot);
                Ok(Scope { table, called: None, port: *port, source, policies, facts })
            }
        }
    }
}

/// The service and port that the request goes to: by weight among the rule's backends, else the service
/// that was called.
async fn choose_backend<'r>(
    downstream: &Downstream,
    snapshot: &Snapshot,
    scope: &RouteScope,
    rule: Option<&'r Arc<RouteRule>>,
) -> Result<(Target, Option<&'r RouteBackend>), Reason> {
    let Some(rule) = rule else {
        let target = match scope {
            RouteScope::Service { entry, port, at } => Target::new(at.as_ref().unwrap_or(entry), *port),
            RouteScope::Listener { .. } => None,
        };
        return Ok((target.ok_or(Reason::NoRoute)?, None));
    };
    let picked = split::pick(&rule.backends, &mut *downstream.worker.dice.borrow_mut() as &mut dyn Dice);
    let backend = picked.and_then(|index| rule.backends.get(index)).ok_or(Reason::NoBackend)?;
    let host = backend.host.as_ref().ok_or(Reason::NoBackend)?;
    let entry = match scope {
        RouteScope::Service { at: Some(at), .. } if at.service.host == *host => Arc::clone(at),
        _ => fetch_entry(&downstream.worker, snapshot, host).await?,
    };
    Ok((Target::new(&entry, backend.port).ok_or(Reason::NoBackend)?, Some(backend)))
}

/// Whether what its connection came in for has gone from the configuration, so that all further requests on it
/// would fail.
fn is_stranded(downstream: &Downstream) -> bool {
    let snapshot = downstream.worker.snapshot();
    match &downstream.side {
        DownstreamSide::Application { host, port, .. } => {
            snapshot.host(host.as_str()).is_none_or(|entry| Target::new(entry, *port).is_none())
        }
        DownstreamSide::Edge { at, .. } => {
            let gateway = snapshot.gateway.as_ref().map(|gateway| &gateway.gateway);
            !gateway.is_some_and(|known| known.listeners.iter().any(|listener| listener.place() == *at))
                || downstream.stands(&snapshot).is_err()
        }
        DownstreamSide::Passthrough
        | DownstreamSide::Mesh { .. }
        | DownstreamSide::Tunnel { .. }
        | DownstreamSide::Plaintext { .. } => false,
    }
}

/// Whose proxy this is, as rules ask for it.
fn source<'a>(downstream: &'a Downstream, snapshot: &'a Snapshot) -> SourceWorkload<'a> {
    let labels = snapshot.inbound.as_ref().map_or(&[][..], |inbound| &inbound.labels);
    SourceWorkload { namespace: &downstream.worker.shared.me.namespace, labels }
}

/// What is known of a caller by its connection: its address is that of whoever connected, whatever its headers say of
/// others (Istio's `ipBlocks`). Who called is told by proxies in front that are trusted.
fn facts<'a>(downstream: &'a Downstream, entered: &RouteScope, head: &Head) -> Facts<'a> {
    let remote_ip = head.client.map_or(RemoteIp::Peer, RemoteIp::Client);
    let peer = downstream.principal();
    Facts { peer, peer_ip: Some(downstream.address.ip()), remote_ip, port: entered.port(), http: None }
}
