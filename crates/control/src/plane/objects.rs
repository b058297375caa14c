//! From the objects of all sources into the world, and what is wrong with them then.

use super::Plane;
use crate::source::id::SourceId;
use crate::source::objects::SourceObject;
use crate::source::status::{self, ObjectStatus};
use api::Object;
use apiserver::{Change as Row, Table};
use model::{Finding, ObjectRef};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use translate::WorldChange;

impl Plane {
    /// Brings the world in line with [`Plane::objects`].
    pub fn sync_objects(&mut self) {
        let merged = self.objects.merged();
        let wanted: BTreeSet<&ObjectRef> = merged.objects.iter().map(|object| &object.object).collect();
        let known = self.world.objects().map(|object| &object.object);
        let gone: Vec<ObjectRef> = known.filter(|object| !wanted.contains(object)).cloned().collect();
        for object in merged.objects {
            self.put_in_force(object);
        }
        for gone in gone {
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
            self.put_in_force(Arc::clone(&found.object));
        }
        for object in gone {
            if self.world.object(object).is_some() {
                self.apply(WorldChange::ObjectGone(object.clone()));
            }
        }
        self.judge_objects(self.objects.findings());
    }

    /// The same in memory, mostly: what is equal to itself is not compared.
    fn put_in_force(&mut self, object: Arc<Object>) {
        let known = self.world.object(&object.object);
        if known.is_none_or(|known| !Arc::ptr_eq(known, &object)) {
            self.apply(WorldChange::Object(object));
        }
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
        self.gateways = translate::gateways(&self.world);
        self.world.set_refused(&self.source_findings);
        self.store_addresses();
        self.find_what_is_wrong();
    }

    /// New mesh-only addresses are stored, so that they stay the same whatever comes later.
    pub(super) fn store_addresses(&mut self) {
        for (host, ip) in self.world.take_new_addresses() {
            self.rows.push(Row::Put(Table::Addresses, host.to_string(), ip.to_string().into_bytes()));
        }
    }
}
