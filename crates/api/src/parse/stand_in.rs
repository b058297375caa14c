//! What stands for an `AuthorizationPolicy` that cannot be read: a denial of everything to the workloads that
//! it selects, or to its whole namespace when not even that can be read. An absent policy would let all in.

use super::reference;
use crate::check::{is_label, is_subdomain};
use crate::decode;
use crate::istio::{AuthorizationPolicySpec, PolicyAction, PolicyRule, PolicyTarget, When, WorkloadSelector};
use crate::kinds::{self, ISTIO_SECURITY_GROUP};
use crate::node::Node;
use crate::object::{Meta, Object, Spec};
use model::{ObjectRef, Origin};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

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
        value: node.to_json(),
        warnings: Vec::new(),
        object,
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

fn denial(node: &Node) -> AuthorizationPolicySpec {
    let everything = When { key: String::new(), values: vec!["*".into()], ..When::default() };
    let mut spec = AuthorizationPolicySpec {
        action: Some(PolicyAction::Deny),
        // A condition that nobody understands: it denies everything.
        rules: vec![PolicyRule { when: vec![everything], ..PolicyRule::default() }],
        ..AuthorizationPolicySpec::default()
    };
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
