//! A control plane inside the process that it serves: `leno gateway`, with no network and no identity.

use crate::metrics::Metrics;
use crate::plane::{Hello, Plane, Stored};
use crate::serving::pump;
use crate::source::Sources;
use crate::source::directory::DirectoryError;
use crate::source::objects::Objects;
use crate::source::sink::ObjectSink;
use crate::stream::{ControlStream, StreamPeer};
use crate::task::{self, Handle};
use daemon::clock::{Clock, System};
use daemon::{Drain, Tasks};
use model::{Finding, Locality, TrustDomain};
use std::sync::Arc;
use translate::LocalCluster;
use xds::link::{Link, ServerEnd};

/// Name of the cluster that such a gateway is alone in.
const CLUSTER: &str = "local";

/// A control plane in this process.
pub struct Attached {
    /// What the proxy holds.
    pub link: Link,
    /// What was wrong with the configuration at the start.
    pub findings: Vec<Finding>,
    /// For reports.
    pub handle: Handle,
}

/// Starts a control plane for `sources` in tasks of the current runtime and opens a stream to it.
pub fn attach(sources: Sources, tasks: &Tasks, drain: Drain) -> Result<Attached, DirectoryError> {
    let clock: Arc<dyn Clock> = Arc::new(System);
    let mut objects = Objects::default();
    // Nothing outlives such a process, rows neither.
    let mut sources = sources.open(Vec::new())?;
    for source in &mut sources {
        let _ = objects.replace(source.id(), source.first());
    }
    // Nobody is authenticated here, so the trust domain is only a name.
    let trust_domain = TrustDomain::parse("leno.local").expect("a constant that is well-formed");
    let place = LocalCluster {
        cluster: CLUSTER.into(),
        network: CLUSTER.into(),
        locality: Locality::default(),
        trust_domain,
    };
    let (work, handle, mut rows) = task::prepare(clock.clone());
    let metrics = Metrics::new(&daemon::metrics::Registry::new());
    let stored = Stored { objects, ..Stored::default() };
    let plane = Plane::new(place, Vec::new(), stored, metrics, clock.now());
    let findings = plane.findings().to_vec();
    tasks.spawn("world", work.run(plane));
    tasks.spawn("rows", async move { while rows.recv().await.is_some() {} });
    for source in sources {
        let sink = ObjectSink::new(source.id(), handle.clone());
        tasks.spawn("source", source.run(sink, drain.clone()));
    }
    let (link, end) = xds::link::pair();
    tasks.spawn("local stream", serve(end, handle.clone(), drain, clock));
    Ok(Attached { link, findings, handle })
}

async fn serve(mut end: ServerEnd, handle: Handle, drain: Drain, clock: Arc<dyn Clock>) {
    let Some(Ok(first)) = end.rx.recv().await else { return };
    let tx = end.tx.clone();
    let opened = handle.run(move |plane, _| {
        let stream = ControlStream::new(StreamPeer::Local, tx, move || clock.wall());
        plane.open(stream, &Hello::default())
    });
    let Ok(Some(id)) = opened.await else { return };
    if let Err(error) = pump(id, first, &mut end, &handle, &drain).await {
        tracing::warn!(%error, "local stream ended");
    }
    let _ = handle.run(move |plane, now| plane.close(id, now.instant)).await;
}
