//! CONNECT at the callee: opaque bytes to a port of the application. Bytes for a port on which HTTP is detected
//! are parsed and authorised as HTTP, or policy would be bypassed.

use super::local::{carry, filters, serve_detected, serve_unless_http};
use super::{dry_run_connect, may_connect};
use crate::failure::{Failure, ReplyTo};
use crate::flow::arrival::{InboundTarget, arrive};
use crate::flow::downstream::Downstream;
use crate::flow::tcp::TcpConnection;
use crate::observe::Direction;
use crate::snapshot::Snapshot;
use codec::{HELD_BYTES_MAX, Reply, ServerOptions, Tunnel};
use decide::listener::{AppProtocol, Destination};
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
    downstream.count_tunnel(&target);
    connection.host.clone_from(&target.host);
    connection.attempts.began_at(target.application.called);
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
        Protocol::Tcp | Protocol::Udp => false,
    }
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
    let inner = downstream.inside(target.clone());
    let Some((detected, io)) = serve_unless_http(&inner, &target, tunnel).await else { return };
    // One connection of an application; its own proxy has looked at none of it.
    let budget = downstream.budget(HELD_BYTES_MAX);
    let options = ServerOptions { budget: Some(budget), ..downstream.waits() };
    serve_detected(&inner, &target, detected, io, &options).await;
}
