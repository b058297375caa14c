//! What stands for an object that cannot be read, where its kind says what that is: an absent policy would let
//! all in. `of` knows a document whose YAML is whole; `of_text` has only words to go by.
//!
//! Read next: `kinds/authorization_policy/fail_closed.rs`.

use super::reference;
use crate::kinds::{self, ObjectKind};
use crate::meta::{DEFAULT_NAMESPACE, Meta};
use crate::node::Node;
use crate::object::Object;
use crate::syntax::{is_label, is_subdomain};
use model::id::written_kind;
use model::{ObjectRef, Origin};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What an object is called whose name cannot be read.
const UNREADABLE: &str = "unreadable";

/// The stand-in for a refused document; `None` when its kind has none, or not even its name and namespace can
/// be read.
pub(super) fn of(node: &Node, origin: &Origin, text: &str) -> Option<Object> {
    let object = reference(node);
    let version = node.get("apiVersion")?.as_str()?;
    let is_ours = |kind: &&ObjectKind| kind.group == kinds::split_api_version(version).0;
    let kind = kinds::by_kind(&object.kind).filter(is_ours)?;
    if !is_subdomain(&object.name) || (kind.namespaced && !is_label(&object.namespace)) {
        return None;
    }
    Some(Object {
        spec: kinds::fail_closed(kind, Some(node))?,
        api_version: version.into(),
        origin: origin.clone(),
        meta: meta(&object),
        text: text.into(),
        warnings: Box::default(),
        object,
    })
}

/// The stand-in for text that is no YAML; `None` when nothing in it calls itself of a kind that has one. It is
/// for a whole namespace: the one that the text names, else the default.
pub(super) fn of_text(text: &str, origin: &Origin) -> Option<Object> {
    let is_named = |kind: &&ObjectKind| {
        text.contains(kind.group) && values(text, "kind").any(|named| named == kind.written())
    };
    let mut named = kinds::ALL.iter().filter(is_named);
    let (kind, spec) = named.find_map(|kind| Some((kind, kinds::fail_closed(kind, None)?)))?;
    // What stands before `metadata` is of something else.
    let of_itself = text.find("metadata").map_or("", |at| &text[at..]);
    let first = |key, is_good: fn(&str) -> bool| values(of_itself, key).next().filter(|value| is_good(value));
    let name = first("name", is_subdomain).unwrap_or(UNREADABLE);
    let namespace = first("namespace", is_label).unwrap_or(DEFAULT_NAMESPACE);
    let object = ObjectRef::new(kind.kind, namespace, name);
    let version = kind.api_version();
    Some(Object {
        api_version: version.into(),
        origin: Origin { object: object.clone(), ..origin.clone() },
        meta: meta(&object),
        spec,
        text: text.into(),
        warnings: Box::default(),
        object,
    })
}

/// What is known of an object whose text is no YAML.
pub(super) fn value(object: &Object) -> Value {
    let ObjectRef { kind, namespace, name } = &object.object;
    json!({
        "apiVersion": object.api_version, "kind": written_kind(kind), "metadata": {"name": name, "namespace": namespace},
    })
}

/// What follows `key:` wherever it stands as a word of its own outside comments, in block or flow style.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let is_edge = |c: char| c.is_whitespace() || "{,\"'-".contains(c);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(move |line| {
        line.match_indices(key).filter_map(move |(at, _)| {
            let after =
                line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
            let value = after.trim_start().trim_start_matches(['"', '\'']);
            let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'));
            let is_word = line[..at].chars().next_back().is_none_or(is_edge);
            is_word.then(|| &value[..end.unwrap_or(value.len())])
        })
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
