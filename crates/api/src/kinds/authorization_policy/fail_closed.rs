//! What stands for an `AuthorizationPolicy` that cannot be read: a denial of everything to the workloads that
//! it selects, or to its whole namespace when not even that can be read.

use super::{AuthorizationPolicySpec, PolicyAction, PolicyCondition, PolicyRule};
use crate::decode::whole;
use crate::fields::selector::WorkloadSelector;
use crate::fields::target_ref::PolicyTarget;
use crate::node::Node;

fn of_everything() -> AuthorizationPolicySpec {
    let everything =
        PolicyCondition { key: String::new(), values: vec!["*".into()], ..PolicyCondition::default() };
    AuthorizationPolicySpec {
        action: Some(PolicyAction::Deny),
        // A condition that nobody understands: it denies everything.
        rules: vec![PolicyRule { when: vec![everything], ..PolicyRule::default() }],
        ..AuthorizationPolicySpec::default()
    }
}

/// Denies everything to the workloads that `document` selects. Without a document, or where that cannot be read: to all
/// of the namespace.
pub(super) fn denial(document: Option<&Node>) -> AuthorizationPolicySpec {
    let mut spec = of_everything();
    let written = document.and_then(|document| document.get("spec"));
    let part = |name: &str| written.and_then(|spec| spec.get(name));
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
