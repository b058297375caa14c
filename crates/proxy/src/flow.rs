//! What happens to a connection and its requests, one file for each story: `http` (from an application or at
//! the edge), `edge` (TLS at the edge), `tcp` (opaque bytes), `inbound` (at the callee), `eastwest` (between networks).

pub(crate) mod arrival;
pub(crate) mod attempt_facts;
mod called;
pub(crate) mod downstream;
pub(crate) mod edge;
pub(crate) mod eastwest;
pub(crate) mod egress;
pub(crate) mod exchange;
pub(crate) mod filters;
pub(crate) mod first_speaker;
pub(crate) mod http;
pub(crate) mod inbound;
mod mirror;
pub(crate) mod policy;
mod proxied;
pub(crate) mod tcp;
pub(crate) mod udp;
mod upgrade;
#[cfg(test)]
mod tests;

use crate::accept::original_destination;
use crate::detect::{Detected, FIRST_BYTES_TIMEOUT, detect};
use crate::lookup::{Found, Unavailable};
use crate::observe::L4Transport;
use crate::request::CallerTerms;
use crate::snapshot::{HostEntry, Snapshot};
use crate::upstream::Target;
use crate::worker::Worker;
use bytes::Bytes;
use called::{Called, classify_outbound};
use codec::{
    ChunkIo, FloodLimits, HELD_BYTES_MAX, Io, Prefixed, ResetLimits, SHARED_HELD_BYTES_MAX, ServeError,
    ServerOptions,
};
use daemon::Drain;
use downstream::{Downstream, DownstreamSide};
use model::service::Protocol;
use model::{Hostname, Reason};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Streams that a caller from outside may have open on one connection: the least that RFC 9113 section 6.5.2 advises,
/// for each costs some ten kilobytes by being open. More: `REFUSED_STREAM`.
pub(crate) const EDGE_STREAMS_MAX: u32 = 100;

/// For the names of a service's endpoints to be answered for, when it is called for the first time. Longer: it is called at
/// those that were.
const NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// The host in the snapshot, or from the control plane.
///
/// # Errors
/// [`Reason::UnknownHost`] when there is none, [`Reason::NotSynced`] when nobody can tell.
pub(crate) async fn fetch_entry(
    worker: &Worker,
    snapshot: &Snapshot,
    host: &Hostname,
) -> Result<Arc<HostEntry>, Reason> {
    // What waits is rare and large: it is no part of each request's future.
    match snapshot.host(host.as_str()) {
        Some(entry) if !entry.is_awaited => {
            worker.shared.lookup.touch(entry);
            Ok(Arc::clone(entry))
        }
        _ => Box::pin(wait_for_entry(worker, host)).await,
    }
}

async fn wait_for_entry(worker: &Worker, host: &Hostname) -> Result<Arc<HostEntry>, Reason> {
    match worker.shared.lookup.host(host).await {
        Ok(Found::Present(found)) => {
            let entry = found.host(host.as_str()).cloned().ok_or(Reason::UnknownHost)?;
            Ok(with_addresses(worker, entry).await)
        }
        Ok(Found::Absent) => Err(Reason::UnknownHost),
        Err(unavailable) => Err(unavailable_reason(unavailable)),
    }
}

