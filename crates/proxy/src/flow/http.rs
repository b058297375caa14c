//! The life of a request that leaves an application or enters at the edge, told from top to bottom. Each
//! step lives in its own file: `request`, `filters`, `decide::plan`, `decide::filter`, `decide::split`, `upstream`,
//! `exchange`.

use crate::failure::{Failure, ReplyTo, guard};
use crate::flow::downstream::{Downstream, DownstreamSide};
use crate::flow::exchange::{self, Exchange, Unfinished};
use crate::flow::fetch_entry;
use crate::flow::filters::Filters;
use crate::flow::upgrade;
use crate::request::{self, Fields, Head};
use crate::snapshot::{HostEntry, Snapshot};
use crate::upstream::Target;
use codec::{Body, Interims, Reply};
use decide::authz::{Facts, RemoteIp};
use decide::filter::{RequestHead, Verdict};
use decide::plan::{self, Plan, Scope};
use decide::{Dice, listener, split};
use filter::Stage;
use http::{HeaderValue, Request, Response, Version, header};
use model::Reason;
use model::route::RouteRule;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

/// Answers one request.
pub(crate) async fn serve(downstream: Rc<Downstream>, request: Request<Body>, interims: Interims) -> Reply {
    let exchange = Exchange::begin(&downstream, &request, interims);
    let asks_upgrade = exchange::asks_upgrade(&request);
    let _unfinished = Unfinished(&exchange);
    let story = pin!(follow(&downstream, &exchange, request));
    match guard(story).await {
        Ok(response) => match asks_upgrade {
            Some(version) => upgrade::reply(&exchange, version, response, ReplyTo::Application),
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
    worker.request_ids.ensure(&mut head.headers, || worker.random());
    exchange.set_head(&head);
    if let Some(redirect) = request::unescape(&head)? {
        return Ok(redirect);
    }

    let entered = enter(downstream, &snapshot, &head).await?;
    let filters = Filters::of(downstream, &snapshot, facts(downstream, &entered, &head));
    if let Some(reply) = filters.on_request(Stage::Authentication, &mut head).await? {
        return Ok(reply);
    }
    let Plan { dry_run, route } = plan::plan(&entered.scope(&snapshot, filters.facts)?, &head.view());
    exchange.set_dry_run(dry_run);
    let route = route?;
    exchange.follows(route.rule);
    if let Verdict::Reply(reply) = route.on_request(&mut head)? {
        return Ok(request::local_response(&reply));
    }
    if let Some(reply) = filters.on_request(Stage::BeforeUpstream, &mut head).await? {
        return Ok(reply);
    }
    let target =
        choose_backend(downstream, &snapshot, &entered, route.rule).await?.spoken_to_in(head.spoken());
    let body = watched(body, downstream, exchange, &snapshot, head.version);
    let rule = route.rule.map(|rule| &**rule);
    let answer = worker.upstream.send(&target, rule, &mut head, body, &**exchange).await?;
    let mut response = exchange.pass_on(answer);
    request::strip(response.headers_mut());
    filters.on_response(&head, response.headers_mut()).await?;
    route.on_response(&head, &mut Fields(response.headers_mut()));
    Ok(response)
}

/// The caller's body, counted; at the edge given up when it stops.
fn watched(
    body: Body,
    downstream: &Downstream,
    exchange: &Rc<Exchange>,
    snapshot: &Snapshot,
    version: Version,
) -> Body {
    let body = exchange.counting(body);
    match downstream.side {
        DownstreamSide::Edge { .. } => {
            exchange.with_stall_timeout(body, version, snapshot.settings.http.stream_idle_timeout)
        }
        _ => body,
    }
}

/// Where a request comes in: this says which rules apply to it.
enum RouteScope {
    /// By a service's mesh-only address.
    Service { entry: Arc<HostEntry>, port: u16 },
    /// By this listener of the gateway.
    Listener { index: usize, port: u16 },
}

async fn enter(downstream: &Downstream, snapshot: &Snapshot, head: &Head) -> Result<RouteScope, Reason> {
    match &downstream.side {
        DownstreamSide::Application { host, port } => {
            let entry = fetch_entry(&downstream.worker, snapshot, host).await?;
            Ok(RouteScope::Service { entry, port: *port })
        }
        DownstreamSide::Edge { at, .. } => {
            let gateway = snapshot.gateway.as_ref().ok_or(Reason::NotSynced)?;
            let found = listener::gateway_listener(&gateway.gateway, *at, head.authority.as_str());
            Ok(RouteScope::Listener { index: found.ok_or(Reason::NoRoute)?, port: at.port() })
        }
        // Handled by `inbound` and `tcp`.
        DownstreamSide::Passthrough
        | DownstreamSide::Mesh { .. }
        | DownstreamSide::Tunnel { .. }
        | DownstreamSide::Plaintext { .. } => Err(Reason::NotMyDestination),
    }
}

impl RouteScope {
    fn port(&self) -> u16 {
        match self {
            Self::Service { port, .. } | Self::Listener { port, .. } => *port,
        }
    }

    /// What there is to decide by. A call of the local application is judged by its callee, so its own proxy asks no
    /// policies.
    fn scope<'a>(&'a self, snapshot: &'a Snapshot, facts: Facts<'a>) -> Result<Scope<'a>, Reason> {
        match self {
            Self::Service { entry, port } => {
                let (table, called) = (&entry.rules, Some(&entry.service.host));
                Ok(Scope { table, called, port: *port, policies: &[], facts })
            }
            Self::Listener { index, port } => {
                let gateway = snapshot.gateway.as_ref().ok_or(Reason::NoRoute)?;
                let table = gateway.rules.get(*index).ok_or(Reason::NoRoute)?;
                let policies = gateway.policies.get(*index).map_or(&[][..], |policies| policies);
                Ok(Scope { table, called: None, port: *port, policies, facts })
            }
        }
    }
}

