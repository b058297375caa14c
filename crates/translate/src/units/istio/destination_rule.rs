//! One `DestinationRule`: what it says of the endpoints of its host, and its subsets. Which rule counts for a host is said
//! in `host_rules`.

use super::host_rules::{CompiledDestinationRule, SubsetRule, rules_on};
use super::name::{Audience, HostPattern};
use crate::backend_tls::of_client_tls;
use crate::units::attached::effective;
use crate::units::host::{endpoints_touch, find_host};
use crate::units::workload_group::selects;
use crate::units::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::fields::client_tls::{TlsOriginationMode, TlsOriginationSpec};
use api::kinds::destination_rule::{DestinationPolicySpec, DestinationRuleSpec};
use api::{Object, ROOT_NAMESPACE, Spec};
use model::backend_tls::BackendTls;
use model::traffic::{AttachLevel, AttachedPolicy, TrafficPolicy};
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct DestinationRuleUnit;

impl Unit for DestinationRuleUnit {
    type Key = Pair;
    type Output = CompiledDestinationRule;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::DestinationRule(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledDestinationRule> {
        let (object, spec) = own(key, read)?;
        let attached = |line: u32, policies: [Option<&DestinationPolicySpec>; 2]| AttachedPolicy {
            level: AttachLevel::Backend,
            origin: object.at(line),
            created_s: object.meta.created,
            policy: Arc::new(match spec.is_unreadable {
                true => TrafficPolicy {
                    tls: Some(BackendTls::Unusable("the DestinationRule was refused".into())),
                    ..TrafficPolicy::default()
                },
                false => traffic_policy(policies),
            }),
        };
        let of_host = spec.traffic_policy.as_deref();
        let subsets = spec.subsets.iter().map(|subset| SubsetRule {
            name: subset.name.as_str().into(),
            labels: subset.labels.clone(),
            attached: attached(subset.line, [subset.traffic_policy.as_deref(), of_host]),
        });
        Some(CompiledDestinationRule {
            host: HostPattern::new(&spec.host, &object.meta.namespace)?,
            audience: Audience::new(&spec.export_to, &object.meta.namespace),
            attached: attached(spec.line, [of_host, None]),
            subsets: subsets.collect(),
        })
    }

    fn topics(_key: &Pair, rule: &CompiledDestinationRule) -> Vec<Topic> {
        vec![Topic::DestinationRules(rule.host.clone())]
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledDestinationRule>,
        new: Option<&CompiledDestinationRule>,
        read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        let hosts = [old, new].into_iter().flatten().flat_map(|rule| rule.host.hosts(read));
        let is_exported = |host: &Hostname| find_host(host, read).is_some_and(|entry| entry.exported);
        hosts.flat_map(|host| endpoints_touch(&host, is_exported(&host), read)).collect()
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let Some(rule) = read.destination_rule(key) else { return Vec::new() };
        let hosts = rule.host.hosts(read);
        let known: Vec<&Hostname> = hosts.iter().filter(|host| find_host(host, read).is_some()).collect();
        let mut findings = Vec::new();
        if known.is_empty() {
            findings.push(unknown_host(object, spec, rule));
        }
        findings.extend(known.iter().filter_map(|host| without_effect(key, object, spec, host, read)));
        if let [host] = known[..] {
            findings.extend(empty_subsets(object, spec, host, rule, read));
            findings.extend(tls_in_mesh(object, spec, host, read));
            findings.extend(pool_in_mesh(object, spec, host, read));
        }
        findings
    }
}

fn own<'w>(
    (namespace, name): &Pair,
    read: &WorldReader<'w>,
) -> Option<(&'w Object, &'w DestinationRuleSpec)> {
    let object = read.own_object(&ObjectRef::new("DestinationRule", namespace, name))?;
    match &object.spec {
        Spec::DestinationRule(spec) => Some((object, spec)),
        _ => None,
    }
}

/// What the first of these says, by field.
fn traffic_policy(policies: [Option<&DestinationPolicySpec>; 2]) -> TrafficPolicy {
    let said = || policies.iter().flatten();
    let is_said = said().any(|policy| policy.tls.is_some());
    let mut port_tls = BTreeMap::new();
    // What is said for a port is all that holds there: without `tls` there is none.
    let of_ports = said().rev().flat_map(|policy| &policy.port_level_settings);
    for settings in of_ports {
        let tls = settings.tls.as_ref().map_or(is_said.then_some(BackendTls::Disable), of_client_tls);
        let port = settings.port.map(|port| port.number).unwrap_or_default();
        port_tls.extend(tls.map(|tls| (port, tls)));
    }
    TrafficPolicy {
        load_balancer: said().find_map(|policy| policy.load_balancer.as_ref()?.chosen()),
        tls: said().find_map(|policy| of_client_tls(policy.tls.as_ref()?)),
        port_tls,
        connection_pool: said().find_map(|policy| policy.connection_pool.as_ref()?.model()).map(Arc::new),
    }
}

