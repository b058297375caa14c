//! One `TrafficPolicy`: to which hosts it is attached, and what it says there. What holds where several are attached is
//! said by `decide::attach`, at the proxies.

use super::attached::{Attachment, attachment_touches, effective};
use super::host::{backend_host, service_host};
use super::missing::about_missing;
use super::{Topic, Unit, WorldReader};
use crate::backend_tls::of_client_tls;
use crate::world::inputs::Pair;
use api::fields::target_ref::PolicyTarget;
use api::kinds::traffic_policy::TrafficPolicySpec;
use api::{Object, Spec};
use model::backend_tls::BackendTls;
use model::traffic::{AttachLevel, AttachedPolicy, TrafficPolicy};
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::sync::Arc;

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
        let hosts = spec.services().flat_map(|target| hosts(&key.0, target, read));
        let attached = AttachedPolicy {
            level: AttachLevel::Backend,
            origin: object.at(spec.line),
            created_s: object.meta.created,
            policy: Arc::new(policy(spec)),
        };
        Some(Attachment::new(hosts.map(|host| (host, attached.clone())).collect()))
    }

    fn topics(_key: &Pair, attachment: &Attachment) -> Vec<Topic> {
        attachment.topics()
    }

    fn touches(
        _key: &Pair,
        old: Option<&Attachment>,
        new: Option<&Attachment>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        attachment_touches(old, new, read)
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
        "ServiceEntry" => super::service_entry::entries_won(&pair, read),
        "Backend" => read.backend(&pair).and_then(|_| backend_host(&pair)).into_iter().collect(),
        "GlobalService" => super::global_service::hosts_won(&pair, read),
        _ => Vec::new(),
    }
}

/// What it says.
fn policy(spec: &TrafficPolicySpec) -> TrafficPolicy {
    let backend = spec.backend.as_ref();
    TrafficPolicy {
        load_balancer: backend.and_then(|backend| backend.load_balancer.as_ref()?.chosen()),
        tls: match spec.is_unreadable {
            true => Some(BackendTls::Unusable("the TrafficPolicy was refused".into())),
            false => backend.and_then(|backend| of_client_tls(backend.tls.as_ref()?)),
        },
        connection_pool: backend.and_then(|backend| backend.connection_pool.as_ref()?.model()).map(Arc::new),
        ..TrafficPolicy::default()
    }
}

fn missing_targets(
    key: &Pair,
    object: &Object,
    spec: &TrafficPolicySpec,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for target in spec.services().filter(|target| hosts(&key.0, target, read).is_empty()) {
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
    for host in own.hosts() {
        let effective = effective(host, read);
        let said = own.on(host).map(|attached| &attached.policy);
        let load_balancer = effective.load_balancer.as_ref().map(|field| &field.origin);
        let tls = effective.tls.as_ref().map(|field| &field.origin);
        let pool = effective.connection_pool.as_ref().map(|field| &field.origin);
        let fields = [
            ("connectionPool", pool, said.is_some_and(|said| said.connection_pool.is_some())),
            ("loadBalancer", load_balancer, said.is_some_and(|said| said.load_balancer.is_some())),
            ("tls", tls, said.is_some_and(|said| said.tls.is_some())),
        ];
        for (field, counts, is_said) in fields {
            let Some(counts) = counts.filter(|counts| is_said && counts.object != object.object) else {
                continue;
            };
            let cause = format!(
                "{field} has no effect on {host}: {} says it too, and is older or first by name",
                counts.object
            );
            let fix = "remove it from one of the two";
            findings.push(Finding::new(Code::Outvoted, &object.at(spec.line), cause, fix));
        }
    }
    findings
}
