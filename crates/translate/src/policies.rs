//! `AuthorizationPolicy`: what it says, and whom it concerns.
//!
//! What was not understood fails closed: a list with such an entry is dropped, which widens a DENY rule,
//! and its rule gets a condition [`ConditionKey::Invalid`], which keeps an ALLOW rule from matching.

use crate::gateways::{find_gateway, inbound_subscription};
use crate::world::{World, selects};
use api::fields::pattern;
use api::fields::target_ref::PolicyTarget;
use api::kinds::authorization_policy::{
    AuthorizationPolicySpec, PolicyAction, PolicyCondition, PolicyOperation, PolicyRule, PolicySource,
};
use api::kinds::gateway::{CLASS, EAST_WEST_CLASS};
use api::{Object, ROOT_NAMESPACE, Spec};
use model::authz::{Action, Cidr, Condition, ConditionKey, Glob, Operation, Policy, Rule, Source};
use model::{ResourceKey, Subscription, TrustDomain};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Istio's annotation for trying a policy.
const DRY_RUN: &str = "istio.io/dry-run";

/// A policy's content.
pub(crate) fn compile(object: &Object, spec: &AuthorizationPolicySpec, trust_domain: &TrustDomain) -> Policy {
    Policy {
        origin: object.origin.clone(),
        action: match spec.action.unwrap_or(PolicyAction::Allow) {
            PolicyAction::Allow => Action::Allow,
            // Nobody asked the authority that CUSTOM names, so it did not say yes.
            PolicyAction::Deny | PolicyAction::Custom => Action::Deny,
            PolicyAction::Audit => Action::Audit,
        },
        rules: spec.rules.iter().map(|one| rule(one, &object.meta.namespace, trust_domain)).collect(),
        dry_run: object.meta.annotations.get(DRY_RUN).is_some_and(|value| value == "true"),
    }
}

/// Reads lists and remembers whether all was understood.
struct Reading<'a> {
    namespace: &'a str,
    trust_domain: &'a TrustDomain,
    understood: bool,
}

