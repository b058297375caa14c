//! The life of a request that leaves an application or enters at the edge, told from top to bottom. Each
//! step lives in its own file: `request`, `decide::route`, `decide::split`, `upstream`, `exchange`.

use crate::failure::{Failure, ReplyTo, guard};
use crate::flow::exchange::{Exchange, Unfinished};
use crate::flow::{Caller, Side, fetch_entry, policy};
use crate::observe::Direction;
use crate::request::{self, Edge, Fields, Head};
use crate::snapshot::{HostEntry, Snapshot};
use crate::upstream::{self, Target};
use codec::{Body, Reply};
use decide::authz::{Facts, RemoteIp};
use decide::route::{Match, Table};
use decide::{Dice, listener, split};
use http::{HeaderValue, Request, Response, header};
use model::route::RouteRule;
use model::{Policy, Reason};
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

    let scope = enter(caller, &snapshot, &head).await?;
    policy::may_request(scope.policies(&snapshot), caller.facts(scope.port()), &head, exchange)?;
    let matched = scope.find_rule(&snapshot, &head)?;
    if let Some(matched) = &matched {
        exchange.follows(matched.rule);
        if let Some(redirect) = request::redirect(&head, matched, scope.port()) {
            return Ok(redirect);
        }
        request::edit_request(&mut head, matched)?;
    }
    let rule = matched.as_ref().map(|matched| &**matched.rule);
    let target = choose_backend(caller, &snapshot, &scope, rule).await?.spoken_to_in(head.version);

    let mut body = exchange.counting(body);
    if caller.edge().is_some() {
        let wait = snapshot.settings.http.stream_idle_timeout;
        body = exchange.impatient(body, head.version, wait);
    }
    let mut response = upstream::send(worker, &target, rule, &head, body, exchange).await?;
    request::edit_response(response.headers_mut(), rule.map_or(&[], |rule| &rule.filters));
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

    fn table<'a>(&'a self, snapshot: &'a Snapshot) -> Option<&'a Table> {
        match self {
            Self::Service { entry, .. } => Some(&entry.rules),
            Self::Listener { index, .. } => snapshot.gateway.as_ref()?.rules.get(*index),
        }
    }

    /// The policies to ask before anything else. A call of the local application is judged by its callee.
    fn policies<'a>(&self, snapshot: &'a Snapshot) -> &'a [Arc<Policy>] {
        match self {
            Self::Service { .. } => &[],
            Self::Listener { index, .. } => {
                let gateway = snapshot.gateway.as_ref();
                gateway.and_then(|gateway| gateway.policies.get(*index)).map_or(&[], |policies| policies)
            }
        }
    }

    /// The rule to follow. A service without any rule is its own backend; with rules, one must match.
    fn find_rule<'a>(&'a self, snapshot: &'a Snapshot, head: &Head) -> Result<Option<Match<'a>>, Reason> {
        let table = self.table(snapshot).ok_or(Reason::NoRoute)?;
        let matched = table.find(self.port(), &head.view(&Fields(&head.headers)))?;
        match (matched, self) {
            (Some(matched), _) => Ok(Some(matched)),
            (None, Self::Service { entry, port }) if !entry.rules.has_rules(*port) => Ok(None),
            (None, _) => Err(Reason::NoRoute),
        }
    }
}

/// The service and port that the request goes to: by weight among the rule's backends, else the service
/// that was called.
async fn choose_backend(
    caller: &Caller,
    snapshot: &Snapshot,
    scope: &RouteScope,
    rule: Option<&RouteRule>,
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
    /// connected, whatever its headers say of others (Istio's `ipBlocks`).
    fn facts(&self, port: u16) -> Facts<'_> {
        let (peer_ip, remote_ip) = (Some(self.address.ip()), RemoteIp::Peer);
        Facts { peer: None, peer_ip, remote_ip, port, http: None }
    }
}
