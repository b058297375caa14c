//! What is wrong with policies among all others. Each policy may look at each group and each other policy, so all of
//! them are reviewed together, by one survey of what is there, and again when anything of that changes.

mod findings;
mod rules;
mod survey;

use super::authorization_policy::CompiledPolicy;
use super::{Unit, UnitKind, WorldReader};
use api::kinds::authorization_policy::AuthorizationPolicySpec;
use api::{Object, ROOT_NAMESPACE, Spec};
use model::authz::ConditionKey;
use model::{Code, Finding, Subscription};
use survey::{Area, Survey};

/// What policies and the places where they apply consist of.
const LOOKED_AT: &[UnitKind] = &[
    UnitKind::WorkloadGroup,
    UnitKind::Service,
    UnitKind::GlobalService,
    UnitKind::GlobalHost,
    UnitKind::Gateway,
    UnitKind::AuthorizationPolicy,
];

pub(crate) struct PolicyReviewUnit;

impl Unit for PolicyReviewUnit {
    type Key = ();
    type Output = ();

    fn keys(object: &Object) -> Vec<()> {
        match &object.spec {
            Spec::AuthorizationPolicy(_) => vec![()],
            _ => Vec::new(),
        }
    }

    /// All that there is of it are findings.
    fn compile(_key: &(), _read: &WorldReader<'_>) -> Option<()> {
        None
    }

    fn touches(
        _key: &(),
        _old: Option<&()>,
        _new: Option<&()>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }

    fn findings(_key: &(), read: &WorldReader<'_>) -> Vec<Finding> {
        let policies = read.outputs().authorization_policy.values();
        let survey = Survey::new(read.every(LOOKED_AT));
        let mut findings = Vec::new();
        for entry in policies {
            let Some(spec) = entry.spec() else { continue };
            let area = survey.area(entry, spec);
            findings.extend(concerns_nobody(&entry.object, spec, &area));
            findings.extend(http_on_tcp(entry, spec, &area, &survey));
            findings.extend(findings::find(entry, spec, &area, &survey));
        }
        findings
    }
}

/// A policy that selects nothing: mostly a slip in a label, or Istio's root namespace instead of ours.
fn concerns_nobody(object: &Object, spec: &AuthorizationPolicySpec, area: &Area<'_>) -> Option<Finding> {
    const ISTIO_ROOT: &str = "istio-system";
    if !area.targets.is_empty() {
        return None;
    }
    let (cause, fix) = if &*object.meta.namespace == ISTIO_ROOT {
        let cause = format!("{ISTIO_ROOT} is a namespace like others here, so the policy concerns nobody");
        (cause, format!("for the whole mesh, put it into {ROOT_NAMESPACE}"))
    } else {
        let fix = "let `selector` match `spec.metadata.labels` of a WorkloadGroup of the namespace, or \
                   `targetRefs` name a Gateway of it";
        ("the policy concerns no workload and no gateway".to_owned(), fix.to_owned())
    };
    Some(Finding::new(Code::NoWorkloads, &object.at(spec.line), cause, fix))
}

/// HTTP conditions on ports that are declared as TCP: they can never match there (TS-07).
fn http_on_tcp(
    entry: &CompiledPolicy,
    spec: &AuthorizationPolicySpec,
    area: &Area<'_>,
    survey: &Survey<'_>,
) -> Vec<Finding> {
    // Most policies name no ports: then there is nothing to look for among all workloads.
    if spec.rules.iter().all(|rule| rule.to.iter().all(|to| to.operation.ports.is_empty())) {
        return Vec::new();
    }
    let tcp = &survey.terrain(area).tcp_of_groups;
    let mut findings = Vec::new();
    for (rule, written) in entry.policy.rules.iter().zip(&spec.rules) {
        let headers = rule.when.iter().any(|when| matches!(when.key, ConditionKey::Header(_)));
        for (operation, to) in rule.to.iter().zip(&written.to) {
            let wrong: Vec<String> =
                operation.ports.iter().filter(|port| tcp.contains(port)).map(u16::to_string).collect();
            if !wrong.is_empty() && (headers || operation.needs_http()) {
                let cause =
                    format!("an HTTP condition stands beside port {}, which is TCP", wrong.join(", "));
                let fix = "remove the port or the HTTP condition, or declare the port's protocol as http";
                findings.push(Finding::new(
                    Code::HttpFieldOnTcp,
                    &entry.object.at(to.operation.line),
                    cause,
                    fix,
                ));
            }
        }
    }
    findings
}
