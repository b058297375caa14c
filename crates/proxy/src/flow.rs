//! What happens to a connection and its requests, one file for each story: `http` (from an application or at
//! the edge), `tcp` (opaque bytes), `inbound` (at the callee), `eastwest` (between networks).

pub(crate) mod attempts;
pub(crate) mod eastwest;
pub(crate) mod exchange;
pub(crate) mod http;
pub(crate) mod inbound;
pub(crate) mod policy;
pub(crate) mod tcp;
#[cfg(test)]
mod tests;

use crate::accept::original_destination;
use crate::detect::{Detected, FIRST_BYTES_TIMEOUT, SNIFF_TIMEOUT, detect};
use crate::limits::{UpstreamShare, Whose};
use crate::lookup::{Found, Unavailable};
use crate::snapshot::{HostEntry, Snapshot};
use crate::upstream::Target;
use crate::worker::Worker;
use ::http::HeaderValue;
use codec::{
    Budget, FloodLimits, HELD_BYTES_MAX, Io, ResetLimits, SHARED_HELD_BYTES_MAX, ServeError, ServerOptions,
};
use daemon::Drain;
use decide::listener::{self, Outbound};
use model::service::Protocol;
use model::{Hostname, Reason};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Streams that a caller from outside may have open on one connection: the least that RFC 9113 section 6.5.2 advises,
/// for each costs some ten kilobytes by being open. More: `REFUSED_STREAM`.
const EDGE_STREAMS_MAX: u32 = 100;

/// Who sends requests over one connection, and where the connection came in.
pub(crate) struct Caller {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Where it came in.
    pub(crate) side: Side,
    /// The caller's address.
    pub(crate) address: SocketAddr,
    /// The caller's address as text, made once.
    pub(crate) forwarded_for: HeaderValue,
    /// What it may have of the upstream connections.
    pub(crate) share: Rc<UpstreamShare>,
}

/// Where a connection came in.
pub(crate) enum Side {
    /// From the local application, to a service.
    Outbound {
        /// Its host.
        host: Hostname,
        /// Service port.
        port: u16,
    },
    /// From outside, at a gateway's listener port.
    Gateway {
        /// The place that the configuration names, which an inherited socket may only stand for.
        at: SocketAddr,
    },
}

impl Caller {
    /// A caller at `address`.
    pub(crate) fn new(worker: &Rc<Worker>, side: Side, address: SocketAddr) -> Rc<Self> {
        let text = HeaderValue::try_from(address.ip().to_canonical().to_string());
        let forwarded_for = text.unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let share = worker.limits.share(match side {
            Side::Outbound { .. } => Whose::Own,
            Side::Gateway { .. } => Whose::Edge(address.ip()),
        });
        Rc::new(Self { worker: Rc::clone(worker), side, address, forwarded_for, share })
    }
}

/// The host in the snapshot, or from the control plane.
///
/// # Errors
/// [`Reason::UnknownHost`] when there is none, [`Reason::NotSynced`] when nobody can tell.
pub(crate) async fn fetch_entry(
    worker: &Worker,
    snapshot: &Snapshot,
    host: &Hostname,
) -> Result<Arc<HostEntry>, Reason> {
    if let Some(entry) = snapshot.host(host.as_str()) {
        worker.shared.lookup.touch(entry);
        return Ok(Arc::clone(entry));
    }
    match worker.shared.lookup.host(host).await {
        Ok(Found::Present(found)) => found.host(host.as_str()).cloned().ok_or(Reason::UnknownHost),
        Ok(Found::Absent) => Err(Reason::UnknownHost),
        Err(unavailable) => Err(unavailable_reason(unavailable)),
    }
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
    match classify_outbound(&worker, original).await {
        Ok(None) => tcp::pass_through(&worker, stream, address, original).await,
        Ok(Some((entry, port))) => serve_service(&worker, stream, address, &entry, port, drain).await,
        Err(reason) => worker.recorder.refused(address, reason),
    }
}

/// The service that a captured connection goes to; `None`: somewhere outside the mesh.
async fn classify_outbound(
    worker: &Worker,
    original: SocketAddr,
) -> Result<Option<(Arc<HostEntry>, u16)>, Reason> {
    let snapshot = worker.snapshot();
    let mut outbound = listener::outbound(original, |ip| snapshot.by_address(ip).cloned());
    if let (Outbound::Unknown, IpAddr::V4(ip)) = (&outbound, original.ip().to_canonical()) {
        match worker.shared.lookup.address(ip).await {
            Ok(Found::Present(found)) => {
                outbound = listener::outbound(original, |ip| found.by_address(ip).cloned());
            }
            Ok(Found::Absent) => return Err(Reason::UnknownAddress),
            Err(unavailable) => return Err(unavailable_reason(unavailable)),
        }
    }
    match outbound {
        Outbound::Service { host, port } => {
            Ok(Some((fetch_entry(worker, &worker.snapshot(), &host).await?, port)))
        }
        Outbound::Passthrough => Ok(None),
        Outbound::Refuse(reason) => Err(reason),
        Outbound::Unknown => Err(Reason::UnknownAddress),
    }
}

