//! CONNECT at the callee: opaque bytes to a port of the application. Bytes for a port on which HTTP is detected
//! are parsed and authorised as HTTP, or policy would be bypassed.

use super::{dry_run_connect, may_connect, serve_request};
use crate::detect::{Detected, SNIFF_TIMEOUT, detect};
use crate::failure::{Failure, ReplyTo};
use crate::flow::arrival::{InboundTarget, arrive};
use crate::flow::downstream::Downstream;
use crate::flow::policy;
use crate::flow::tcp::TcpConnection;
use crate::observe::Direction;
use crate::snapshot::Snapshot;
use codec::{ChunkIo, HELD_BYTES_MAX, Reply, ServerOptions, Tunnel};
use decide::listener::{AppProtocol, Destination};
use filter::{Chain, Side};
use http::HeaderMap;
use model::authz::ConditionKey;
use model::service::Protocol;
use model::{Policy, Reason};
use std::rc::Rc;
use std::sync::Arc;

/// Answers a CONNECT.
pub(super) async fn serve(downstream: &Rc<Downstream>, snapshot: &Snapshot, to: &Destination) -> Reply {
    let mut connection = TcpConnection::begin(downstream, Direction::Inbound);
    match open(downstream, snapshot, to, &mut connection).await {
        Ok(reply) => reply,
        Err(failure) => {
            connection.denial.clone_from(&failure.denial);
            connection.refused(failure.reason);
            failure.reply(ReplyTo::Proxy, crate::failure::ResponseFormat::Http)
        }
    }
}

async fn open(
    downstream: &Rc<Downstream>,
    snapshot: &Snapshot,
    to: &Destination,
    connection: &mut TcpConnection,
) -> Result<Reply, Failure> {
    let target = arrive(snapshot, to, AppProtocol::Http1, downstream.peer_cluster())?;
    connection.host.clone_from(&target.host);
    connection.attempts.began_at(target.application);
    if is_http(downstream, snapshot, &target) {
        let downstream = Rc::clone(downstream);
        return Ok(reply(move |tunnel| serve_inside(downstream, target, tunnel)));
    }
    connection.dry_run = dry_run_connect(downstream, snapshot, &target);
    may_connect(downstream, snapshot, &target)?;
    // Before the answer: what the application does not take is refused, and the caller may go elsewhere.
    let permit = downstream.share.take().ok_or(Reason::TooManyConnections)?;
    let upstream = downstream.worker.upstream.dial(target.application).await?;
    let connection = std::mem::replace(connection, TcpConnection::begin(downstream, Direction::Inbound));
    let downstream = Rc::clone(downstream);
    Ok(reply(move |tunnel| async move {
        let _permit = permit;
        carry(&downstream, &target, connection, tunnel, upstream).await;
    }))
}

fn reply<F: Future<Output = ()> + 'static>(run: impl FnOnce(Tunnel) -> F + 'static) -> Reply {
    Reply::Tunnel { headers: HeaderMap::new(), run: Box::new(move |tunnel| Box::pin(run(tunnel))) }
}

/// Whether bytes for this port must be looked at as HTTP.
fn is_http(downstream: &Downstream, snapshot: &Snapshot, target: &InboundTarget) -> bool {
    match target.local.protocol {
        Protocol::Http1 | Protocol::Http2 => true,
        Protocol::Undeclared => !filters(downstream).is_empty() || snapshot.policies.iter().any(needs_http),
        Protocol::Tcp => false,
    }
}

/// The filters that requests meet here.
fn filters(downstream: &Downstream) -> &Chain {
    downstream.worker.shared.filters.of(Side::Callee)
}

fn needs_http(policy: &Arc<Policy>) -> bool {
    // Where the original caller is stands in a header, too.
    let looks_at_headers =
        |key: &ConditionKey| matches!(key, ConditionKey::Header(_) | ConditionKey::RemoteIp);
    policy.rules.iter().any(|rule| {
        rule.to.iter().any(model::authz::Operation::needs_http)
            || rule.from.iter().any(model::authz::Source::asks_remote_ip)
            || rule.when.iter().any(|condition| looks_at_headers(&condition.key))
    })
}

/// HTTP in a tunnel; what turns out to be none is judged as opaque.
async fn serve_inside(downstream: Rc<Downstream>, target: InboundTarget, tunnel: Tunnel) {
    let Ok((detected, io)) = detect(tunnel, SNIFF_TIMEOUT).await else { return };
    // One connection of an application; its own proxy has looked at none of it.
    let budget = downstream.budget(HELD_BYTES_MAX);
    let options = ServerOptions { budget: Some(budget), ..downstream.waits() };
    let inner = downstream.inside(target.clone());
    let service = |request| {
        let inner = Rc::clone(&inner);
        async move { serve_request(&inner, request).await }
    };
    let served = match detected {
        Detected::Http1 => codec::http1::serve(io, &options, inner.drain_requested(), service).await,
        Detected::Http2 => codec::http2::serve(io, &options, inner.drain_requested(), service).await,
        Detected::Opaque | Detected::Silent => return relay_opaque(&downstream, &target, io).await,
    };
    if let Err(error) = served {
        downstream.report(&error);
    }
}

async fn relay_opaque(downstream: &Rc<Downstream>, target: &InboundTarget, io: impl ChunkIo) {
    let mut connection = TcpConnection::begin(downstream, Direction::Inbound);
    connection.host.clone_from(&target.host);
    connection.attempts.began_at(target.application);
    let snapshot = downstream.worker.snapshot();
    connection.dry_run = dry_run_connect(downstream, &snapshot, target);
    if let Err(failure) = may_connect(downstream, &snapshot, target) {
        connection.denial = failure.denial;
        return connection.refused(Reason::Denied);
    }
    // Some application may take for HTTP what we do not.
    if filters(downstream).fails_closed() {
        return connection.refused(Reason::FilterFailed);
    }
    let Some(_permit) = downstream.share.take() else {
        return connection.refused(Reason::TooManyConnections);
    };
    match downstream.worker.upstream.dial(target.application).await {
        Ok(upstream) => carry(downstream, target, connection, io, upstream).await,
        Err(reason) => connection.refused(reason),
    }
}

/// Carries bytes until their end, until a policy comes into force that would not have let them in, or until
/// the caller's certificate has long expired.
async fn carry(
    downstream: &Downstream,
    target: &InboundTarget,
    connection: TcpConnection,
    down: impl ChunkIo,
    up: impl ChunkIo,
) {
    let may = |snapshot: &Snapshot| may_connect(downstream, snapshot, target);
    let cut = async {
        tokio::select! {
            failure = policy::until_denied(&downstream.worker, may) => failure,
            () = downstream.grace_expired() => Reason::PeerExpired.into(),
        }
    };
    connection.carry(down, up, cut).await;
}
