//! What stands for an `AuthorizationPolicy` that cannot be read: a denial of everything to the workloads that
//! it selects, or to its whole namespace when not even that can be read. An absent policy would let all in.
//! `of` knows a document whose YAML is whole; `of_text` has only words to go by.

use super::reference;
use crate::decode;
use crate::fields::selector::WorkloadSelector;
use crate::fields::target_ref::PolicyTarget;
use crate::kinds::authorization_policy::{AuthorizationPolicySpec, PolicyAction, PolicyRule, When};
use crate::kinds::{self, ISTIO_SECURITY_GROUP, Spec};
use crate::meta::{DEFAULT_NAMESPACE, Meta};
use crate::node::Node;
use crate::object::Object;
use crate::syntax::{is_label, is_subdomain};
use model::{ObjectRef, Origin};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What a policy is called whose name cannot be read.
const UNREADABLE: &str = "unreadable";

/// The stand-in for a refused document; `None` when it is no policy of ours, or not even its name and
/// namespace can be read.
pub(super) fn of(node: &Node, origin: &Origin, text: &str) -> Option<Object> {
    let object = reference(node);
    let version = node.get("apiVersion")?.as_str()?;
    let is_policy = &*object.kind == "AuthorizationPolicy"
        && kinds::split_api_version(version).0 == ISTIO_SECURITY_GROUP
        && is_subdomain(&object.name)
        && is_label(&object.namespace);
    is_policy.then(|| Object {
        api_version: version.into(),
        origin: origin.clone(),
        meta: meta(&object),
        spec: Spec::AuthorizationPolicy(denial(node)),
        text: text.into(),
        json: node.to_json().to_string().into(),
        warnings: Vec::new(),
        object,
    })
}

/// The stand-in for text that is no YAML; `None` when nothing in it calls itself a policy of ours. It denies to
/// a whole namespace: the one that the text names, else the default.
pub(super) fn of_text(text: &str, origin: &Origin) -> Option<Object> {
    let is_policy =
        text.contains(ISTIO_SECURITY_GROUP) && values(text, "kind").any(|kind| kind == "AuthorizationPolicy");
    if !is_policy {
        return None;
    }
    // What stands before `metadata` is of something else.
    let of_itself = text.find("metadata").map_or("", |at| &text[at..]);
    let first = |key, is_good: fn(&str) -> bool| values(of_itself, key).next().filter(|value| is_good(value));
    let name = first("name", is_subdomain).unwrap_or(UNREADABLE);
    let namespace = first("namespace", is_label).unwrap_or(DEFAULT_NAMESPACE);
    let object = ObjectRef::new("AuthorizationPolicy", namespace, name);
    let version = format!("{ISTIO_SECURITY_GROUP}/v1");
    let value = serde_json::json!({
        "apiVersion": version, "kind": "AuthorizationPolicy", "metadata": {"name": name, "namespace": namespace},
    });
    Some(Object {
        api_version: version.as_str().into(),
        origin: Origin { object: object.clone(), ..origin.clone() },
        meta: meta(&object),
        spec: Spec::AuthorizationPolicy(of_everything()),
        text: text.into(),
        json: value.to_string().into(),
        warnings: Vec::new(),
        object,
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

fn of_everything() -> AuthorizationPolicySpec {
    let everything = When { key: String::new(), values: vec!["*".into()], ..When::default() };
    AuthorizationPolicySpec {
        action: Some(PolicyAction::Deny),
        // A condition that nobody understands: it denies everything.
        rules: vec![PolicyRule { when: vec![everything], ..PolicyRule::default() }],
        ..AuthorizationPolicySpec::default()
    }
}

fn denial(node: &Node) -> AuthorizationPolicySpec {
    let mut spec = of_everything();
    let part = |name: &str| node.get("spec").and_then(|spec| spec.get(name));
    let aims = [
        part("selector").map(|part| whole::<WorkloadSelector>(part).map(|found| spec.selector = Some(found))),
        part("targetRef").map(|part| whole::<PolicyTarget>(part).map(|found| spec.target_ref = Some(found))),
        part("targetRefs").map(|part| whole::<Vec<PolicyTarget>>(part).map(|found| spec.target_refs = found)),
    ];
    let is_other = spec.target_refs.iter().chain(&spec.target_ref).any(|target| target.kind != "Gateway");
    // Not read, not supported, or contradictory: then it may mean anybody in the namespace.
    if aims.contains(&Some(None)) || is_other || aims.iter().flatten().count() > 1 {
        spec.selector = None;
        spec.target_ref = None;
        spec.target_refs.clear();
    }
    spec
}

/// `None` when any of it was not understood.
fn whole<T: DeserializeOwned>(node: &Node) -> Option<T> {
    let found = decode::decode::<T>(node);
    found.value.filter(|_| found.problems.is_empty())
}
