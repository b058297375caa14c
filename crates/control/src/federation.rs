//! The link to the management plane: this cluster's export goes out, what the others offer comes in.
//!
//! The last view is stored, and a start begins with it; while the management plane is away it stays in
//! force. What is held is told at each reconnect, so only differences come back. Before the certificate that a
//! link was opened with expires, another link takes its place.

use crate::metrics::Metrics;
use crate::task::{Ended, Handle};
use apiserver::{Change, Row, Store, StoreError, Table};
use daemon::Drain;
use daemon::clock::Clock;
use identity::rotate::{jitter, superseded};
use identity::{Expect, Identity};
use model::federation::RemoteCluster;
use model::{Backoff, Resource, ResourceKey, SpiffeId, Subscription};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use xds::Status;
use xds::client::{ClientSession, Update};
use xds::grpc::{Channel, Reporting};
use xds::link::Link;
use xds::proto::ProxyNode;
use xds::wire::{self, Any};

/// First wait after the link broke; doubles up to [`RETRY_WAIT_MAX`], with jitter.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Everything that the link needs.
pub struct FederationLink {
    /// Where the management plane is.
    pub manager: SocketAddr,
    /// Who must answer there.
    pub manager_id: SpiffeId,
    /// Name of this cluster.
    pub cluster: Arc<str>,
    /// Our certificate.
    pub identity: Identity,
    /// The plane.
    pub handle: Handle,
    /// Where the last view goes.
    pub store: Arc<dyn Store>,
    /// What is counted.
    pub metrics: Metrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// When to stop.
    pub drain: Drain,
}

/// How a link ended in order.
enum LinkEnd {
    /// Its certificate expires soon, and there is a newer one.
    Superseded,
}

