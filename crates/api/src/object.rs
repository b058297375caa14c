//! One object that a user wrote: what it is, where it was written, and its checked content.

use crate::kinds::Spec;
use crate::meta::Meta;
use model::{Finding, ObjectRef, Origin};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

/// A checked object. Many are held for ever, so what can be made of its text when somebody asks is not in it
/// ([`crate::parse::value`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Kind, namespace (never empty for namespaced kinds), name.
    pub object: ObjectRef,
    /// As written, for example `gateway.networking.k8s.io/v1`.
    pub api_version: Arc<str>,
    /// File, and the first line of the document in it.
    pub origin: Origin,
    /// `metadata`.
    pub meta: Meta,
    /// `spec`, by kind.
    pub spec: Spec,
    /// The document's own source text, without the `---` lines.
    pub text: Box<str>,
    /// What in it has no effect. The findings of a file end with the next one that is read; these are told by
    /// whoever has the object in force, from wherever it came.
    pub warnings: Box<[Finding]>,
}

impl Object {
    /// Where `line` of the object's file is; 0 means the document's first line.
    pub fn at(&self, line: u32) -> Origin {
        Origin { line: if line == 0 { self.origin.line } else { line }, ..self.origin.clone() }
    }
}

/// An object in a set of them: found by its name, ordered by it, and equal to any other of that name.
#[derive(Clone, Debug)]
pub struct ByName(pub Arc<Object>);

impl Borrow<ObjectRef> for ByName {
    fn borrow(&self) -> &ObjectRef {
        &self.0.object
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.object == other.0.object
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.object.cmp(&other.0.object)
    }
}
