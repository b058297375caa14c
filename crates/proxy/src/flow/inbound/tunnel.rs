//! CONNECT at the callee: opaque bytes to a port of the application. Bytes for a port on which HTTP is spoken
//! are parsed and authorised as HTTP, or policy would be bypassed (design, D4).

use super::{Arrival, Visitor, arrive, may_connect, rehearse_connect, serve_request};
use crate::accept::{Reader, dial};
use crate::detect::{SNIFF_TIMEOUT, Spoken, detect};
use crate::failure::{Failure, ReplyTo};
use crate::flow::tcp::Connection;
use crate::flow::{budget, policy, report, waits};
use crate::observe::Direction;
use crate::snapshot::Snapshot;
use crate::upstream::CONNECT_TIMEOUT;
use crate::upstream::pool1::connect_reason;
use codec::{HELD_BYTES_MAX, Io, Reply, ServerOptions, Tunnel};
use decide::listener::{Destination, Speak};
use http::HeaderMap;
use model::authz::ConditionKey;
use model::service::Protocol;
use model::{Policy, Reason};
use std::rc::Rc;
use std::sync::Arc;

/// Answers a CONNECT.
pub(super) async fn serve(visitor: &Rc<Visitor>, snapshot: &Snapshot, to: &Destination) -> Reply {
    let mut connection = Connection::begin(&visitor.worker, Direction::Inbound, visitor.address);
    connection.peer = Some(Rc::clone(&visitor.peer));
    match open(visitor, snapshot, to, &mut connection).await {
        Ok(reply) => reply,
        Err(failure) => {
            connection.denial.clone_from(&failure.denial);
            connection.refused(failure.reason);
            failure.reply(ReplyTo::Proxy, crate::failure::Spoken::Http)
        }
    }
}

async fn open(
    visitor: &Rc<Visitor>,
    snapshot: &Snapshot,
    to: &Destination,
    connection: &mut Connection,
) -> Result<Reply, Failure> {
    let arrival = arrive(snapshot, to, Speak::Http1, visitor.kin)?;
    connection.host.clone_from(&arrival.host);
    connection.upstream = Some(arrival.application);
    connection.attempts = 1;
    if is_http(snapshot, &arrival) {
        let visitor = Rc::clone(visitor);
        return Ok(reply(move |tunnel| serve_inside(visitor, arrival, tunnel)));
    }
    connection.rehearsal = rehearse_connect(visitor, snapshot, &arrival);
    may_connect(visitor, snapshot, &arrival)?;
    // Before the answer: what the application does not take is refused, and the caller may go elsewhere.
    let place = visitor.share.take().ok_or(Reason::TooManyConnections)?;
    let dialed = dial(arrival.application, Reader::Anyone, visitor.worker.mark(), CONNECT_TIMEOUT).await;
    let upstream = dialed.map_err(|error| connect_reason(&error))?;
    let connection = std::mem::replace(
        connection,
        Connection::begin(&visitor.worker, Direction::Inbound, visitor.address),
    );
    let visitor = Rc::clone(visitor);
    Ok(reply(move |tunnel| async move {
        let _place = place;
        carry(&visitor, &arrival, connection, tunnel, upstream).await;
    }))
}

fn reply<F: Future<Output = ()> + 'static>(run: impl FnOnce(Tunnel) -> F + 'static) -> Reply {
    Reply::Tunnel { headers: HeaderMap::new(), run: Box::new(move |tunnel| Box::pin(run(tunnel))) }
}

/// Whether bytes for this port must be looked at as HTTP.
fn is_http(snapshot: &Snapshot, arrival: &Arrival) -> bool {
    match arrival.local.protocol {
        Protocol::Http1 | Protocol::Http2 => true,
        Protocol::Undeclared => snapshot.policies.iter().any(needs_http),
        Protocol::Tcp => false,
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
async fn serve_inside(visitor: Rc<Visitor>, arrival: Arrival, tunnel: Tunnel) {
    let Ok((spoken, io)) = detect(tunnel, SNIFF_TIMEOUT).await else { return };
    // One connection of an application; its own proxy has looked at none of it.
    let budget = budget(&visitor.worker, visitor.address, HELD_BYTES_MAX);
    let options = ServerOptions { budget: Some(budget), ..waits(&visitor.worker) };
    let service = |request| {
        let (visitor, arrival) = (Rc::clone(&visitor), arrival.clone());
        async move { serve_request(&visitor, request, Some(&arrival)).await }
    };
    let served = match spoken {
        Spoken::Http1 => codec::http1::serve(io, &options, visitor.leaves(), service).await,
        Spoken::Http2 => codec::http2::serve(io, &options, visitor.leaves(), service).await,
        Spoken::Opaque | Spoken::Silent => return relay_opaque(&visitor, &arrival, io).await,
    };
    if let Err(error) = served {
        report(&visitor.worker, visitor.address, &error);
    }
}

async fn relay_opaque(visitor: &Rc<Visitor>, arrival: &Arrival, io: impl Io) {
    let mut connection = Connection::begin(&visitor.worker, Direction::Inbound, visitor.address);
    connection.peer = Some(Rc::clone(&visitor.peer));
    connection.host.clone_from(&arrival.host);
    connection.upstream = Some(arrival.application);
    connection.attempts = 1;
    let snapshot = visitor.worker.snapshot();
    connection.rehearsal = rehearse_connect(visitor, &snapshot, arrival);
    if let Err(failure) = may_connect(visitor, &snapshot, arrival) {
        connection.denial = failure.denial;
        return connection.refused(Reason::Denied);
    }
    let Some(_place) = visitor.share.take() else {
        return connection.refused(Reason::TooManyConnections);
    };
    match dial(arrival.application, Reader::Anyone, visitor.worker.mark(), CONNECT_TIMEOUT).await {
        Ok(upstream) => carry(visitor, arrival, connection, io, upstream).await,
        Err(error) => connection.refused(connect_reason(&error)),
    }
}

/// Carries bytes until their end, until a policy comes into force that would not have let them in, or until
/// the caller's certificate has long expired.
async fn carry(visitor: &Visitor, arrival: &Arrival, connection: Connection, down: impl Io, up: impl Io) {
    let may = |snapshot: &Snapshot| may_connect(visitor, snapshot, arrival);
    let cut = async {
        tokio::select! {
            failure = policy::until_denied(&visitor.worker, may) => failure,
            () = visitor.outlived() => Reason::PeerExpired.into(),
        }
    };
    connection.carry(down, up, cut).await;
}
