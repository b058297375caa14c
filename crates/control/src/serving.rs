//! Control streams over the network: who may open one, and the loop between it and the plane.

use crate::metrics::Metrics;
use crate::plane::{Hello, Plane, read_health};
use crate::presence::{ADDRESSES_MAX, StreamRefusal, Validity};
use crate::stream::{ControlStream, RequestFailure, StreamPeer};
use crate::task::{Ended, Handle, Now};
use daemon::clock::Clock;
use daemon::{Drain, Tasks};
use model::trust::Proof;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use translate::ProxyKey;
use xds::grpc::{CallingPeer, Discovery};
use xds::link::ServerEnd;
use xds::proto::DeltaDiscoveryRequest;
use xds::{Code, Status, TYPE_URL};

/// The first request must come within this time.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest version text kept of a proxy, in characters.
const VERSION_CHARS_MAX: usize = 64;

/// Takes control streams.
pub struct Streams {
    handle: Handle,
    tasks: Tasks,
    drain: Drain,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl Streams {
    /// Streams served from `handle`'s plane; they end when `drain` starts.
    pub fn new(handle: Handle, tasks: Tasks, drain: Drain, metrics: Metrics, clock: Arc<dyn Clock>) -> Self {
        Self { handle, tasks, drain, metrics, clock }
    }
}

impl Discovery for Streams {
    fn open(&self, peer: CallingPeer, end: ServerEnd) -> Result<(), Status> {
        let Some(proof) = peer.proof.clone() else {
            self.metrics.refusals.inc();
            return Err(peer.unproved());
        };
        let (handle, drain, metrics, clock) =
            (self.handle.clone(), self.drain.clone(), self.metrics.clone(), self.clock.clone());
        self.tasks.spawn("control stream", async move {
            let mut end = end;
            let served = serve(proof, peer.address, &mut end, handle, &drain, clock);
            if let Err(error) = served.await {
                metrics.refusals.inc();
                tracing::warn!(peer = %peer.address, %error, "control stream ended");
                end.fail(error.into());
            }
        });
        Ok(())
    }
}

/// Why a control stream was ended here.
#[derive(Debug, Error)]
pub(crate) enum StreamFailure {
    /// See [`FIRST_REQUEST_TIMEOUT`].
    #[error("no request within {} s", FIRST_REQUEST_TIMEOUT.as_secs())]
    Silent,
    /// It is not who it says.
    #[error(transparent)]
    StreamRefusal(#[from] StreamRefusal),
    /// There is no room for it: see [`crate::plane::STREAMS_MAX`].
    #[error("too many streams")]
    TooMany,
    /// What it asks for cannot be served.
    #[error(transparent)]
    Request(#[from] RequestFailure),
    /// The plane is stopping.
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl From<StreamFailure> for Status {
    fn from(failure: StreamFailure) -> Self {
        let code = match failure {
            StreamFailure::Request(RequestFailure::Fault(fault)) => return fault.into(),
            StreamFailure::Silent => Code::DeadlineExceeded,
            StreamFailure::StreamRefusal(_) => Code::PermissionDenied,
            StreamFailure::TooMany | StreamFailure::Request(_) => Code::ResourceExhausted,
            StreamFailure::Ended(_) => Code::Unavailable,
        };
        Status::new(code, failure.to_string())
    }
}

async fn serve(
    proof: Proof,
    remote: SocketAddr,
    end: &mut ServerEnd,
    handle: Handle,
    drain: &Drain,
    clock: Arc<dyn Clock>,
) -> Result<(), StreamFailure> {
    let first = match tokio::time::timeout(FIRST_REQUEST_TIMEOUT, end.rx.recv()).await {
        Ok(Some(Ok(first))) => first,
        Ok(Some(Err(_)) | None) => return Ok(()),
        Err(_) => return Err(StreamFailure::Silent),
    };
    let node = first.node.as_ref().and_then(|node| node.proxy.clone()).unwrap_or_default();
    let addresses =
        node.addresses.iter().take(ADDRESSES_MAX).filter_map(|address| address.parse().ok()).collect();
    let hello = Hello { addresses, health: read_health(&first) };
    let version: String = node.version.chars().take(VERSION_CHARS_MAX).collect();
    let tx = end.tx.clone();
    let opened = handle.run(move |plane, _| -> Result<u64, StreamFailure> {
        let registration = plane.admit(&node.uid, &proof)?;
        let key = ProxyKey { namespace: registration.namespace, group: registration.group };
        let peer = StreamPeer::Proxy {
            uid: registration.uid,
            shown: Validity::of(&proof),
            identity: proof.id,
            remote,
            key,
            version: version.into(),
        };
        let stream = ControlStream::new(peer, tx, move || clock.wall());
        plane.open(stream, &hello).ok_or(StreamFailure::TooMany)
    });
    let id = opened.await??;
    let result = pump(id, first, end, &handle, drain).await;
    // The plane may be gone already; then there is nothing to tell.
    let _ = handle.run(move |plane, now| plane.close(id, now.instant)).await;
    result
}

/// A request without what it reports.
fn report_only() -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: TYPE_URL.to_owned(), ..DeltaDiscoveryRequest::default() }
}

/// Hands requests to the plane, which answers by itself, until the stream ends.
pub(crate) async fn pump(
    id: u64,
    first: DeltaDiscoveryRequest,
    end: &mut ServerEnd,
    handle: &Handle,
    drain: &Drain,
) -> Result<(), StreamFailure> {
    let mut request = first;
    loop {
        let job = move |plane: &mut Plane, now: Now| {
            match request.observed.take() {
                Some(observed) => plane.observe(id, &observed, now.wall),
                None => return plane.request(id, request),
            }
            // Most of those that tell who called say nothing else, and ask for nothing.
            if request == report_only() { Ok(()) } else { plane.request(id, request) }
        };
        handle.run(job).await??;
        request = tokio::select! {
            next = end.rx.recv() => match next {
                Some(Ok(next)) => next,
                Some(Err(_)) | None => return Ok(()),
            },
            () = drain.started() => return Ok(()),
        };
    }
}
