//! One `TrafficPolicy`: to which hosts it is attached, and what it says there. What holds where several are attached is
//! said by `decide::attach`, at the proxies.

use super::host::{backend_host, endpoints_touch, find_host, service_host};
use super::missing::about_missing;
use super::{Topic, Unit, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::fields::target_ref::PolicyTarget;
use api::kinds::traffic_policy::TrafficPolicySpec;
use api::{Object, Spec};
use decide::attach;
use model::traffic::{AttachLevel, AttachedPolicy, TrafficPolicy};
use model::{Code, Finding, Hostname, ObjectRef, ResourceKey, Subscription};
use std::sync::Arc;

/// What a `TrafficPolicy` is compiled to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attachment {
    /// To these, sorted.
    pub(crate) hosts: Vec<Hostname>,
    /// What it says.
    pub(crate) attached: AttachedPolicy,
}

pub(crate) struct TrafficPolicyUnit;

impl Unit for TrafficPolicyUnit {
    type Key = Pair;
    type Output = Attachment;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::TrafficPolicy(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<Attachment> {
        let (object, spec) = own(key, read)?;
        let mut hosts: Vec<Hostname> =
            spec.target_refs.iter().flat_map(|target| hosts(&key.0, target, read)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let backend = spec.backend.as_ref();
        let load_balancer = backend.and_then(|backend| backend.load_balancer.as_ref()?.chosen());
        let attached = AttachedPolicy {
            level: AttachLevel::Backend,
            origin: object.at(spec.line),
            created_s: object.meta.created,
            policy: Arc::new(TrafficPolicy { load_balancer }),
        };
        Some(Attachment { hosts, attached })
    }

    fn topics(_key: &Pair, attachment: &Attachment) -> Vec<Topic> {
        attachment.hosts.iter().cloned().map(Topic::AttachedTo).collect()
    }

    fn touches(
        _key: &Pair,
        old: Option<&Attachment>,
        new: Option<&Attachment>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        let hosts = [old, new].into_iter().flatten().flat_map(|attachment| &attachment.hosts);
        let is_exported = |host| find_host(host, read).is_some_and(|entry| entry.exported);
        hosts.flat_map(|host| endpoints_touch(host, is_exported(host), read)).collect()
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let mut findings = missing_targets(key, object, spec, read);
        findings.extend(outvoted(key, object, spec, read));
        findings
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w TrafficPolicySpec)> {
    let object = read.own_object(&ObjectRef::new("TrafficPolicy", namespace, name))?;
    match &object.spec {
        Spec::TrafficPolicy(spec) => Some((object, spec)),
        _ => None,
    }
}

/// The hosts of what a policy names; none where that is not there.
fn hosts(namespace: &Arc<str>, target: &PolicyTarget, read: &WorldReader<'_>) -> Vec<Hostname> {
    let pair = (namespace.clone(), Arc::from(&*target.name));
    match &*target.kind {
        "Service" => read.service(&pair).and_then(|_| service_host(&pair)).into_iter().collect(),
        "Backend" => read.backend(&pair).and_then(|_| backend_host(&pair)).into_iter().collect(),
        "GlobalService" => super::global_service::hosts_won(&pair, read),
        _ => Vec::new(),
    }
}

/// The policies that are attached to a host, as resources.
pub(crate) fn on_host<'w>(host: &Hostname, read: &WorldReader<'w>) -> Vec<(ResourceKey, &'w AttachedPolicy)> {
    let mut attached = Vec::new();
    for member in read.members(Topic::AttachedTo(host.clone())) {
        let UnitKey::TrafficPolicy(pair) = member else { continue };
        let (namespace, name) = pair.clone();
        let key = ResourceKey::TrafficPolicy { host: host.clone(), namespace, name };
        attached.extend(read.traffic_policy(pair).map(|policy| (key, &policy.attached)));
    }
    attached
}

fn missing_targets(
    key: &Pair,
    object: &Object,
    spec: &TrafficPolicySpec,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for target in spec.target_refs.iter().filter(|target| hosts(&key.0, target, read).is_empty()) {
        let meant = ObjectRef::new(&target.kind, &key.0, &target.name);
        let (cause, fix) = about_missing(&meant, format!("{meant} does not exist"), read);
        findings.push(Finding::new(Code::ReferenceNotFound, &object.at(target.line), cause, fix));
    }
    findings
}

/// Where an older policy says the same field.
fn outvoted(key: &Pair, object: &Object, spec: &TrafficPolicySpec, read: &WorldReader<'_>) -> Vec<Finding> {
    let Some(own) = read.traffic_policy(key) else { return Vec::new() };
    let mut findings = Vec::new();
    for host in &own.hosts {
        let effective = attach::merge(on_host(host, read).into_iter().map(|(_, attached)| attached));
        let counts = effective.load_balancer.filter(|_| own.attached.policy.load_balancer.is_some());
        if let Some(field) = counts.filter(|field| field.origin.object != own.attached.origin.object) {
            let cause = format!(
                "loadBalancer has no effect on {host}: {} says it too, and is older or first by name",
                field.origin.object
            );
            let fix = "remove it from one of the two";
            findings.push(Finding::new(Code::Outvoted, &object.at(spec.line), cause, fix));
        }
    }
    findings
}