async fn serve_service(
    worker: &Rc<Worker>,
    stream: impl Io,
    address: SocketAddr,
    entry: &Arc<HostEntry>,
    port: u16,
    drain: Drain,
) {
    let Some(target) = Target::new(entry, port) else {
        worker.recorder.refused(address, Reason::NoRoute);
        return;
    };
    let wait = match target.protocol {
        Protocol::Tcp => return tcp::serve(worker, stream, address, &target).await,
        Protocol::Http1 | Protocol::Http2 => FIRST_BYTES_TIMEOUT,
        Protocol::Undeclared => SNIFF_TIMEOUT,
    };
    let Ok((detected, stream)) = detect(stream, wait).await else { return };
    let is_unknown = matches!(detected, Detected::Opaque | Detected::Silent);
    if is_unknown && target.protocol == Protocol::Undeclared {
        return tcp::serve(worker, stream, address, &target).await;
    }
    let side = Side::Outbound { host: entry.service.host.clone(), port };
    serve_http(&Caller::new(worker, side, address), detected, stream, drain).await;
}

/// A connection from outside to a gateway's listener.
pub(crate) async fn gateway(
    worker: Rc<Worker>,
    stream: impl Io,
    address: SocketAddr,
    at: SocketAddr,
    drain: Drain,
) {
    let Some(_permit) = worker.limits.callers.take(address.ip()) else {
        return worker.recorder.refused(address, Reason::TooManyConnections);
    };
    let caller = Caller::new(&worker, Side::Gateway { at }, address);
    if let Ok((detected, stream)) = detect(stream, FIRST_BYTES_TIMEOUT).await {
        serve_http(&caller, detected, stream, drain).await;
    }
}

/// Options with the time-outs that the mesh sets for connections of callers.
pub(crate) fn waits(worker: &Worker) -> ServerOptions {
    let snapshot = worker.snapshot();
    let http = &snapshot.settings.http;
    ServerOptions {
        idle_timeout: http.idle_timeout,
        stall_timeout: http.stream_idle_timeout,
        write_timeout: http.stream_idle_timeout,
        ..ServerOptions::default()
    }
}

async fn serve_http(caller: &Rc<Caller>, detected: Detected, stream: impl Io, drain: Drain) {
    let limits = waits(&caller.worker);
    let options = match caller.side {
        // The local application can hurt only itself.
        Side::Outbound { .. } => ServerOptions {
            budget: Some(budget(&caller.worker, caller.address, SHARED_HELD_BYTES_MAX)),
            floods: FloodLimits::shared(),
            resets: ResetLimits::shared(),
            ..limits
        },
        Side::Gateway { .. } => ServerOptions {
            max_concurrent_streams: EDGE_STREAMS_MAX,
            budget: Some(budget(&caller.worker, caller.address, HELD_BYTES_MAX)),
            ..limits
        },
    };
    let service = |request| http::serve(Rc::clone(caller), request);
    let served = match detected {
        Detected::Http2 => codec::http2::serve(stream, &options, drain.started(), service).await,
        // What is not HTTP on an HTTP port gets HTTP/1's 400.
        Detected::Http1 | Detected::Opaque => {
            codec::http1::serve(stream, &options, drain.started(), service).await
        }
        Detected::Silent => Err(ServeError::HeaderTimeout),
    };
    if let Err(error) = served {
        report(&caller.worker, caller.address, &error);
    }
}

/// What a caller's connection may make us hold; when it runs out for the first time, that is told.
pub(crate) fn budget(worker: &Rc<Worker>, address: SocketAddr, bytes: usize) -> Rc<Budget> {
    let worker = Rc::clone(worker);
    Budget::new(bytes, move || worker.recorder.refused(address, Reason::BudgetExhausted))
}

/// Tells why a connection ended other than by plan, where that is about the caller.
pub(crate) fn report(worker: &Worker, address: SocketAddr, error: &ServeError) {
    let reason = match error {
        ServeError::HeaderTimeout => Reason::HeaderTimeout,
        ServeError::Malformed(_) | ServeError::Protocol(_) => Reason::BadRequest,
        ServeError::HeadTooLarge => Reason::HeadersTooLarge,
        ServeError::Flood(_) => Reason::BudgetExhausted,
        // The exchange that it interrupted has been told of by itself.
        ServeError::Aborted(_) | ServeError::Service(_) | ServeError::Io(_) => {
            tracing::debug!(%error, %address, "connection ended");
            return;
        }
    };
    worker.recorder.cut(address, reason, error);
}
