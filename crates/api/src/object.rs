//! One object that a user wrote: what it is, where it was written, and its checked content.

use crate::kinds::Spec;
use crate::meta::Meta;
use model::{Finding, ObjectRef, Origin};
use std::sync::Arc;

/// A checked object.
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
    pub text: Arc<str>,
    /// The whole document as JSON, unknown server-set fields included (for Kubernetes-shaped answers). As text: a
    /// tree of it is fifteen times as large.
    pub json: Box<str>,
    /// What in it has no effect. The findings of a file end with the next one that is read; these are told by
    /// whoever has the object in force, from wherever it came.
    pub warnings: Vec<Finding>,
}

impl Object {
    /// [`Object::json`] as a tree.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    /// Where `line` of the object's file is; 0 means the document's first line.
    pub fn at(&self, line: u32) -> Origin {
        Origin { line: if line == 0 { self.origin.line } else { line }, ..self.origin.clone() }
    }
}
