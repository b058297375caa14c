//! What proxies tell of who comes to their applications: taken, and forgotten with their registrations.

use super::Plane;
use crate::presence::Standing;
use crate::stream::{StreamId, StreamPeer};
use crate::strict::Witness;
use model::Finding;
use std::time::SystemTime;
use xds::proto::ObservedInbound;
use xds::wire::observed_in;

impl Plane {
    /// A proxy tells who came to its application.
    pub fn observe(&mut self, id: StreamId, told: &ObservedInbound, now: SystemTime) {
        let peer = self.streams.get(&id).map(|stream| &stream.peer);
        let Some(StreamPeer::Proxy { uid, .. }) = peer else { return };
        if self.presence.find(uid).is_none_or(|known| known.standing == Standing::Withdrawn) {
            return;
        }
        match observed_in(told, now) {
            Ok(seen) => self.observed.take(uid, seen, now),
            Err(cause) => {
                tracing::warn!(proxy = %uid, %cause, "what a proxy tells of its callers cannot be read");
            }
        }
    }

    /// Forgets what those told that are gone for good.
    pub(super) fn forget_unregistered(&mut self) {
        let presence = &self.presence;
        self.observed.retain(|uid| presence.find(uid).is_some());
    }

    /// What is wrong with the configuration, and whom it shuts out at this moment.
    pub fn findings_now(&self, now: SystemTime) -> Vec<Finding> {
        let broken = Witness::new(&self.presence, &self.observed, now).broken(&self.world);
        self.findings.iter().cloned().chain(broken).collect()
    }
}