/// The entry once its names were answered for, which only the first to call it wait for.
async fn with_addresses(worker: &Worker, entry: Arc<HostEntry>) -> Arc<HostEntry> {
    if !entry.is_awaited {
        return entry;
    }
    let mut latest = Arc::clone(&entry);
    let waiting = async {
        let mut changes = worker.shared.store.changes();
        while let Some(now) = worker.shared.store.snapshot().host(entry.service.host.as_str()) {
            latest = Arc::clone(now);
            if !now.is_awaited || changes.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = timeout(NAMES_TIMEOUT, waiting).await;
    latest
}

fn unavailable_reason(unavailable: Unavailable) -> Reason {
    match unavailable {
        Unavailable::NoStream | Unavailable::Deadline => Reason::NotSynced,
        Unavailable::TooMany => Reason::TooManyConnections,
        Unavailable::Stopped => Reason::Draining,
    }
}

/// A captured connection of the local application.
pub(crate) async fn outbound(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, drain: Drain) {
    let Some(_permit) = worker.limits.own.take() else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let Some(original) = original_destination(&stream) else {
        // Somebody connected to the capture port itself.
        worker.recorder.refused(address, Reason::NotMyDestination);
        return;
    };
    serve_called(worker, stream, address, original, drain).await;
}

/// The same, once it is known what the application called.
async fn serve_called(
    worker: Rc<Worker>,
    stream: impl ChunkIo,
    address: SocketAddr,
    original: SocketAddr,
    drain: Drain,
) {
    match classify_outbound(&worker, original).await {
        Ok(Called::LeftAlone) => {
            let downstream = Downstream::new(&worker, address, DownstreamSide::Passthrough, None, drain);
            tcp::pass_through(downstream, stream, &[original], None).await;
        }
        Ok(Called::Outside) => egress::serve(&worker, stream, address, original, drain).await,
        Ok(Called::Described(entry)) => {
            egress::serve_at_address(&worker, stream, address, &entry, original, drain).await;
        }
        Ok(Called::Service(entry, port)) => {
            serve_service(&worker, stream, address, &entry, port, drain).await;
        }
        Err(reason) => worker.recorder.refused(address, reason),
    }
}

async fn serve_service(
    worker: &Rc<Worker>,
    stream: impl ChunkIo,
    address: SocketAddr,
    entry: &Arc<HostEntry>,
    port: u16,
    drain: Drain,
) {
    let Some(target) = Target::new(entry, port) else {
        worker.recorder.refused(address, Reason::NoRoute);
        return;
    };
    let host = entry.service.host.clone();
    let side = DownstreamSide::Application { host, port, called: None };
    let downstream = Downstream::new(worker, address, side, None, drain);
    let served = match target.protocol {
        Protocol::Udp => return downstream.refused(Reason::NoRoute),
        Protocol::Tcp if egress::must_name(worker, entry, port) => {
            // Apart, because it is rare, and others need not have room for it.
            return Box::pin(egress::serve_named(downstream, stream, &target)).await;
        }
        Protocol::Tcp => return tcp::serve(downstream, stream, &target).await,
        // Who writes rules for connections, and none for requests, has declared it.
        Protocol::Undeclared
            if entry.l4_rules_at(port).is_some() && !entry.rules.at(port).has_rules(port) =>
        {
            return tcp::serve(downstream, stream, &target).await;
        }
        Protocol::Http1 | Protocol::Http2 => detect(stream, FIRST_BYTES_TIMEOUT).await.ok(),
        Protocol::Undeclared => tcp::serve_unless_http(&downstream, stream, &target).await,
    };
    let Some((detected, stream)) = served else { return };
    serve_own(&downstream, detected, stream).await;
}

/// Requests of the local application, which can hurt only itself.
async fn serve_own(downstream: &Rc<Downstream>, detected: Detected, stream: impl Io) {
    let options = ServerOptions {
        budget: Some(downstream.budget(SHARED_HELD_BYTES_MAX)),
        floods: FloodLimits::shared(),
        resets: ResetLimits::shared(),
        ..downstream.waits()
    };
    serve_http(downstream, &options, detected, stream).await;
}

/// A connection from outside to a gateway's listener.
pub(crate) async fn gateway(
    worker: Rc<Worker>,
    stream: impl ChunkIo,
    address: SocketAddr,
    at: SocketAddr,
    drain: Drain,
) {
    let Some(mut permit) = worker.limits.callers.take(address.ip()) else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let snapshot = worker.snapshot();
    let proxied = snapshot.gateway.as_ref().and_then(|gateway| gateway.proxy_protocol(at).cloned());
    let (stream, address) = match proxied {
        None => (Prefixed::new(Bytes::new(), stream), address),
        // Rare and large: others need not have room for it.
        Some(settings) => match Box::pin(proxied::accept(stream, address, &settings)).await {
            Ok((stream, caller)) => (stream, caller),
            Err(None) => return,
            Err(Some(reason)) => return worker.recorder.refused(address, reason),
        },
    };
    // Whoever it stands for is the caller, for limits too.
    if permit.is_of_other(address.ip()) {
        let Some(of_caller) = worker.limits.callers.take(address.ip()) else {
            return worker.recorder.refused(address, Reason::TooManyConnections);
        };
        permit = of_caller;
    }
    let _permit = permit;
    let snapshot = worker.snapshot();
    if let Some(gateway) = snapshot.gateway.as_ref().filter(|gateway| gateway.speaks_tls(at)) {
        let gateway = Arc::clone(gateway);
        // Apart, because it is much larger, and others need not have room for it.
        return Box::pin(edge::secured(worker, gateway, stream, address, at, drain)).await;
    }
    let said = snapshot.gateway.as_ref().and_then(|gateway| gateway.client_traffic(at, None).cloned());
    drop(snapshot);
    let side = DownstreamSide::edge(at, address).edge_by(said.map(|said| CallerTerms::new(said, None)));
    let downstream = Downstream::new(&worker, address, side, None, drain);
    let is_opaque = worker
        .snapshot()
        .gateway
        .as_ref()
        .is_some_and(|gateway| gateway.l4_listener(L4Transport::Tcp, at, None).is_some());
    if is_opaque {
        return tcp::at_gateway(downstream, stream, at).await;
    }
    if let Ok((detected, stream)) = detect(stream, FIRST_BYTES_TIMEOUT).await {
        serve_edge(&downstream, detected, stream).await;
    }
}

/// Serves a caller from outside, who may not make us hold much.
async fn serve_edge(downstream: &Rc<Downstream>, detected: Detected, stream: impl Io) {
    let options = ServerOptions {
        max_concurrent_streams: EDGE_STREAMS_MAX,
        budget: Some(downstream.budget(HELD_BYTES_MAX)),
        ..downstream.waits()
    };
    serve_http(downstream, &options, detected, stream).await;
}

async fn serve_http(
    downstream: &Rc<Downstream>,
    options: &ServerOptions,
    detected: Detected,
    stream: impl Io,
) {
    let service = |request, interims| http::serve(Rc::clone(downstream), request, interims);
    let drain = downstream.drain_requested();
    let served = match detected {
        Detected::Http2 => codec::http2::serve_with_interims(stream, options, drain, service).await,
        // What is not HTTP on an HTTP port gets HTTP/1's 400.
        Detected::Http1 | Detected::Opaque => {
            codec::http1::serve_with_interims(stream, options, drain, service).await
        }
        Detected::Silent => Err(ServeError::HeaderTimeout),
    };
    if let Err(error) = served {
        downstream.report(&error);
    }
}
