//! Control streams over the network: who may open one, and the loop between it and the plane.

use crate::metrics::Metrics;
use crate::presence::{ADDRESSES_MAX, Validity};
use crate::stream::{Peer as StreamPeer, Stream};
use crate::task::Handle;
use daemon::clock::Clock;
use daemon::{Drain, Tasks};
use model::trust::Proof;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use translate::ProxyKey;
use xds::Status;
use xds::grpc::{Discovery, Peer};
use xds::link::ServerEnd;
use xds::proto::DeltaDiscoveryRequest;

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
    fn open(&self, peer: Peer, end: ServerEnd) -> Result<(), Status> {
        let Some(proof) = peer.proof.clone() else {
            self.metrics.refusals.inc();
            return Err(peer.unproved());
        };
        let (handle, drain, metrics, clock) =
            (self.handle.clone(), self.drain.clone(), self.metrics.clone(), self.clock.clone());
        self.tasks.spawn("control stream", async move {
            let served = serve(proof, peer.address, end, handle, &drain, clock);
            if let Err(error) = served.await {
                metrics.refusals.inc();
                tracing::warn!(peer = %peer.address, %error, "control stream ended");
            }
        });
        Ok(())
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve(
    proof: Proof,
    remote: SocketAddr,
    mut end: ServerEnd,
    handle: Handle,
    drain: &Drain,
    clock: Arc<dyn Clock>,
) -> Result<(), Failure> {
    let first = match tokio::time::timeout(FIRST_REQUEST_TIMEOUT, end.rx.recv()).await {
        Ok(Some(Ok(first))) => first,
        Ok(Some(Err(_)) | None) => return Ok(()),
        Err(_) => return Err("no request within 10 s".into()),
    };
    let node = first.node.as_ref().and_then(|node| node.proxy.clone()).unwrap_or_default();
    let addresses: Vec<IpAddr> =
        node.addresses.iter().take(ADDRESSES_MAX).filter_map(|address| address.parse().ok()).collect();
    let version: String = node.version.chars().take(VERSION_CHARS_MAX).collect();
    let tx = end.tx.clone();
    let opened = handle.run(move |plane, _| -> Result<u64, Failure> {
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
        let stream = Stream::new(peer, tx, move || clock.wall());
        plane.open(stream, &addresses).ok_or_else(|| "too many streams".into())
    });
    let id = opened.await??;
    let result = pump(id, first, &mut end, &handle, drain).await;
    // The plane may be gone already; then there is nothing to tell.
    let _ = handle.run(move |plane, now| plane.close(id, now.instant)).await;
    result
}

/// Hands requests to the plane, which answers by itself, until the stream ends.
pub(crate) async fn pump(
    id: u64,
    first: DeltaDiscoveryRequest,
    end: &mut ServerEnd,
    handle: &Handle,
    drain: &Drain,
) -> Result<(), Failure> {
    let mut request = first;
    loop {
        handle.run(move |plane, _| plane.request(id, request)).await??;
        request = tokio::select! {
            next = end.rx.recv() => match next {
                Some(Ok(next)) => next,
                Some(Err(_)) | None => return Ok(()),
            },
            () = drain.started() => return Ok(()),
        };
    }
}