/// The service and port that the request goes to: by weight among the rule's backends, else the service
/// that was called.
async fn choose_backend(
    downstream: &Downstream,
    snapshot: &Snapshot,
    scope: &RouteScope,
    rule: Option<&Arc<RouteRule>>,
) -> Result<Target, Reason> {
    let Some(rule) = rule else {
        return match scope {
            RouteScope::Service { entry, port } => Target::new(entry, *port).ok_or(Reason::NoRoute),
            RouteScope::Listener { .. } => Err(Reason::NoRoute),
        };
    };
    let picked = split::pick(&rule.backends, &mut *downstream.worker.dice.borrow_mut() as &mut dyn Dice);
    let backend = picked.and_then(|index| rule.backends.get(index)).ok_or(Reason::NoBackend)?;
    let host = backend.host.as_ref().ok_or(Reason::NoBackend)?;
    let entry = fetch_entry(&downstream.worker, snapshot, host).await?;
    Target::new(&entry, backend.port).ok_or(Reason::NoBackend)
}

/// Whether what its connection came in for has gone from the configuration, so that all further requests on it
/// would fail.
fn is_stranded(downstream: &Downstream) -> bool {
    let snapshot = downstream.worker.snapshot();
    match &downstream.side {
        DownstreamSide::Application { host, port } => {
            snapshot.host(host.as_str()).is_none_or(|entry| Target::new(entry, *port).is_none())
        }
        DownstreamSide::Edge { at, .. } => {
            let gateway = snapshot.gateway.as_ref().map(|gateway| &gateway.gateway);
            !gateway.is_some_and(|known| known.listeners.iter().any(|listener| listener.place() == *at))
        }
        DownstreamSide::Passthrough
        | DownstreamSide::Mesh { .. }
        | DownstreamSide::Tunnel { .. }
        | DownstreamSide::Plaintext { .. } => false,
    }
}

/// What is known of a caller by its connection: its address is that of whoever connected, whatever its headers say of
/// others (Istio's `ipBlocks`). Who called is told by proxies in front that are trusted.
fn facts<'a>(downstream: &'a Downstream, entered: &RouteScope, head: &Head) -> Facts<'a> {
    let remote_ip = head.client.map_or(RemoteIp::Peer, RemoteIp::Client);
    let peer = downstream.peer().map(|peer| &peer.id);
    Facts { peer, peer_ip: Some(downstream.address.ip()), remote_ip, port: entered.port(), http: None }
}
