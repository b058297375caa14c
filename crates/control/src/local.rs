//! A control plane inside the process that it serves: `leno gateway`, with no network and no identity.

use crate::files::watch_into;
use crate::metrics::Metrics;
use crate::plane::{Plane, Stored};
use crate::serving::pump;
use crate::source::directory::files::{Directory, DirectoryError};
use crate::source::directory::watch::{self, State};
use crate::source::objects::Objects;
use crate::stream::{Peer, Stream};
use crate::task::{self, Handle};
use daemon::clock::{Clock, System};
use daemon::{Drain, Tasks};
use model::{Finding, Locality, TrustDomain};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use translate::ClusterPlace;
use xds::link::{Link, ServerEnd};

/// Name of the cluster that such a gateway is alone in.
const CLUSTER: &str = "local";

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A directory, watched.
    Directory(PathBuf),
    /// This text, for ever.
    Text(String),
}

/// Why there is no local control plane.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory cannot be watched.
    #[error("watch configuration directory {path}")]
    Watch {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: notify::Error,
    },
}

/// A control plane in this process.
pub struct Attached {
    /// What the proxy holds.
    pub link: Link,
    /// What was wrong with the configuration at the start.
    pub findings: Vec<Finding>,
    /// For reports.
    pub handle: Handle,
}

/// Starts a control plane for `source` in tasks of the current runtime and opens a stream to it.
pub fn attach(source: Source, tasks: &Tasks, drain: Drain) -> Result<Attached, AttachError> {
    let clock: Arc<dyn Clock> = Arc::new(System);
    let mut objects = Objects::default();
    let mut watching = None;
    match source {
        Source::Directory(root) => {
            let failed = |cause| AttachError::Watch { path: root.clone(), cause };
            // Watch first, read then: what changes in between is read again.
            let events = watch::start(&root).map_err(failed)?;
            let mut directory = Directory::open(&root, &[])?;
            let state = State::of(&mut directory);
            objects.set_files(state.objects, state.leaving, state.findings);
            watching = Some((directory, events));
        }
        Source::Text(text) => {
            let (parsed, findings) = api::parse::documents(&text, "");
            let parsed = parsed.into_iter().map(Arc::new).collect();
            objects.set_files(parsed, Default::default(), findings);
        }
    }
    // Nobody is authenticated here, so the trust domain is only a name.
    let trust_domain = TrustDomain::parse("leno.local").expect("a constant that is well-formed");
    let place = ClusterPlace {
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
    // Nothing outlives such a process.
    tasks.spawn("rows", async move { while rows.recv().await.is_some() {} });
    if let Some((directory, events)) = watching {
        tasks.spawn("watch", watch_into(directory, events, handle.clone(), drain.clone()));
    }
    let (link, end) = xds::link::pair();
    tasks.spawn("local stream", serve(end, handle.clone(), drain, clock));
    Ok(Attached { link, findings, handle })
}

async fn serve(mut end: ServerEnd, handle: Handle, drain: Drain, clock: Arc<dyn Clock>) {
    let Some(Ok(first)) = end.rx.recv().await else { return };
    let tx = end.tx.clone();
    let opened = handle.run(move |plane, _| {
        let stream = Stream::new(Peer::Local, tx, move || clock.wall());
        plane.open(stream, &[])
    });
    let Ok(Some(id)) = opened.await else { return };
    if let Err(error) = pump(id, first, &mut end, &handle, &drain).await {
        tracing::warn!(%error, "local stream ended");
    }
    let _ = handle.run(move |plane, now| plane.close(id, now.instant)).await;
}