impl Reading<'_> {
    /// All entries, or none if one of them was not understood.
    fn list<T>(&mut self, texts: &[String], read: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let values: Option<Vec<T>> = texts.iter().map(|text| read(text)).collect();
        self.understood &= values.is_some();
        values.unwrap_or_default()
    }

    fn globs(&mut self, texts: &[String], can_match: fn(&str) -> bool) -> Vec<Glob> {
        self.list(texts, |text| can_match(text).then(|| Glob::parse(text)))
    }

    /// Istio: the trust domain `cluster.local` in a policy means the mesh's own.
    fn principals(&mut self, texts: &[String]) -> Vec<Glob> {
        let own = self.trust_domain.as_str().to_owned();
        self.list(texts, |text| {
            let path = pattern::is_principal(text).then(|| text.strip_prefix("cluster.local/"))?;
            Some(path.map_or_else(|| Glob::parse(text), |path| Glob::parse(&format!("{own}/{path}"))))
        })
    }

    fn accounts(&mut self, texts: &[String]) -> Vec<Arc<str>> {
        let own = self.namespace.to_owned();
        self.list(texts, |text| {
            let full = if text.contains('/') { text.to_owned() } else { format!("{own}/{text}") };
            (!text.is_empty()).then(|| full.into())
        })
    }

    fn unsupported(&mut self, texts: &[String]) {
        self.understood &= texts.is_empty();
    }

    fn source(&mut self, source: &PolicySource) -> Source {
        self.unsupported(&source.request_principals);
        self.unsupported(&source.not_request_principals);
        self.unsupported(&source.trust_domains);
        self.unsupported(&source.not_trust_domains);
        Source {
            principals: self.principals(&source.principals),
            not_principals: self.principals(&source.not_principals),
            namespaces: self.globs(&source.namespaces, pattern::is_namespace),
            not_namespaces: self.globs(&source.not_namespaces, pattern::is_namespace),
            service_accounts: self.accounts(&source.service_accounts),
            not_service_accounts: self.accounts(&source.not_service_accounts),
            ip_blocks: self.list(&source.ip_blocks, block),
            not_ip_blocks: self.list(&source.not_ip_blocks, block),
            remote_ip_blocks: self.list(&source.remote_ip_blocks, block),
            not_remote_ip_blocks: self.list(&source.not_remote_ip_blocks, block),
        }
    }

    fn operation(&mut self, operation: &PolicyOperation) -> Operation {
        let port = |text: &str| text.parse().ok().filter(|_| pattern::is_port(text));
        Operation {
            hosts: self.globs(&operation.hosts, pattern::is_pattern),
            not_hosts: self.globs(&operation.not_hosts, pattern::is_pattern),
            ports: self.list(&operation.ports, port),
            not_ports: self.list(&operation.not_ports, port),
            methods: self.globs(&operation.methods, pattern::is_method),
            not_methods: self.globs(&operation.not_methods, pattern::is_method),
            paths: self.globs(&operation.paths, pattern::is_path),
            not_paths: self.globs(&operation.not_paths, pattern::is_path),
        }
    }

    fn condition(&mut self, when: &PolicyCondition) -> Condition {
        let mut values = when.values.iter().chain(&when.not_values);
        let fits = values.all(|value| pattern::is_value_of(&when.key, value));
        let key = match when.key.as_str() {
            _ if !fits => ConditionKey::Invalid,
            "source.ip" => ConditionKey::SourceIp,
            "remote.ip" => ConditionKey::RemoteIp,
            "source.namespace" => ConditionKey::SourceNamespace,
            "source.principal" => ConditionKey::SourcePrincipal,
            "destination.port" => ConditionKey::DestinationPort,
            key => match pattern::header_of(key) {
                Some(name) => ConditionKey::Header(name.to_ascii_lowercase().into()),
                None => ConditionKey::Invalid,
            },
        };
        let (values, not_values) = match key {
            ConditionKey::SourcePrincipal => {
                (self.principals(&when.values), self.principals(&when.not_values))
            }
            _ => {
                let any = |text: &str| !text.is_empty();
                (self.globs(&when.values, any), self.globs(&when.not_values, any))
            }
        };
        Condition { key, values, not_values }
    }
}

/// A block that some address can lie in.
fn block(text: &str) -> Option<Cidr> {
    Cidr::parse(text).filter(|_| pattern::is_block(text))
}

fn rule(rule: &PolicyRule, namespace: &str, trust_domain: &TrustDomain) -> Rule {
    let mut reading = Reading { namespace, trust_domain, understood: true };
    let from = rule.from.iter().map(|from| reading.source(&from.source)).collect();
    let to = rule.to.iter().map(|to| reading.operation(&to.operation)).collect();
    let mut when: Vec<Condition> = rule.when.iter().map(|when| reading.condition(when)).collect();
    if !reading.understood {
        when.push(Condition { key: ConditionKey::Invalid, values: Vec::new(), not_values: Vec::new() });
    }
    Rule { from, to, when }
}

/// What a policy names as what it concerns.
pub(crate) fn target_refs(spec: &AuthorizationPolicySpec) -> impl Iterator<Item = &PolicyTarget> {
    spec.target_refs.iter().chain(&spec.target_ref)
}

/// Whether a policy names what it concerns.
pub(crate) fn is_targeted(spec: &AuthorizationPolicySpec) -> bool {
    target_refs(spec).next().is_some()
}

/// Whether a policy concerns the workloads of a group, by its selector.
fn selects_group(
    policy: &Object,
    spec: &AuthorizationPolicySpec,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let near = *policy.meta.namespace == *namespace || &*policy.meta.namespace == ROOT_NAMESPACE;
    let selected = spec.selector.as_ref().is_none_or(|selector| selects(&selector.match_labels, labels));
    near && selected && !is_targeted(spec)
}

