//! Whom an `AuthorizationPolicy` concerns: groups by label, gateways by name or label, a namespace, the mesh. Looked
//! up when somebody asks; nothing of it is noted.

use super::CompiledPolicy;
use crate::units::WorldReader;
use crate::units::gateway::{edge_gateway, is_east_west};
use crate::units::host::inbound_subscription;
use crate::units::workload_group::{groups_near, groups_selected, selects};
use crate::world::inputs::Pair;
use api::ROOT_NAMESPACE;
use api::fields::target_ref::PolicyTarget;
use api::kinds::authorization_policy::AuthorizationPolicySpec;
use model::{ResourceKey, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a policy names as what it concerns.
pub(in crate::units) fn target_refs(spec: &AuthorizationPolicySpec) -> impl Iterator<Item = &PolicyTarget> {
    spec.target_refs.iter().chain(&spec.target_ref)
}

/// Whether a policy names what it concerns.
pub(in crate::units) fn is_targeted(spec: &AuthorizationPolicySpec) -> bool {
    target_refs(spec).next().is_some()
}

/// Whether a policy concerns the workloads of a group, by its selector.
fn selects_group(policy: &CompiledPolicy, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    let Some(spec) = policy.spec() else { return false };
    let of = &*policy.object.meta.namespace;
    let near = of == namespace || of == ROOT_NAMESPACE;
    let selected = spec.selector.as_ref().is_none_or(|selector| selects(&selector.match_labels, labels));
    near && selected && !is_targeted(spec)
}

/// Whether a policy concerns what comes in at a gateway: by target, by the labels of its group, or because it
/// holds for the whole namespace or mesh. The last are not asked of what an east-west gateway forwards: they
/// speak of workloads and their requests, and the workload at the end of each tunnel asks them.
fn selects_gateway(policy: &CompiledPolicy, gateway: &Pair, read: &WorldReader<'_>) -> bool {
    let is_east_west = is_east_west(gateway, read);
    if !is_east_west && edge_gateway(gateway, read).is_none() {
        return false;
    }
    let Some(spec) = policy.spec() else { return false };
    let targeted = target_refs(spec).any(|target| target.kind == "Gateway" && *target.name == *gateway.1);
    if targeted && policy.object.meta.namespace == gateway.0 {
        return true;
    }
    let is_narrow = spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty());
    let no_labels = BTreeMap::new();
    let labels = read.workload_group(gateway).map_or(&no_labels, |group| &group.labels);
    (is_narrow || !is_east_west) && selects_group(policy, &gateway.0, labels)
}

/// The policies of a namespace, and those of the root namespace.
fn near<'w>(
    namespace: &Arc<str>,
    read: &WorldReader<'w>,
) -> impl Iterator<Item = (&'w Pair, &'w CompiledPolicy)> {
    let root = (**namespace != *ROOT_NAMESPACE).then(|| Arc::from(ROOT_NAMESPACE));
    let all = &read.outputs().authorization_policy;
    let of = move |namespace: Arc<str>| {
        let start = (namespace.clone(), Arc::from(""));
        all.range(start..).take_while(move |((of, _), _)| *of == namespace)
    };
    [Some(namespace.clone()), root].into_iter().flatten().flat_map(of).map(|(key, policy)| (key, &**policy))
}

/// The policies on the inbound side of a group.
pub(crate) fn on_group(group: &Pair, read: &WorldReader<'_>) -> Vec<ResourceKey> {
    let no_labels = BTreeMap::new();
    let labels = read.workload_group(group).map_or(&no_labels, |group| &group.labels);
    let policies = near(&group.0, read).filter(|(_, policy)| selects_group(policy, &group.0, labels));
    policies.map(|((namespace, name), _)| ResourceKey::Policy(namespace.clone(), name.clone())).collect()
}

/// The policies on what comes in at a gateway.
pub(crate) fn on_gateway(gateway: &Pair, read: &WorldReader<'_>) -> Vec<ResourceKey> {
    let policies = near(&gateway.0, read).filter(|(_, policy)| selects_gateway(policy, gateway, read));
    let key = |((namespace, name), _): (&Pair, _)| ResourceKey::GatewayPolicy {
        gateway: gateway.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
    };
    policies.map(key).collect()
}

/// Every subscription that a policy belongs to.
pub(in crate::units) fn targets(policy: &CompiledPolicy, read: &WorldReader<'_>) -> Vec<Subscription> {
    let mut targets = group_targets(policy, read);
    targets.extend(gateway_targets(policy, read));
    targets
}

/// Every group whose inbound side asks a policy.
fn group_targets(policy: &CompiledPolicy, read: &WorldReader<'_>) -> Vec<Subscription> {
    let Some(spec) = policy.spec() else { return Vec::new() };
    let labels = spec.selector.as_ref().map(|selector| &selector.match_labels);
    if let (Some(namespace), Some(labels)) = (only_near(policy), labels.filter(|labels| !labels.is_empty())) {
        // The groups with these labels are known: not all of the namespace need be looked at.
        let groups = if is_targeted(spec) { Vec::new() } else { groups_selected(namespace, labels, read) };
        return groups.iter().map(inbound_subscription).collect();
    }
    let groups = groups_near(only_near(policy), read);
    let groups = groups.filter(|((namespace, _), group)| selects_group(policy, namespace, &group.labels));
    groups.map(|(group, _)| inbound_subscription(group)).collect()
}

/// Every gateway where a policy is asked.
fn gateway_targets(policy: &CompiledPolicy, read: &WorldReader<'_>) -> Vec<Subscription> {
    let only = only_near(policy);
    let gateways = read.outputs().gateway.keys();
    let near = gateways.filter(|(namespace, _)| only.is_none_or(|only| only == namespace));
    let asked = near.filter(|gateway| selects_gateway(policy, gateway, read));
    let subscription =
        |(namespace, name): &Pair| Subscription::Gateway { namespace: namespace.clone(), name: name.clone() };
    asked.map(subscription).collect()
}

/// The one namespace that a policy can concern; `None`: any.
fn only_near(policy: &CompiledPolicy) -> Option<&Arc<str>> {
    Some(&policy.object.meta.namespace).filter(|namespace| ***namespace != *ROOT_NAMESPACE)
}