fn unknown_host(object: &Object, spec: &DestinationRuleSpec, rule: &CompiledDestinationRule) -> Finding {
    let (cause, fix) = match rule.host.exact() {
        Some(host) => (
            format!("host {host} is no service that is known here, so the rule has no effect"),
            "create the Service, or write its whole name, NAME.NAMESPACE.svc.cluster.local",
        ),
        None => (
            format!("no service that is known here matches `{}`, so the rule has no effect", spec.host),
            "correct the name behind the `*`",
        ),
    };
    Finding::new(Code::ParentNotFound, &object.at(spec.line), cause, fix)
}

/// Where another rule or policy counts instead.
fn without_effect(
    key: &Pair,
    object: &Object,
    spec: &DestinationRuleSpec,
    host: &Hostname,
    read: &WorldReader<'_>,
) -> Option<Finding> {
    let rules = rules_on(host, read);
    let finding = |cause: String, fix: &str| Finding::new(Code::Outvoted, &object.at(spec.line), cause, fix);
    if !rules.iter().any(|(pair, _)| *pair == key) {
        return Some(match rules.first() {
            Some(((namespace, name), _)) => {
                let other = ObjectRef::new("DestinationRule", namespace, name);
                finding(
                    format!(
                        "has no effect on {host}: {other} counts there, being of the host's namespace or more specific"
                    ),
                    "merge the two",
                )
            }
            None => finding(
                format!(
                    "has no effect on {host}: a rule counts in the namespace of the host, or in {ROOT_NAMESPACE}"
                ),
                "put the rule into the namespace of the host",
            ),
        });
    }
    let own = read.destination_rule(key)?;
    let counts =
        effective(host, read).load_balancer.filter(|_| own.attached.policy.load_balancer.is_some())?;
    let is_other = counts.origin.object != own.attached.origin.object;
    is_other.then(|| {
        let other = &counts.origin.object;
        let cause = format!(
            "loadBalancer has no effect on {host}: {other} says it too, and is older or first by name"
        );
        finding(cause, "remove it from one of the two")
    })
}

/// Subsets whose labels no workload of the host can have.
fn empty_subsets(
    object: &Object,
    spec: &DestinationRuleSpec,
    host: &Hostname,
    rule: &CompiledDestinationRule,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let Some(entry) = find_host(host, read).filter(|entry| !entry.groups.is_empty()) else {
        return Vec::new();
    };
    let is_empty = |subset: &&SubsetRule| {
        let groups = entry.groups.iter().filter_map(|group| read.workload_group(group));
        !groups.into_iter().any(|group| selects(&subset.labels, &group.labels))
    };
    let finding = |subset: &SubsetRule| {
        let line =
            spec.subsets.iter().find(|own| *own.name == *subset.name).map_or(spec.line, |own| own.line);
        let cause =
            format!("subset `{}` selects no WorkloadGroup of {host}: requests to it get a 503", subset.name);
        let fix = "let its labels match `spec.metadata.labels` or `spec.template.labels` of a WorkloadGroup";
        Finding::new(Code::NoWorkloads, &object.at(line), cause, fix)
    };
    rule.subsets.iter().filter(is_empty).map(finding).collect()
}

/// `connectionPool` for a host whose endpoints are workloads of the mesh: the callers of one share a connection of its
/// own kind.
fn pool_in_mesh(
    object: &Object,
    spec: &DestinationRuleSpec,
    host: &Hostname,
    read: &WorldReader<'_>,
) -> Option<Finding> {
    find_host(host, read).filter(|entry| !entry.groups.is_empty())?;
    let policies =
        spec.traffic_policy.iter().chain(spec.subsets.iter().filter_map(|one| one.traffic_policy.as_ref()));
    let mut pools = policies.filter_map(|policy| policy.connection_pool.as_ref()?.model());
    pools.next()?;
    let cause = format!(
        "`connectionPool` has no effect on the workloads of {host} in the mesh: their callers share connections \
         between proxies"
    );
    let fix = "remove it; requests have time-outs in routes";
    Some(Finding::new(Code::Ignored, &object.at(spec.line), cause, fix))
}

/// `tls` for a host whose endpoints are workloads of the mesh: these are reached by its own mutual TLS.
fn tls_in_mesh(
    object: &Object,
    spec: &DestinationRuleSpec,
    host: &Hostname,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    if find_host(host, read).is_none_or(|entry| entry.groups.is_empty()) {
        return Vec::new();
    }
    let policies = spec.traffic_policy.iter().chain(spec.subsets.iter().flat_map(|one| &one.traffic_policy));
    let tls = policies.flat_map(|policy| {
        policy.tls.iter().chain(policy.port_level_settings.iter().flat_map(|settings| &settings.tls))
    });
    let of_others = tls.filter(|tls| tls.mode.is_some_and(|mode| mode != TlsOriginationMode::IstioMutual));
    let finding = |tls: &TlsOriginationSpec| {
        let cause = format!(
            "`tls` has no effect on the workloads of {host} in the mesh: they are reached by mutual TLS"
        );
        let fix = "write mode ISTIO_MUTUAL, or say in a PeerAuthentication that a port takes plaintext alone";
        Finding::new(Code::Ignored, &object.at(tls.line), cause, fix)
    };
    of_others.map(finding).collect()
}