/// Whether a policy concerns what comes in at a gateway: by target, by the labels of its group, or because it
/// holds for the whole namespace or mesh. The last are not asked of what an east-west gateway forwards: they
/// speak of workloads and their requests, and the workload at the end of each tunnel asks them.
fn selects_gateway(
    policy: &Object,
    spec: &AuthorizationPolicySpec,
    namespace: &str,
    name: &str,
    world: &World,
) -> bool {
    let is_of = |class| find_gateway(namespace, name, class, world).is_some();
    let is_east_west = is_of(EAST_WEST_CLASS);
    if !is_east_west && !is_of(CLASS) {
        return false;
    }
    let targeted = target_refs(spec).any(|target| target.kind == "Gateway" && target.name == name);
    if targeted && *policy.meta.namespace == *namespace {
        return true;
    }
    let is_narrow = spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty());
    let labels = world.group(namespace, name).map(|group| group.labels).unwrap_or_default();
    (is_narrow || !is_east_west) && selects_group(policy, spec, namespace, &labels)
}

fn near<'a>(
    namespace: &'a str,
    world: &'a World,
) -> impl Iterator<Item = (&'a Object, &'a AuthorizationPolicySpec)> {
    let root = (namespace != ROOT_NAMESPACE).then_some(ROOT_NAMESPACE);
    let namespaces = [Some(namespace), root].into_iter().flatten();
    let objects = namespaces.flat_map(|namespace| world.objects_of("AuthorizationPolicy", Some(namespace)));
    objects.filter_map(|object| match &object.spec {
        Spec::AuthorizationPolicy(spec) => Some((&**object, spec)),
        _ => None,
    })
}

/// The policies on the inbound side of a group.
pub(crate) fn on_group<'a>(
    namespace: &'a str,
    labels: &'a BTreeMap<String, String>,
    world: &'a World,
) -> impl Iterator<Item = ResourceKey> + 'a {
    near(namespace, world)
        .filter(|(policy, spec)| selects_group(policy, spec, namespace, labels))
        .map(|(policy, _)| ResourceKey::Policy(policy.meta.namespace.clone(), policy.meta.name.clone()))
}

/// The policies on what comes in at a gateway.
pub(crate) fn on_gateway<'a>(
    namespace: &'a Arc<str>,
    name: &'a Arc<str>,
    world: &'a World,
) -> impl Iterator<Item = ResourceKey> + 'a {
    near(namespace, world)
        .filter(move |(policy, spec)| selects_gateway(policy, spec, namespace, name, world))
        .map(|(policy, _)| ResourceKey::GatewayPolicy {
            gateway: (namespace.clone(), name.clone()),
            namespace: policy.meta.namespace.clone(),
            name: policy.meta.name.clone(),
        })
}

/// Every subscription that a policy belongs to.
pub(crate) fn targets(policy: &Object, world: &World) -> Vec<Subscription> {
    let Spec::AuthorizationPolicy(spec) = &policy.spec else { return Vec::new() };
    let groups = world.groups_near(only_near(policy));
    let groups =
        groups.filter(|((namespace, _), group)| selects_group(policy, spec, namespace, &group.labels));
    let groups = groups.map(|(group, _)| inbound_subscription(group));
    groups.chain(gateway_targets(policy, spec, world)).collect()
}

/// Every gateway where a policy is asked.
pub(crate) fn gateway_targets<'a>(
    policy: &'a Object,
    spec: &'a AuthorizationPolicySpec,
    world: &'a World,
) -> impl Iterator<Item = Subscription> + 'a {
    let namespace = only_near(policy).map(|namespace| &**namespace);
    let gateways = world.objects_of("Gateway", namespace).map(|object| &object.meta);
    let gateways =
        gateways.filter(move |meta| selects_gateway(policy, spec, &meta.namespace, &meta.name, world));
    gateways.map(|meta| Subscription::Gateway { namespace: meta.namespace.clone(), name: meta.name.clone() })
}

/// The one namespace that a policy can concern; `None`: any.
fn only_near(policy: &Object) -> Option<&Arc<str>> {
    Some(&policy.meta.namespace).filter(|namespace| &***namespace != ROOT_NAMESPACE)
}
