//! What stands for an object that cannot be read, where its kind says what that is: an absent policy would let
//! all in. `of` knows a document whose YAML is whole; `of_text` has only words to go by.
//!
//! Read next: `kinds/authorization_policy/fail_closed.rs`.

use super::reference;
use crate::kinds::{self, ObjectKind, RefusedDocument};
use crate::meta::{DEFAULT_NAMESPACE, Meta};
use crate::node::Node;
use crate::object::Object;
use crate::scan::values;
use crate::syntax::{is_label, is_subdomain};
use model::id::written_kind;
use model::{ObjectRef, Origin};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What an object is called whose name cannot be read.
const UNREADABLE: &str = "unreadable";

/// The stand-in for a refused document; `None` when its kind has none. Where name or namespace cannot be read either, it has
/// a name that says so, and is of the default namespace.
pub(super) fn of(node: &Node, origin: &Origin, text: &str) -> Option<Object> {
    let mut object = reference(node);
    let version = node.get("apiVersion")?.as_str()?;
    let is_ours = |kind: &&ObjectKind| kind.group == kinds::split_api_version(version).0;
    let kind = kinds::by_kind(&object.kind).filter(is_ours)?;
    if !is_subdomain(&object.name) {
        object.name = UNREADABLE.into();
    }
    if kind.namespaced && !is_label(&object.namespace) {
        object.namespace = DEFAULT_NAMESPACE.into();
    }
    Some(Object {
        spec: kinds::fail_closed(kind, RefusedDocument::Node(node))?,
        api_version: version.into(),
        origin: Origin { object: object.clone(), ..origin.clone() },
        meta: meta(&object),
        text: text.into(),
        warnings: Box::default(),
        object,
    })
}

/// The stand-ins for text that is no YAML, one for each kind that something in it calls itself and that has one. They are
/// for a whole namespace: the one that the text names, else the default.
pub(super) fn of_text(text: &str, origin: &Origin) -> Vec<Object> {
    let is_named = |kind: &&ObjectKind| {
        text.contains(kind.group) && values(text, "kind").any(|named| named == kind.written())
    };
    // What stands before `metadata` is of something else.
    let of_itself = text.find("metadata").map_or("", |at| &text[at..]);
    let first = |key, is_good: fn(&str) -> bool| values(of_itself, key).next().filter(|value| is_good(value));
    let name = first("name", is_subdomain).unwrap_or(UNREADABLE);
    let namespace = first("namespace", is_label).unwrap_or(DEFAULT_NAMESPACE);
    let stand_in = |kind: &ObjectKind| {
        let object = ObjectRef::new(kind.kind, namespace, name);
        Some(Object {
            spec: kinds::fail_closed(kind, RefusedDocument::Text(text))?,
            api_version: kind.api_version().into(),
            origin: Origin { object: object.clone(), ..origin.clone() },
            meta: meta(&object),
            text: text.into(),
            warnings: Box::default(),
            object,
        })
    };
    kinds::ALL.iter().filter(is_named).filter_map(stand_in).collect()
}

impl Object {
    /// Gives another name to a stand-in that has none of its own, so that it takes the place of no other.
    pub(super) fn name_apart(&mut self, is_taken: impl Fn(&ObjectRef) -> bool) {
        let is_nameless = &*self.object.name == UNREADABLE;
        let mut number = 1;
        while is_nameless && is_taken(&self.object) {
            number += 1;
            let ObjectRef { kind, namespace, .. } = &self.object;
            self.object = ObjectRef::new(kind, namespace, &format!("{UNREADABLE}-{number}"));
            self.meta.name = self.object.name.clone();
            self.origin.object = self.object.clone();
        }
    }
}

/// What is known of an object whose text is no YAML.
pub(super) fn value(object: &Object) -> Value {
    let ObjectRef { kind, namespace, name } = &object.object;
    json!({
        "apiVersion": object.api_version, "kind": written_kind(kind), "metadata": {"name": name, "namespace": namespace},
    })
}

fn meta(object: &ObjectRef) -> Meta {
    Meta {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        created: 0,
        generation: 0,
        resource_version: None,
    }
}
