//! A connection to a port of the local application, whether it came in a tunnel or past the mesh: served as what was
//! detected on it. Read `tunnel` or `plaintext` for how it got here.

use super::{dry_run_connect, may_connect, serve_request};
use crate::detect::{Detected, FIRST_BYTES_TIMEOUT, Sniffer};
use crate::failure::Failure;
use crate::flow::arrival::InboundTarget;
use crate::flow::downstream::Downstream;
use crate::flow::first_speaker::{FirstSpeaker, first_speaker};
use crate::flow::policy;
use crate::flow::tcp::{TCP_IDLE_MAX, TcpConnection};
use crate::limits::UpstreamPermit;
use crate::observe::Direction;
use crate::snapshot::Snapshot;
use codec::{ChunkIo, Prefixed, ServerOptions};
use filter::{Chain, Side};
use model::Reason;
use std::pin::pin;
use std::rc::Rc;
use tokio::time::timeout;

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

/// A connection to a port on which HTTP is looked for: carried as opaque, if those may pass, unless its client speaks HTTP
/// before the application has said anything. Then it is given back.
pub(super) async fn serve_unless_http<I: ChunkIo>(
    downstream: &Rc<Downstream>,
    target: &InboundTarget,
    io: I,
) -> Option<(Detected, Prefixed<I>)> {
    let connection = begin(downstream, target);
    let mut down = Sniffer::new(io);
    // Some application may take for HTTP what we do not.
    let in_the_way = filters(downstream).fails_closed().then_some(Reason::FilterFailed);
    let _permit = match may_relay(downstream, target, in_the_way) {
        Ok(permit) => permit,
        Err(failure) => {
            // Nothing but HTTP may come now, so there is no server to listen to.
            if let Ok(Ok(detected)) = timeout(FIRST_BYTES_TIMEOUT, down.spoken()).await
                && detected.is_http()
            {
                return Some((detected, down.into_io()));
            }
            connection.denied(failure);
            return None;
        }
    };
    let dialing = async { Ok((downstream.worker.upstream.dial(target.application).await?, ())) };
    let mut cut = pin!(until_cut(downstream, target));
    match first_speaker(&mut down, dialing, cut.as_mut(), TCP_IDLE_MAX).await {
        FirstSpeaker::Http(detected) => return Some((detected, down.into_io())),
        FirstSpeaker::Opaque(up, ()) => connection.carry(down.into_io(), up, cut).await,
        FirstSpeaker::Nobody(failure) => connection.denied(failure),
    }
    None
}

/// Opaque bytes, if policies let them pass and nothing else is in the way.
pub(super) async fn relay_opaque(
    downstream: &Rc<Downstream>,
    target: &InboundTarget,
    io: impl ChunkIo,
    in_the_way: Option<Reason>,
) {
    let connection = begin(downstream, target);
    let _permit = match may_relay(downstream, target, in_the_way) {
        Ok(permit) => permit,
        Err(failure) => return connection.denied(failure),
    };
    match downstream.worker.upstream.dial(target.application).await {
        Ok(upstream) => carry(downstream, target, connection, io, upstream).await,
        Err(reason) => connection.refused(reason),
    }
}

fn begin(downstream: &Rc<Downstream>, target: &InboundTarget) -> TcpConnection {
    let mut connection = TcpConnection::begin(downstream, Direction::Inbound);
    connection.host.clone_from(&target.host);
    connection.attempts.began_at(target.application.called);
    connection.dry_run = dry_run_connect(downstream, &downstream.worker.snapshot(), target);
    connection
}

/// Whether opaque bytes may go to the application, with the permit for the connection that carries them there.
fn may_relay(
    downstream: &Downstream,
    target: &InboundTarget,
    in_the_way: Option<Reason>,
) -> Result<UpstreamPermit, Failure> {
    may_connect(downstream, &downstream.worker.snapshot(), target)?;
    match in_the_way {
        Some(reason) => Err(reason.into()),
        None => Ok(downstream.share.take().ok_or(Reason::TooManyConnections)?),
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
    connection.carry(down, up, until_cut(downstream, target)).await;
}

async fn until_cut(downstream: &Downstream, target: &InboundTarget) -> Failure {
    let may = |snapshot: &Snapshot| may_connect(downstream, snapshot, target);
    tokio::select! {
        failure = policy::until_denied(&downstream.worker, may) => failure,
        reason = downstream.until_refused() => reason.into(),
    }
}
