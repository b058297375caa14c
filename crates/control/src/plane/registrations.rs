//! Registrations: who may act for which workload, and the world in line with who is there.

use super::Plane;
use crate::presence::{REGISTRATIONS_MAX, Registration, StreamRefusal, Validity};
use model::trust::Proof;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use translate::WorldChange;

impl Plane {
    /// Brings the world in line with who is there.
    pub(super) fn sync_presence(&mut self) {
        let wanted: BTreeMap<Arc<str>, translate::JoinedWorkload> = self
            .presence
            .present()
            .filter_map(|(registration, state)| registration.workload(state))
            .map(|workload| (workload.uid.clone(), workload))
            .collect();
        let known: BTreeMap<Arc<str>, translate::JoinedWorkload> = self
            .world
            .workloads()
            .into_iter()
            .map(|workload| (workload.uid.clone(), workload.clone()))
            .collect();
        for (uid, workload) in &wanted {
            if known.get(uid) != Some(workload) {
                self.apply(WorldChange::Workload(workload.clone()));
            }
        }
        for uid in known.into_keys().filter(|uid| !wanted.contains_key(uid)) {
            self.apply(WorldChange::WorkloadGone(uid));
        }
    }

    pub(super) fn sync_workload(&mut self, uid: &str) {
        let wanted =
            self.presence.find_present(uid).and_then(|(registration, state)| registration.workload(state));
        let known = self.world.workload(uid).cloned();
        match (wanted, known) {
            (Some(wanted), known) if known.as_ref() != Some(&wanted) => {
                self.apply(WorldChange::Workload(wanted))
            }
            (None, Some(known)) => self.apply(WorldChange::WorkloadGone(known.uid)),
            _ => {}
        }
    }

    /// A proxy joined; its row is stored by the caller before the answer.
    pub fn join(&mut self, registration: Registration) {
        self.presence.join(registration);
    }

    /// Whether there is room for one more registration.
    pub fn has_room(&self) -> bool {
        self.presence.len() < REGISTRATIONS_MAX
    }

    /// Whether who proved this may act as `uid`.
    pub fn admit(&self, uid: &str, proof: &Proof) -> Result<Registration, StreamRefusal> {
        self.presence.admit(uid, proof, &self.world.local_cluster().cluster).cloned()
    }

    /// Whether who showed an expired certificate, which proved this, may have `uid` certified anew.
    pub fn admit_expired(
        &self,
        uid: &str,
        proof: &Proof,
        now: SystemTime,
    ) -> Result<Registration, StreamRefusal> {
        let registration =
            self.presence.admit_expired(uid, proof, &self.world.local_cluster().cluster, now)?;
        // Long ago the configuration may have been another.
        match self.world.identity(&registration.namespace, &registration.group) {
            Some(identity) if identity == proof.id => Ok(registration.clone()),
            _ => Err(StreamRefusal::NoGroup),
        }
    }

    /// A proxy got another certificate; to be said before it is handed out.
    pub fn renew(&mut self, uid: &str, shown: Validity, expires_s: u64) -> Result<(), StreamRefusal> {
        self.rows.extend(self.presence.renew(uid, shown, expires_s)?);
        Ok(())
    }
}