/// Why a link broke.
#[derive(Debug, Error)]
enum LinkFailure {
    /// The connection or a stream on it failed.
    #[error(transparent)]
    Link(#[from] Status),
    /// The other side ended one of the two streams.
    #[error("the management plane closed the {0}")]
    Closed(&'static str),
    /// What came could not be stored.
    #[error("store what the management plane sent")]
    Store(#[source] StoreError),
    /// This plane is stopping.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// The stored view: other clusters with their versions. Rows that cannot be read are left out; they come
/// again from the management plane.
pub fn load(rows: &[Row]) -> (Vec<RemoteCluster>, ClientSession) {
    let read = |row: &Row| {
        let split = row.value.iter().position(|byte| *byte == b'\n')?;
        let (type_url, rest) = row.value.split_at(split);
        let type_url = String::from_utf8(type_url.to_vec()).ok()?;
        match wire::decode(&Any::Received { type_url, value: rest[1..].to_vec().into() }).ok()? {
            Resource::Cluster(cluster) => Some(cluster),
            _ => None,
        }
    };
    let clusters: Vec<RemoteCluster> = rows.iter().filter_map(read).collect();
    let held = clusters.iter().map(|cluster| {
        let key = ResourceKey::Cluster(cluster.cluster.clone());
        let version = wire::encode(&key, &Resource::Cluster(cluster.clone())).version.clone();
        (key, version)
    });
    let session = ClientSession::restore(held.collect::<Vec<_>>());
    (clusters, session)
}

fn row(cluster: &RemoteCluster) -> Change {
    let key = ResourceKey::Cluster(cluster.cluster.clone());
    let encoded = wire::encode(&key, &Resource::Cluster(cluster.clone()));
    let mut value = encoded.any.type_url().as_bytes().to_vec();
    value.push(b'\n');
    value.extend_from_slice(encoded.any.value());
    Change::Put(Table::Remote, cluster.cluster.to_string(), value)
}

impl FederationLink {
    /// Keeps the link up until the drain starts. `session` holds what is known already.
    pub async fn run(self, mut session: ClientSession) {
        session.subscribe(&[Subscription::Clusters]);
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        while !self.drain.is_started() {
            let connected = tokio::select! {
                result = self.connect(&mut session, &mut backoff) => result,
                () = self.drain.started() => return,
            };
            session.on_disconnect();
            match connected {
                Ok(LinkEnd::Superseded) => {
                    tracing::debug!(manager = %self.manager, "a new link with the new certificate");
                    continue;
                }
                Err(error) => {
                    self.metrics.manager_up.set(0);
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, manager = %self.manager, "no link to the management plane; the last view stays in force");
                }
            }
            let pause = backoff.next_wait(jitter());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.drain.started() => return,
            }
        }
    }

    /// One connection, from its beginning to its end.
    async fn connect(
        &self,
        session: &mut ClientSession,
        backoff: &mut Backoff,
    ) -> Result<LinkEnd, LinkFailure> {
        // Read first: should it be renewed while we connect, the link is replaced too early, not too late.
        let shown = self.identity.svid();
        let tls = self.identity.client_config(Expect::OneOf(vec![self.manager_id.clone()]), &[b"h2"]);
        let channel = Channel::connect(self.manager, tls).await?;
        let mut link = channel.open_ads();
        let mut reporting = channel.report();
        let node = ProxyNode {
            uid: self.cluster.to_string(),
            namespace: identity::SYSTEM_NAMESPACE.to_owned(),
            group: identity::CONTROL_ACCOUNT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ProxyNode::default()
        };
        link.tx.send(session.on_connect(node)).await.map_err(|_| LinkFailure::Closed("stream"))?;
        self.metrics.manager_up.set(1);
        let old = std::pin::pin!(superseded(&self.identity, shown, || self.clock.wall(), jitter()));
        self.pump(session, &mut link, &mut reporting, backoff, old).await
    }

    async fn pump(
        &self,
        session: &mut ClientSession,
        link: &mut Link,
        reporting: &mut Reporting,
        backoff: &mut Backoff,
        mut old: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<LinkEnd, LinkFailure> {
        let mut export = self.handle.export();
        export.mark_changed();
        loop {
            tokio::select! {
                response = link.rx.recv() => {
                    let Some(response) = response else { return Err(LinkFailure::Closed("stream")) };
                    let request = match session.on_response(response?) {
                        Ok(update) => self.take(session, update).await?,
                        Err(refusal) => *refusal.request,
                    };
                    link.tx.send(request).await.map_err(|_| LinkFailure::Closed("stream"))?;
                }
                ack = reporting.acks.recv() => match ack {
                    Some(ack) => {
                        ack?;
                        // Not earlier: one that takes the connection and refuses the report would be asked
                        // for ever at full speed.
                        backoff.reset();
                    }
                    None => return Err(LinkFailure::Closed("report")),
                },
                // Here alone: an update that was begun must come into force, or it would be held and not used.
                () = &mut old => return Ok(LinkEnd::Superseded),
                changed = export.changed() => {
                    changed.map_err(|_| Ended)?;
                    let current = export.borrow_and_update().clone();
                    if let Some(current) = current {
                        let sent = reporting.tx.send((*current).clone()).await;
                        sent.map_err(|_| LinkFailure::Closed("report"))?;
                        self.metrics.reports.inc();
                    }
                }
            }
        }
    }

    /// Stores an update, brings it into force, and gives back the confirmation.
    async fn take(
        &self,
        session: &ClientSession,
        update: Update,
    ) -> Result<xds::DeltaDiscoveryRequest, LinkFailure> {
        let clusters: Vec<RemoteCluster> = update
            .upserts
            .into_iter()
            .filter_map(|(_, resource)| match resource {
                // What we export comes from us alone.
                Resource::Cluster(cluster) if cluster.cluster != self.cluster => Some(cluster),
                _ => None,
            })
            .collect();
        // A manager that lost its memory does not know the others yet, which is not the same as their absence:
        // what was in force stays. Nothing takes a cluster out of the mesh so far.
        if !update.removed.is_empty() {
            self.metrics.remote_kept.add(update.removed.len() as u64);
            tracing::warn!(
                clusters = update.removed.len(),
                "the management plane does not know these clusters; kept"
            );
        }
        let rows: Vec<Change> = clusters.iter().map(row).collect();
        if !rows.is_empty() {
            let store = self.store.clone();
            let stored = tokio::task::spawn_blocking(move || store.commit(&rows)).await;
            // A thread that failed has stored nothing, and this plane goes with it.
            stored.map_err(|_| Ended)?.map_err(LinkFailure::Store)?;
        }
        self.handle.run(move |plane, _| plane.remote(clusters)).await?;
        Ok(session.ack(&update.nonce, session.held_hash()))
    }
}
