//! Control streams: they come, ask, are sent what changed, and go.

use super::{Plane, STREAMS_MAX, STREAMS_PER_PROXY_MAX};
use crate::push;
use crate::stream::{CatalogSource, ControlStream, RequestFailure, StreamId, StreamPeer};
use model::Subscription;
use model::probe::ApplicationHealth;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use translate::ProxyKey;
use xds::proto::DeltaDiscoveryRequest;
use xds::server::NACK_MESSAGE_CHARS_MAX;

/// Why an application is not ready whose proxy has told nothing yet.
const NOT_TOLD: &str = "its proxy has not told yet";

/// What a proxy says of itself before anything else. The local gateway says nothing.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// What it knows of its application; `None`: it is too old to know probes.
    pub health: Option<ApplicationHealth>,
}

/// What a request tells of the application, if anything.
pub fn read_health(request: &DeltaDiscoveryRequest) -> Option<ApplicationHealth> {
    let read = request.health.as_ref().map(xds::wire::health_in)?;
    read.inspect_err(|error| tracing::warn!(%error, "what a proxy tells of its application is left out")).ok()
}

impl Plane {
    /// Takes a stream, of which this was said first; `None` when there are too many.
    pub fn open(&mut self, stream: ControlStream, hello: &Hello) -> Option<StreamId> {
        if self.streams.len() >= STREAMS_MAX {
            return None;
        }
        if let StreamPeer::Proxy { uid, shown, key, .. } = &stream.peer {
            if self.presence.streams(uid) >= STREAMS_PER_PROXY_MAX {
                return None;
            }
            let (uid, key) = (uid.clone(), key.clone());
            let is_new = self.presence.is_new(&uid);
            self.rows.extend(self.presence.connect(&uid, &hello.addresses, *shown));
            if is_new && hello.health == Some(ApplicationHealth::Unknown) && self.is_probed(&key) {
                // Its proxy does not know yet that it is to probe, and nobody knows the application.
                self.rows.extend(self.presence.set_unready(&uid, Some(NOT_TOLD.into())));
            }
            self.hear_health(&uid, hello.health.as_ref());
            self.sync_workload(&uid);
        }
        self.last_stream += 1;
        self.streams.insert(self.last_stream, stream);
        self.metrics.proxies.set(self.streams.len() as i64);
        Some(self.last_stream)
    }

    fn is_probed(&self, key: &ProxyKey) -> bool {
        self.world.group(&key.namespace, &key.group).is_some_and(|group| group.probe.is_some())
    }

    /// Takes note of what a proxy says of its application; `None` is a proxy that says nothing of it.
    fn hear_health(&mut self, uid: &str, health: Option<&ApplicationHealth>) {
        let unready = match health {
            None | Some(ApplicationHealth::Unknown) => return,
            Some(ApplicationHealth::NotProbed | ApplicationHealth::Ready) => None,
            Some(ApplicationHealth::NotReady(cause)) => Some(cause.clone()),
        };
        self.rows.extend(self.presence.set_unready(uid, unready));
    }

    /// A request came in; `Err`: the stream must end.
    pub fn request(&mut self, id: StreamId, request: DeltaDiscoveryRequest) -> Result<(), RequestFailure> {
        let source =
            CatalogSource { world: &self.world, published: &self.published, gateways: &self.gateways };
        let health = read_health(&request);
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.sequence() == 1 {
            // Whatever it is answered first holds all that was handed to others before.
            stream.expect_revision(1, self.pushed);
        }
        if request.error_detail.is_some() {
            self.metrics.nacks.inc();
            let message = request.error_detail.as_ref().map_or("", |error| error.message.as_str());
            let message: String = message.chars().take(NACK_MESSAGE_CHARS_MAX).collect();
            tracing::warn!(proxy = %stream.peer, cause = message, "a proxy refused what it was sent");
        }
        let sent = stream.on_request(request, source)?;
        self.metrics.resources_sent.add(sent.resources);
        self.metrics.resources_removed.add(sent.removed);
        if let (StreamPeer::Proxy { uid, .. }, Some(health)) = (&stream.peer, health) {
            let uid = uid.clone();
            self.hear_health(&uid, Some(&health));
            self.sync_workload(&uid);
        }
        // Names come and go without any change of the mesh too.
        self.published.sweep(|| self.streams.values().flat_map(ControlStream::subscriptions));
        self.hear_for_withdrawals(id);
        self.complete_withdrawals(None);
        Ok(())
    }

    /// A stream ended.
    pub fn close(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.remove(&id) else { return };
        if let StreamPeer::Proxy { uid, .. } = &stream.peer {
            self.rows.extend(self.presence.disconnect(uid, now));
            self.sync_workload(uid);
        }
        self.metrics.proxies.set(self.streams.len() as i64);
        self.hear_for_withdrawals(id);
        self.complete_withdrawals(None);
    }

    /// All streams.
    pub fn streams(&self) -> impl Iterator<Item = (&StreamId, &ControlStream)> {
        self.streams.iter()
    }

    /// Uids that have an open stream.
    pub fn connected(&self) -> HashMap<Arc<str>, &ControlStream> {
        let of = |stream: &ControlStream| match &stream.peer {
            StreamPeer::Proxy { uid, .. } => Some(uid.clone()),
            StreamPeer::Local => None,
        };
        self.streams.values().filter_map(|stream| Some((of(stream)?, stream))).collect()
    }

    /// Sends what changed to the streams that it concerns; the result is what really changed.
    pub fn flush(&mut self, started: Instant) -> HashSet<Subscription> {
        let touched = std::mem::take(&mut self.touched);
        let revision = self.objects.revision();
        let sequences: Vec<u64> = match revision > self.pushed {
            true => self.streams.values().map(ControlStream::sequence).collect(),
            false => Vec::new(),
        };
        self.pushed = revision;
        let changed = if touched.is_empty() {
            HashSet::new()
        } else {
            let source =
                CatalogSource { world: &self.world, published: &self.published, gateways: &self.gateways };
            push::fan_out(&touched, source, &mut self.streams, &self.metrics, started)
        };
        for (stream, sequence) in self.streams.values_mut().zip(sequences) {
            stream.expect_revision(sequence, revision);
        }
        changed
    }

    /// Number of subscriptions whose resources are kept encoded.
    pub fn published(&self) -> usize {
        self.published.len()
    }

    /// Number of resources that are kept encoded.
    #[cfg(test)]
    pub(crate) fn encoded(&self) -> usize {
        self.published.resources()
    }
}
