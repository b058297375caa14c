//! One `AuthorizationPolicy`: what it says. Whom it concerns is in `targets`.
//!
//! What was not understood fails closed: a list with such an entry is dropped, which widens a DENY rule,
//! and its rule gets a condition [`ConditionKey::Invalid`], which keeps an ALLOW rule from matching.

mod targets;

pub(super) use targets::{is_targeted, target_refs, targets};
pub(crate) use targets::{on_gateway, on_group};

use super::{Unit, WorldReader};
use crate::world::inputs::Pair;
use api::fields::pattern;
use api::kinds::authorization_policy::{
    AuthorizationPolicySpec, PolicyAction, PolicyCondition, PolicyOperation, PolicyRule, PolicySource,
};
use api::{Object, Spec};
use model::authz::{Action, Cidr, Condition, ConditionKey, Glob, Operation, Policy, Rule, Source};
use model::{ObjectRef, Subscription, TrustDomain};
use std::sync::Arc;

/// Istio's annotation for trying a policy.
const DRY_RUN: &str = "istio.io/dry-run";

/// A policy as it was written, and what proxies get of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompiledPolicy {
    pub(crate) object: Arc<Object>,
    pub(crate) policy: Policy,
}

impl CompiledPolicy {
    pub(super) fn spec(&self) -> Option<&AuthorizationPolicySpec> {
        match &self.object.spec {
            Spec::AuthorizationPolicy(spec) => Some(spec),
            _ => None,
        }
    }
}

pub(crate) struct AuthorizationPolicyUnit;

impl Unit for AuthorizationPolicyUnit {
    type Key = Pair;
    type Output = CompiledPolicy;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::AuthorizationPolicy(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile((namespace, name): &Pair, read: &WorldReader<'_>) -> Option<CompiledPolicy> {
        let object = read.own_object(&ObjectRef::new("AuthorizationPolicy", namespace, name))?;
        let Spec::AuthorizationPolicy(spec) = &object.spec else { return None };
        let policy = policy(object, spec, &read.started_as().trust_domain);
        Some(CompiledPolicy { object: object.clone(), policy })
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledPolicy>,
        new: Option<&CompiledPolicy>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        [old, new].into_iter().flatten().flat_map(|entry| targets(entry, read)).collect()
    }
}

/// A policy's content.
fn policy(object: &Object, spec: &AuthorizationPolicySpec, trust_domain: &TrustDomain) -> Policy {
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
struct PolicyReading<'a> {
    namespace: &'a str,
    trust_domain: &'a TrustDomain,
    understood: bool,
}

impl PolicyReading<'_> {
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
    let mut reading = PolicyReading { namespace, trust_domain, understood: true };
    let from = rule.from.iter().map(|from| reading.source(&from.source)).collect();
    let to = rule.to.iter().map(|to| reading.operation(&to.operation)).collect();
    let mut when: Vec<Condition> = rule.when.iter().map(|when| reading.condition(when)).collect();
    if !reading.understood {
        when.push(Condition { key: ConditionKey::Invalid, values: Vec::new(), not_values: Vec::new() });
    }
    Rule { from, to, when }
}
