//! From the objects of all sources into the world, and what is wrong with them then.

use super::Plane;
use crate::source::id::SourceId;
use crate::source::objects::SourceObject;
use crate::source::status::{self, ObjectStatus};
use apiserver::{Change as Row, Table};
use model::{Finding, ObjectRef, Subscription};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use translate::WorldChange;

impl Plane {
    /// Brings the world in line with [`Plane::objects`].
    pub fn sync_objects(&mut self) {
        let merged = self.objects.merged();
        let mut before = std::mem::take(&mut self.in_force);
        for object in merged.objects {
            // The same in memory, mostly: what is equal to itself is not compared.
            let old = before.remove(&object.object);
            if old.is_none_or(|old| !Arc::ptr_eq(&old, &object) && old != object) {
                self.apply(WorldChange::Object(Arc::clone(&object)));
            }
            self.in_force.insert(object.object.clone(), object);
        }
        for gone in before.into_keys() {
            self.apply(WorldChange::ObjectGone(gone));
        }
        self.judge_objects(merged.findings);
    }

    /// The same where nothing but these objects changed: the others, which may be many, are not looked at.
    pub fn sync_changed(&mut self, changed: &BTreeSet<ObjectRef>) {
        let (there, gone): (Vec<_>, Vec<_>) =
            changed.iter().partition(|object| self.objects.find(object).is_some());
        for object in there {
            let Some((_, found)) = self.objects.find(object) else { continue };
            let object = Arc::clone(&found.object);
            let old = self.in_force.insert(object.object.clone(), Arc::clone(&object));
            if old.is_none_or(|old| old != object) {
                self.apply(WorldChange::Object(object));
            }
        }
        for object in gone {
            if self.in_force.remove(object).is_some() {
                self.apply(WorldChange::ObjectGone(object.clone()));
            }
        }
        self.judge_objects(self.objects.findings());
    }

    /// What is to be said of each object of a source.
    pub fn statuses(&self, id: SourceId) -> Vec<ObjectStatus> {
        let mut about: HashMap<&ObjectRef, Vec<&Finding>> = HashMap::new();
        for finding in self.findings() {
            about.entry(&finding.origin.object).or_default().push(finding);
        }
        let status = |of: &SourceObject| {
            let name = &of.object.object;
            let overridden = self.objects.find(name).is_none_or(|(first, _)| first != id);
            let findings = if overridden { None } else { about.get(name) };
            let conditions = status::conditions(findings.map_or(&[], Vec::as_slice), overridden);
            ObjectStatus { object: Arc::clone(&of.object), conditions }
        };
        self.objects.of(id).map(status).collect()
    }

    /// What is in force has changed: what is wrong now, with the sources and as a whole.
    fn judge_objects(&mut self, source_findings: Vec<Finding>) {
        self.source_findings = source_findings;
        let gateways = self.in_force.keys().filter(|object| &*object.kind == "Gateway");
        let subscription = |object: &ObjectRef| Subscription::Gateway {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        self.gateways = gateways.map(subscription).collect();
        self.world.set_refused(&self.source_findings);
        self.store_addresses();
        self.find_what_is_wrong();
    }

    /// New mesh-only addresses are stored, so that they stay the same whatever comes later.
    pub(super) fn store_addresses(&mut self) {
        let addresses = self.world.addresses();
        for (host, ip) in &addresses {
            if self.stored_addresses.get(host) != Some(ip) {
                self.rows.push(Row::Put(Table::Addresses, host.to_string(), ip.to_string().into_bytes()));
            }
        }
        self.stored_addresses.extend(addresses);
    }
}
