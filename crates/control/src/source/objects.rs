//! All objects of the cluster: those of the directory and those applied over the API, merged.
//!
//! The directory wins; a name that comes from both, or twice from the directory, is a finding. What is about to
//! leave the directory makes room for what comes over the API.

use api::Object;
use apiserver::{Change, Row, Table};
use model::time::rfc3339;
use model::{Code, Finding, ObjectRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// One object of the API, with its revision.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object.
    pub object: Arc<Object>,
    /// Revision of its last change.
    pub revision: u64,
}

/// The two sources.
#[derive(Debug, Default)]
pub struct Objects {
    files: Vec<Arc<Object>>,
    /// The first of each name among them.
    files_by_name: BTreeMap<ObjectRef, Arc<Object>>,
    leaving: BTreeSet<ObjectRef>,
    file_findings: Vec<Finding>,
    stored: BTreeMap<ObjectRef, Stored>,
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

/// The name of an object's row.
pub fn row_key(object: &ObjectRef) -> String {
    format!("{}/{}/{}", object.kind, object.namespace, object.name)
}

/// What an object's row holds: the text as it was sent, and what the sender has no say in.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// When the object was created, in seconds since the epoch.
    created_s: u64,
    text: String,
}

/// The row of an object.
pub fn put(object: &Object) -> Change {
    let content = Content { created_s: object.meta.created, text: object.text.to_string() };
    let value = serde_json::to_vec(&content).unwrap_or_default();
    Change::Put(Table::Objects, row_key(&object.object), value)
}

/// Sets when an object was created, whatever its text says: the oldest of two claims wins, so a claimant may
/// not choose its age.
pub fn created_at(object: &mut Object, created_s: u64) {
    object.meta.created = created_s;
    let time = rfc3339(UNIX_EPOCH + Duration::from_secs(created_s));
    let mut value = object.value();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("creationTimestamp".into(), time.into());
    }
    object.json = value.to_string().into();
}

impl Objects {
    /// What the store held. A row that this version cannot read is skipped and told in the log: it was
    /// accepted once, so it stays in the store. A policy among them denies everything meanwhile.
    pub fn load(rows: &[Row]) -> Self {
        let mut objects = Self::default();
        for row in rows {
            let content = serde_json::from_slice::<Content>(&row.value).ok();
            let read = content.and_then(|content| {
                let (mut found, findings) = api::parse::documents_fail_closed(&content.text, "");
                for finding in findings {
                    tracing::warn!(row = row.key, %finding, "a stored object");
                }
                let mut object = found.pop()?;
                created_at(&mut object, content.created_s);
                Some(object)
            });
            match read {
                Some(object) => objects.store(Arc::new(object), row.revision),
                None => tracing::warn!(row = row.key, "a stored object cannot be read by this version"),
            }
        }
        objects
    }

    /// Replaces what the directory holds; `leaving` are those of its objects that no file has any more.
    pub fn set_files(
        &mut self,
        objects: Vec<Arc<Object>>,
        leaving: BTreeSet<ObjectRef>,
        findings: Vec<Finding>,
    ) {
        self.files_by_name.clear();
        for object in &objects {
            self.files_by_name.entry(object.object.clone()).or_insert_with(|| Arc::clone(object));
        }
        self.files = objects;
        self.leaving = leaving;
        self.file_findings = findings;
    }

    /// Takes over an object of the API, unless a newer revision of it is there.
    pub fn store(&mut self, object: Arc<Object>, revision: u64) {
        self.revision = self.revision.max(revision);
        if self.stored.get(&object.object).is_some_and(|stored| stored.revision > revision) {
            return;
        }
        self.stored.insert(object.object.clone(), Stored { object, revision });
    }

    /// Forgets an object of the API, as of `revision`.
    pub fn remove(&mut self, object: &ObjectRef, revision: u64) {
        self.revision = self.revision.max(revision);
        self.stored.remove(object);
    }

    /// The last change over the API that is in here; 0: none so far.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The object as it comes from a file, unless it is leaving.
    pub fn find_file(&self, object: &ObjectRef) -> Option<&Object> {
        let file = self.files_by_name.get(object).filter(|_| !self.leaving.contains(object));
        file.map(|file| &**file)
    }

    /// The object as it was applied over the API.
    pub fn find_stored(&self, object: &ObjectRef) -> Option<&Stored> {
        self.stored.get(object)
    }

    /// What is in force under this name.
    pub fn find(&self, object: &ObjectRef) -> Option<&Arc<Object>> {
        let stored = self.stored.get(object).map(|stored| &stored.object);
        let is_replaced = stored.is_some() && self.leaving.contains(object);
        let file = self.files_by_name.get(object).filter(|_| !is_replaced);
        file.or(stored)
    }

    /// What is in force, and what is wrong with it.
    pub fn merged(&self) -> Merged {
        let mut all: BTreeMap<&ObjectRef, &Arc<Object>> = BTreeMap::new();
        for object in self.of_files() {
            all.entry(&object.object).or_insert(object);
        }
        for (key, stored) in &self.stored {
            all.entry(key).or_insert(&stored.object);
        }
        Merged { objects: all.into_values().cloned().collect(), findings: self.findings() }
    }

    /// What is wrong with the sources.
    pub fn findings(&self) -> Vec<Finding> {
        let mut all: BTreeMap<&ObjectRef, &Object> = BTreeMap::new();
        let mut findings = self.file_findings.clone();
        for object in self.of_files() {
            if let Some(first) = all.get(&object.object) {
                let cause = format!("also defined in {}:{}", first.origin.file, first.origin.line);
                findings.push(Finding::new(Code::Duplicate, &object.origin, cause, "keep one of them"));
            } else {
                all.insert(&object.object, object);
            }
        }
        for file in self.stored.keys().filter_map(|key| all.get(key)) {
            let cause = "the object also exists in the API; the file wins";
            findings.push(Finding::new(Code::TwoSources, &file.origin, cause, "delete one of them"));
        }
        findings
    }

    /// Objects of the directory, but for those that make room for others.
    fn of_files(&self) -> impl Iterator<Item = &Arc<Object>> {
        let is_replaced =
            |object: &ObjectRef| self.leaving.contains(object) && self.stored.contains_key(object);
        self.files.iter().filter(move |file| !is_replaced(&file.object))
    }
}

#[cfg(test)]
mod tests;
