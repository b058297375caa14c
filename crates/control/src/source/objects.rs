//! All objects of the cluster: those of the directory and those applied over the API, merged.
//!
//! The directory wins; a name that comes from both, or twice from the directory, is a finding.

use api::Object;
use apiserver::{Change, Row, Table};
use model::{Code, Finding, ObjectRef};
use std::collections::BTreeMap;

/// One object of the API, with its revision.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// Revision of its last change.
    pub revision: u64,
}

/// The two sources.
#[derive(Debug, Default)]
pub struct Objects {
    files: Vec<Object>,
    file_findings: Vec<Finding>,
    stored: BTreeMap<ObjectRef, Stored>,
    revision: u64,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// Objects, by kind, namespace and name.
    pub objects: Vec<Object>,
    /// What is wrong with the sources.
    pub findings: Vec<Finding>,
}

/// The name of an object's row.
pub fn row_key(object: &ObjectRef) -> String {
    format!("{}/{}/{}", object.kind, object.namespace, object.name)
}

/// The row of an object.
pub fn put(object: &Object) -> Change {
    Change::Put(Table::Objects, row_key(&object.object), object.text.as_bytes().to_vec())
}

impl Objects {
    /// What the store held. A row that this version cannot read is skipped and told in the log: it was
    /// accepted once, so it stays in the store.
    pub fn load(rows: &[Row]) -> Self {
        let mut objects = Self::default();
        for row in rows {
            let text = String::from_utf8_lossy(&row.value);
            match api::parse::documents(&text, "").0.pop() {
                Some(object) => objects.store(object, row.revision),
                None => tracing::warn!(row = row.key, "a stored object cannot be read by this version"),
            }
        }
        objects
    }

    /// Replaces what the directory holds.
    pub fn set_files(&mut self, objects: Vec<Object>, findings: Vec<Finding>) {
        self.files = objects;
        self.file_findings = findings;
    }

    /// Takes over an object of the API, unless a newer revision of it is there.
    pub fn store(&mut self, object: Object, revision: u64) {
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

    /// The object as it comes from a file.
    pub fn find_file(&self, object: &ObjectRef) -> Option<&Object> {
        self.files.iter().find(|file| file.object == *object)
    }

    /// The object as it was applied over the API.
    pub fn find_stored(&self, object: &ObjectRef) -> Option<&Stored> {
        self.stored.get(object)
    }

    /// What is in force, and what is wrong with it.
    pub fn merged(&self) -> Merged {
        let mut all: BTreeMap<&ObjectRef, &Object> = BTreeMap::new();
        let mut findings = self.file_findings.clone();
        for object in &self.files {
            if let Some(first) = all.get(&object.object) {
                let cause = format!("also defined in {}:{}", first.origin.file, first.origin.line);
                findings.push(Finding::new(Code::Duplicate, &object.origin, cause, "keep one of them"));
            } else {
                all.insert(&object.object, object);
            }
        }
        for (key, stored) in &self.stored {
            if let Some(file) = all.get(key) {
                let cause = "the object also exists in the API; the file wins";
                findings.push(Finding::new(Code::TwoSources, &file.origin, cause, "delete one of them"));
            } else {
                all.insert(key, &stored.object);
            }
        }
        Merged { objects: all.into_values().cloned().collect(), findings }
    }
}

#[cfg(test)]
mod tests;
