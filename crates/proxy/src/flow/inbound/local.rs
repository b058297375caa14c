//! A connection to a port of the local application, whether it came in a tunnel or past the mesh: served as what was
//! detected on it. Read `tunnel` or `plaintext` for how it got here.

use super::{dry_run_connect, may_connect, serve_request};
use crate::detect::Detected;
use crate::flow::arrival::InboundTarget;
use crate::flow::downstream::Downstream;
use crate::flow::policy;
use crate::flow::tcp::TcpConnection;
use crate::observe::Direction;
use crate::snapshot::Snapshot;
use codec::{ChunkIo, ServerOptions};
use filter::{Chain, Side};
use model::Reason;
use std::rc::Rc;

/// The filters that requests meet here.
pub(super) fn filters(downstream: &Downstream) -> &Chain {
    downstream.worker.shared.filters.of(Side::Callee)
}

/// Serves HTTP as requests; what is none is judged and carried as opaque.
pub(super) async fn serve_detected(
    downstream: &Rc<Downstream>,
    target: &InboundTarget,
    detected: Detected,
    io: impl ChunkIo,
    options: &ServerOptions,
) {
    let service = |request, interims| {
        let downstream = Rc::clone(downstream);
        async move { serve_request(&downstream, request, interims).await }
    };
    let drain = downstream.drain_requested();
    let served = match detected {
        Detected::Http1 => codec::http1::serve_with_interims(io, options, drain, service).await,
        Detected::Http2 => codec::http2::serve_with_interims(io, options, drain, service).await,
        Detected::Opaque | Detected::Silent => {
            // Some application may take for HTTP what we do not.
            let in_the_way = filters(downstream).fails_closed().then_some(Reason::FilterFailed);
            return relay_opaque(downstream, target, io, in_the_way).await;
        }
    };
    if let Err(error) = served {
        downstream.report(&error);
    }
}

/// Opaque bytes, if policies let them pass and nothing else is in the way.
pub(super) async fn relay_opaque(
    downstream: &Rc<Downstream>,
    target: &InboundTarget,
    io: impl ChunkIo,
    in_the_way: Option<Reason>,
) {
    let mut connection = TcpConnection::begin(downstream, Direction::Inbound);
    connection.host.clone_from(&target.host);
    connection.attempts.began_at(target.application.called);
    let snapshot = downstream.worker.snapshot();
    connection.dry_run = dry_run_connect(downstream, &snapshot, target);
    if let Err(failure) = may_connect(downstream, &snapshot, target) {
        connection.denial = failure.denial;
        return connection.refused(failure.reason);
    }
    if let Some(reason) = in_the_way {
        return connection.refused(reason);
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
/// the caller itself would not be let in again.
pub(super) async fn carry(
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
            reason = downstream.until_refused() => reason.into(),
        }
    };
    connection.carry(down, up, cut).await;
}
