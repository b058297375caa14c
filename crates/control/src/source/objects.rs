//! All objects of the cluster: those of each source, merged by precedence.
//!
//! The first source that has an object wins; a name that comes from two of them, or twice from one, is a finding.
//! What is about to leave a directory makes room for what comes over the API.

use crate::source::id::SourceId;
use api::Object;
use apiserver::Change;
use model::{Code, Finding, ObjectRef};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An object of a source.
#[derive(Clone, Debug)]
pub struct SourceObject {
    /// The object.
    pub object: Arc<Object>,
    /// Revision of its last change in the store; 0 where it is not kept there.
    pub revision: u64,
}

impl Borrow<ObjectRef> for SourceObject {
    fn borrow(&self) -> &ObjectRef {
        &self.object.object
    }
}

/// Within a source there is one of a name.
impl PartialEq for SourceObject {
    fn eq(&self, other: &Self) -> bool {
        self.object.object == other.object.object
    }
}

impl Eq for SourceObject {}

impl PartialOrd for SourceObject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SourceObject {
    fn cmp(&self, other: &Self) -> Ordering {
        self.object.object.cmp(&other.object.object)
    }
}

/// All that a source says at one moment.
#[derive(Debug, Default)]
pub struct SourceState {
    /// Objects in force, in the order of the source.
    pub objects: Vec<Arc<Object>>,
    /// Those of them that it does not have any more: only for a moment.
    pub leaving: BTreeSet<ObjectRef>,
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// To be stored.
    pub rows: Vec<Change>,
}

/// What is known of one source.
#[derive(Debug, Default)]
struct KnownObjects {
    by_name: BTreeSet<SourceObject>,
    /// Objects with a name that an earlier one of the same source has.
    doubles: Vec<Arc<Object>>,
    leaving: BTreeSet<ObjectRef>,
    findings: Vec<Finding>,
}

/// The objects of all sources.
#[derive(Debug, Default)]
pub struct Objects {
    by_source: BTreeMap<SourceId, KnownObjects>,
    revision: u64,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// Objects, by kind, namespace and name.
    pub objects: Vec<Arc<Object>>,
    /// What is wrong with the sources.
    pub findings: Vec<Finding>,
}

impl Objects {
    /// Replaces all that a source has said before. Gives back its rows, to be stored.
    #[must_use]
    pub fn replace(&mut self, id: SourceId, state: SourceState) -> Vec<Change> {
        let SourceState { objects, leaving, findings, rows } = state;
        let mut known = KnownObjects { leaving, findings, ..KnownObjects::default() };
        for object in objects {
            if known.by_name.contains(&object.object) {
                known.doubles.push(object);
            } else {
                known.by_name.insert(SourceObject { object, revision: 0 });
            }
        }
        self.by_source.insert(id, known);
        rows
    }

    /// Takes over an object of the API, unless a newer revision of it is there.
    pub fn store(&mut self, object: Arc<Object>, revision: u64) {
        self.revision = self.revision.max(revision);
        if self.find_stored(&object.object).is_some_and(|stored| stored.revision > revision) {
            return;
        }
        let of_api = &mut self.by_source.entry(SourceId::Api).or_default().by_name;
        of_api.replace(SourceObject { object, revision });
    }

    /// Forgets an object of the API, as of `revision`.
    pub fn remove(&mut self, object: &ObjectRef, revision: u64) {
        self.revision = self.revision.max(revision);
        if let Some(of_api) = self.by_source.get_mut(&SourceId::Api) {
            of_api.by_name.remove(object);
        }
    }

    /// The last change over the API that is in here; 0: none so far.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The object as it comes from a source that the API cannot change, unless it is leaving.
    pub fn find_read_only(&self, object: &ObjectRef) -> Option<&Object> {
        let others = self.by_source.iter().filter(|(id, _)| **id != SourceId::Api);
        let mut found = others.filter(|(_, known)| !known.leaving.contains(object));
        found.find_map(|(_, known)| known.by_name.get(object)).map(|found| &*found.object)
    }

    /// The object as it was applied over the API.
    pub fn find_stored(&self, object: &ObjectRef) -> Option<&SourceObject> {
        self.by_source.get(&SourceId::Api)?.by_name.get(object)
    }

    /// What is in force under this name, and where it comes from.
    pub fn find(&self, object: &ObjectRef) -> Option<(SourceId, &SourceObject)> {
        let mut leaving = None;
        for (id, known) in &self.by_source {
            let Some(found) = known.by_name.get(object) else { continue };
            match (leaving, known.leaving.contains(object)) {
                (None, true) => leaving = Some((*id, found)),
                (None, false) => return Some((*id, found)),
                (Some(_), true) => {}
                (Some(_), false) if id.replaces_at_once() => return Some((*id, found)),
                // It comes into force when the first one is gone.
                (Some(first), false) => return Some(first),
            }
        }
        leaving
    }

    /// All objects of a source, in force or not.
    pub fn of(&self, id: SourceId) -> impl Iterator<Item = &SourceObject> {
        self.by_source.get(&id).into_iter().flat_map(|known| &known.by_name)
    }

    /// What is in force, and what is wrong with it.
    pub fn merged(&self) -> Merged {
        let names: BTreeSet<&ObjectRef> =
            self.by_source.values().flat_map(|known| &known.by_name).map(Borrow::borrow).collect();
        let in_force = names.into_iter().filter_map(|name| self.find(name));
        let objects = in_force.map(|(_, found)| Arc::clone(&found.object)).collect();
        Merged { objects, findings: self.findings() }
    }

    /// What is wrong with the sources.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for known in self.by_source.values() {
            findings.extend(known.findings.iter().cloned());
            findings.extend(known.doubles.iter().filter_map(|double| known.double(double)));
        }
        // Nothing comes before the first one.
        for (id, known) in self.by_source.iter().skip(1) {
            findings.extend(known.by_name.iter().filter_map(|found| self.overridden(*id, found)));
        }
        findings
    }

    /// What is to be said of an object if that of an earlier source is in force.
    fn overridden(&self, id: SourceId, found: &SourceObject) -> Option<Finding> {
        let (_, first) = self.find(&found.object.object).filter(|(first, _)| *first < id)?;
        let origin = &first.object.origin;
        if id == SourceId::Api {
            let cause = "the object also exists in the API; the file wins";
            return Some(Finding::new(Code::TwoSources, origin, cause, "delete one of them"));
        }
        let cause = format!("the object of {}:{} is in force instead", origin.file, origin.line);
        let fix = "to have this one in force, delete the other";
        Some(Finding::new(Code::Overridden, &found.object.origin, cause, fix))
    }
}

impl KnownObjects {
    /// What is to be said of an object whose name an earlier one has.
    fn double(&self, double: &Object) -> Option<Finding> {
        let first = &self.by_name.get(&double.object)?.object.origin;
        let cause = format!("also defined in {}:{}", first.file, first.line);
        Some(Finding::new(Code::Duplicate, &double.origin, cause, "keep one of them"))
    }
}

#[cfg(test)]
mod tests;
