//! The life of a request that leaves an application or enters at the edge, told from top to bottom. Each
//! step lives in its own file: `request`, `decide::route`, `decide::split`, `upstream`, `exchange`.

use crate::failure::{Failure, ReplyTo, guard};
use crate::flow::exchange::{Exchange, Unfinished};
use crate::flow::{Caller, Side, fetch_entry};
use crate::observe::Direction;
use crate::request::{self, Edge, Fields, Head};
use crate::snapshot::{HostEntry, Snapshot};
use crate::upstream::Target;
use codec::{Body, Reply};
use decide::authz::{Facts, RemoteIp};
use decide::filter::{RequestHead, Verdict};
use decide::plan::{self, Plan, Scope};
use decide::{Dice, listener, split};
use http::{HeaderValue, Request, Response, header};
use model::Reason;
use model::route::RouteRule;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

/// Answers one request.
pub(crate) async fn serve(caller: Rc<Caller>, request: Request<Body>) -> Reply {
    let direction = match caller.side {
        Side::Outbound { .. } => Direction::Outbound,
        Side::Gateway { .. } => Direction::Gateway,
    };
    let exchange = Exchange::begin(&caller.worker, direction, caller.address, &request);
    exchange.shares(&caller.share);
    let _unfinished = Unfinished(&exchange);
    let story = pin!(follow(&caller, &exchange, request));
    match guard(story).await {
        Ok(response) => Reply::Response(exchange.watch(response)),
        Err(failure) => {
            let mut reply = exchange.fail(&failure, ReplyTo::Application);
            if let Reply::Response(response) = &mut reply
                && caller.is_stranded()
            {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            reply
        }
    }
}

/// The story: canonical request, may it (at the edge), rule, backend, endpoint, response.
async fn follow(
    caller: &Caller,
    exchange: &Rc<Exchange>,
    request: Request<Body>,
) -> Result<Response<Body>, Failure> {
    let worker = &caller.worker;
    let snapshot = worker.snapshot();
    let (mut head, body) = request::receive(request, caller.edge(), &snapshot.settings)?;
    request::ensure_request_id(&mut head.headers, || worker.random());
    exchange.set_head(&head);
    if let Some(redirect) = request::unescape(&head)? {
        return Ok(redirect);
    }

    let entered = enter(caller, &snapshot, &head).await?;
    let scope = entered.scope(&snapshot, caller.facts(&entered, &head))?;
    let Plan { dry_run, route } = plan::plan(&scope, &head.view());
    exchange.set_dry_run(dry_run);
    let route = route?;
    exchange.follows(route.rule);
    if let Verdict::Reply(reply) = route.on_request(&mut head)? {
        return Ok(request::local_response(&reply));
    }
    let target = choose_backend(caller, &snapshot, &entered, route.rule).await?.spoken_to_in(head.version);

    let mut body = exchange.counting(body);
    if caller.edge().is_some() {
        let wait = snapshot.settings.http.stream_idle_timeout;
        body = exchange.impatient(body, head.version, wait);
    }
    let rule = route.rule.map(|rule| &**rule);
    let answer = worker.upstream.send(&target, rule, &head, body, &**exchange).await?;
    let mut response = exchange.pass_on(answer);
    request::strip(response.headers_mut());
    route.on_response(&head.view(), &mut Fields(response.headers_mut()));
    Ok(response)
}

/// Where a request comes in: this says which rules apply to it.
enum RouteScope {
    /// By a service's mesh-only address.
    Service { entry: Arc<HostEntry>, port: u16 },
    /// By this listener of the gateway.
    Listener { index: usize, port: u16 },
}

async fn enter(caller: &Caller, snapshot: &Snapshot, head: &Head) -> Result<RouteScope, Reason> {
    match &caller.side {
        Side::Outbound { host, port } => {
            let entry = fetch_entry(&caller.worker, snapshot, host).await?;
            Ok(RouteScope::Service { entry, port: *port })
        }
        Side::Gateway { at } => {
            let gateway = snapshot.gateway.as_ref().ok_or(Reason::NotSynced)?;
            let found = listener::gateway_listener(&gateway.gateway, *at, head.authority.as_str());
            Ok(RouteScope::Listener { index: found.ok_or(Reason::NoRoute)?, port: at.port() })
        }
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
    caller: &Caller,
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
    let picked = split::pick(&rule.backends, &mut *caller.worker.dice.borrow_mut() as &mut dyn Dice);
    let backend = picked.and_then(|index| rule.backends.get(index)).ok_or(Reason::NoBackend)?;
    let host = backend.host.as_ref().ok_or(Reason::NoBackend)?;
    let entry = fetch_entry(&caller.worker, snapshot, host).await?;
    Target::new(&entry, backend.port).ok_or(Reason::NoBackend)
}

impl Caller {
    /// Whether what its connection came in for has gone from the configuration, so that all further requests on it
    /// would fail.
    fn is_stranded(&self) -> bool {
        let snapshot = self.worker.snapshot();
        match &self.side {
            Side::Outbound { host, port } => {
                let entry = snapshot.host(host.as_str());
                !entry.is_some_and(|entry| entry.service.ports.iter().any(|known| known.port == *port))
            }
            Side::Gateway { at } => {
                let gateway = snapshot.gateway.as_ref().map(|gateway| &gateway.gateway);
                !gateway.is_some_and(|known| known.listeners.iter().any(|listener| listener.place() == *at))
            }
        }
    }

    fn edge(&self) -> Option<Edge<'_>> {
        match self.side {
            Side::Gateway { .. } => {
                Some(Edge { peer: self.address.ip(), forwarded_for: &self.forwarded_for })
            }
            Side::Outbound { .. } => None,
        }
    }

    /// What is known of it by its connection: nobody has proved anything, and its address is that of whoever
    /// connected, whatever its headers say of others (Istio's `ipBlocks`). Who called is told by proxies in front that
    /// are trusted.
    fn facts(&self, entered: &RouteScope, head: &Head) -> Facts<'_> {
        let remote_ip = head.client.map_or(RemoteIp::Peer, RemoteIp::Client);
        Facts { peer: None, peer_ip: Some(self.address.ip()), remote_ip, port: entered.port(), http: None }
    }
}
