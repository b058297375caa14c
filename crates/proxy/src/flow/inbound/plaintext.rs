//! A captured connection to the application, from a caller that came past the mesh. Where the port takes plaintext
//! (PERMISSIVE, DISABLE), it is served like any other: same filters, policies and records, and nobody has an identity.
//! All others are refused.

use super::local::{relay_opaque, serve_detected, serve_unless_http};
use crate::accept::original_destination;
use crate::detect::{Detected, FIRST_BYTES_TIMEOUT, detect};
use crate::flow::EDGE_STREAMS_MAX;
use crate::flow::arrival::{InboundTarget, arrive_in_plaintext};
use crate::flow::downstream::{Downstream, DownstreamSide};
use crate::worker::Worker;
use codec::{HELD_BYTES_MAX, ServerOptions};
use daemon::Drain;
use decide::listener::{AppProtocol, Local};
use model::Reason;
use model::address::is_proxy_port;
use model::service::Protocol;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpStream;

/// The port that a captured connection called; `None`: it may not have it, and that is told.
pub(crate) fn admit(worker: &Worker, stream: &TcpStream, address: SocketAddr) -> Option<InboundTarget> {
    // Who connected to the capture port itself called that one, which is nobody's.
    let to = original_destination(stream).or_else(|| stream.local_addr().ok());
    admit_to(worker, to, address)
}

/// The same, where `to` was called.
pub(in crate::flow) fn admit_to(
    worker: &Worker,
    to: Option<SocketAddr>,
    address: SocketAddr,
) -> Option<InboundTarget> {
    let arrived = to.ok_or(Reason::NotMyDestination);
    let arrived = arrived.and_then(|to| arrive_in_plaintext(&worker.snapshot(), to));
    let refused = |reason: &Reason| {
        let port = to.map(|to| to.port()).filter(|port| !is_proxy_port(*port));
        if let (Reason::Plaintext, Some(port)) = (reason, port) {
            worker.recorder.inbound.plaintext_refused(port, address.ip());
        }
        worker.recorder.refused(address, *reason);
    };
    arrived.inspect_err(refused).ok()
}

/// Serves a connection that was admitted to `target`.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    address: SocketAddr,
    mut target: InboundTarget,
    drain: Drain,
) {
    let Some(_permit) = worker.limits.callers.take(address.ip()) else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let Local { port, mode, .. } = target.local;
    let _open = worker.recorder.inbound.plaintext(port, address.ip(), mode);
    let to = |target: &InboundTarget| {
        let side = DownstreamSide::plaintext(target.clone(), address);
        Downstream::new(&worker, address, side, None, drain.clone())
    };
    let served = match target.local.protocol {
        Protocol::Http1 | Protocol::Http2 => detect(stream, FIRST_BYTES_TIMEOUT).await.ok(),
        Protocol::Tcp | Protocol::Udp => return relay_opaque(&to(&target), &target, stream, None).await,
        Protocol::Undeclared => serve_unless_http(&to(&target), &target, stream).await,
    };
    let Some((detected, stream)) = served else { return };
    if detected == Detected::Silent {
        return worker.recorder.refused(address, Reason::HeaderTimeout);
    }
    if target.local.protocol == Protocol::Undeclared && detected == Detected::Http2 {
        // Where nothing is declared, the application is expected to speak what its caller does.
        target.app_protocol = AppProtocol::Http2;
    }
    let downstream = to(&target);
    let options = ServerOptions {
        max_concurrent_streams: EDGE_STREAMS_MAX,
        budget: Some(downstream.budget(HELD_BYTES_MAX)),
        ..downstream.waits()
    };
    serve_detected(&downstream, &target, detected, stream, &options).await;
}
