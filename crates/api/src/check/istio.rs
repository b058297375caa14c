//! Rules for Istio's kinds. What is not understood in a policy is kept, and fails closed in `translate`.

use super::{Report, is_subdomain};
use crate::istio::{
    self, AuthorizationPolicySpec, Operation, PolicyAction, PolicyRule, Source, When, WorkloadGroupSpec,
    header_of,
};
use crate::kinds::GATEWAY_GROUP;
use crate::object::Meta;
use model::Code;

const RULES_MAX: usize = 512;
const TARGETS_MAX: usize = 16;

pub(super) fn workload_group(spec: &WorkloadGroupSpec, report: &mut Report<'_>) {
    super::labels("spec.metadata.labels", &spec.metadata.labels, report);
    super::labels("spec.template.labels", &spec.template.labels, report);
    if let Some(account) = &spec.template.service_account {
        report.subdomain("spec.template.serviceAccount", account);
    }
    if !spec.metadata.annotations.is_empty() {
        report.ignored("spec.metadata.annotations", "remove it");
    }
    if spec.template.locality.as_deref().is_some_and(|locality| locality.split('/').count() > 2) {
        let cause = "has more than a region and a zone, and the rest has no effect";
        report.no_effect("spec.template.locality", cause, "write REGION/ZONE");
    }
    if spec.template.weight == Some(0) {
        let fix = "write 1 or more; to take workloads out, stop them or let no selector match them";
        report.no_effect("spec.template.weight", "is 0, which has no effect: it counts as 1", fix);
    }
}

pub(super) fn authorization_policy(spec: &AuthorizationPolicySpec, meta: &Meta, report: &mut Report<'_>) {
    let targets = spec.target_refs.len() + usize::from(spec.target_ref.is_some());
    if targets > 0 && spec.selector.is_some() {
        report.bad("spec.selector", "cannot stand beside targetRefs", "use one of them");
    }
    if spec.target_ref.is_some() && !spec.target_refs.is_empty() {
        report.bad("spec.targetRef", "cannot stand beside targetRefs", "use targetRefs");
    }
    report.at_most("spec.targetRefs", spec.target_refs.len(), TARGETS_MAX);
    let named = spec
        .target_refs
        .iter()
        .enumerate()
        .map(|(index, target)| (format!("spec.targetRefs[{index}]"), target));
    for (path, target) in
        named.chain(spec.target_ref.iter().map(|target| ("spec.targetRef".to_owned(), target)))
    {
        if target.kind != "Gateway" {
            let fix = "name a Gateway, or select workloads with `selector`; without a target the policy is for the \
                       whole namespace";
            report.later(&format!("{path}.kind"), &format!("target kind {}", target.kind), fix);
        }
        if target.group.as_deref().is_some_and(|group| group != GATEWAY_GROUP) {
            let fix = format!("write `{GATEWAY_GROUP}`");
            report.no_effect(&format!("{path}.group"), "is not that of Gateway, and has no effect", fix);
        }
        if target
            .namespace
            .as_deref()
            .is_some_and(|namespace| !namespace.is_empty() && namespace != &*meta.namespace)
        {
            let fix = "put the policy into that namespace, or name a Gateway of the policy's own";
            report.bad(&format!("{path}.namespace"), "is not the policy's own", fix);
        }
    }
    if let Some(selector) = &spec.selector {
        super::labels("spec.selector.matchLabels", &selector.match_labels, report);
    }
    if spec.action == Some(PolicyAction::Custom) {
        let fix = "use ALLOW or DENY; a CUSTOM policy that is in force denies what it matches";
        report.allow_with_finding(Code::Unsupported, "spec.action", "CUSTOM is not supported yet", fix);
    }
    if spec.action == Some(PolicyAction::Deny) && spec.rules.is_empty() {
        report.bad("spec.rules", "is missing, so the DENY policy has no effect", "add rules");
    }
    report.at_most("spec.rules", spec.rules.len(), RULES_MAX);
    for (index, rule) in spec.rules.iter().enumerate() {
        one_rule(rule, &format!("spec.rules[{index}]"), report);
    }
}

fn one_rule(rule: &PolicyRule, at: &str, report: &mut Report<'_>) {
    for (index, from) in rule.from.iter().enumerate() {
        source(&from.source, &format!("{at}.from[{index}].source"), report);
    }
    for (index, to) in rule.to.iter().enumerate() {
        operation(&to.operation, &format!("{at}.to[{index}].operation"), report);
    }
    for (index, when) in rule.when.iter().enumerate() {
        condition(when, &format!("{at}.when[{index}]"), report);
    }
}

/// Not understood, kept, fails closed. To remove a condition is no fix: the rule would match more.
fn closed(code: Code, path: &str, cause: &str, report: &mut Report<'_>) {
    report.allow_with_finding(
        code,
        path,
        cause,
        "use one that is supported; where this policy is in force, it matches nothing in an ALLOW rule and \
         everything in a DENY rule",
    );
}

fn source(source: &Source, at: &str, report: &mut Report<'_>) {
    let unsupported = [
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ];
    let supported = [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ];
    let mut lists = unsupported.iter().chain(&supported);
    if lists.all(|(_, values)| values.is_empty()) {
        report.bad(at, "is empty", "say who, or remove `from` to mean everybody");
    }
    for (field, values) in unsupported {
        if !values.is_empty() {
            closed(Code::Unsupported, &format!("{at}.{field}"), "is not supported yet", report);
        }
    }
    for (field, values) in supported {
        not_empty(&format!("{at}.{field}"), values, report);
    }
    let checks: [Check<'_>; 8] = [
        ("principals", &source.principals, istio::is_principal),
        ("notPrincipals", &source.not_principals, istio::is_principal),
        ("namespaces", &source.namespaces, istio::is_namespace),
        ("notNamespaces", &source.not_namespaces, istio::is_namespace),
        ("ipBlocks", &source.ip_blocks, istio::is_block),
        ("notIpBlocks", &source.not_ip_blocks, istio::is_block),
        ("remoteIpBlocks", &source.remote_ip_blocks, istio::is_block),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks, istio::is_block),
    ];
    matchable(&checks, at, report);
    let accounts =
        [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)];
    for (field, accounts) in accounts {
        for (index, account) in accounts.iter().enumerate().filter(|(_, account)| !is_account(account)) {
            closed(
                Code::BadValue,
                &format!("{at}.{field}[{index}]"),
                &format!("cannot be `{account}`"),
                report,
            );
        }
    }
}

fn is_account(text: &str) -> bool {
    let (namespace, name) =
        text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name));
    namespace.is_none_or(super::is_label) && is_subdomain(name)
}

fn operation(operation: &Operation, at: &str, report: &mut Report<'_>) {
    let lists = [
        ("hosts", &operation.hosts),
        ("notHosts", &operation.not_hosts),
        ("ports", &operation.ports),
        ("notPorts", &operation.not_ports),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
        ("paths", &operation.paths),
        ("notPaths", &operation.not_paths),
    ];
    if lists.iter().all(|(_, values)| values.is_empty()) {
        report.bad(at, "is empty", "say what, or remove `to` to mean everything");
    }
    for (field, values) in lists {
        not_empty(&format!("{at}.{field}"), values, report);
    }
    for (field, paths) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        for (index, path) in paths.iter().enumerate().filter(|(_, path)| path.contains(['{', '}'])) {
            let cause = format!("is a template (`{path}`), which is not supported yet");
            closed(Code::Unsupported, &format!("{at}.{field}[{index}]"), &cause, report);
        }
    }
    let path = |text: &str| text.contains(['{', '}']) || istio::is_path(text);
    let checks: [Check<'_>; 8] = [
        ("hosts", &operation.hosts, istio::is_pattern),
        ("notHosts", &operation.not_hosts, istio::is_pattern),
        ("ports", &operation.ports, istio::is_port),
        ("notPorts", &operation.not_ports, istio::is_port),
        ("methods", &operation.methods, istio::is_method),
        ("notMethods", &operation.not_methods, istio::is_method),
        ("paths", &operation.paths, path),
        ("notPaths", &operation.not_paths, path),
    ];
    matchable(&checks, at, report);
}

/// A field, its values, and whether one can match anything.
type Check<'a> = (&'a str, &'a Vec<String>, fn(&str) -> bool);

/// Values that could never match: in a DENY rule they would deny nothing, without a word.
fn matchable(checks: &[Check<'_>], at: &str, report: &mut Report<'_>) {
    for (field, values, can_match) in checks {
        let wrong = values.iter().enumerate().filter(|(_, value)| !value.is_empty() && !can_match(value));
        for (index, value) in wrong {
            let cause = format!("cannot be `{value}`, which matches nothing");
            closed(Code::BadValue, &format!("{at}.{field}[{index}]"), &cause, report);
        }
    }
}

fn not_empty(at: &str, values: &[String], report: &mut Report<'_>) {
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_empty()) {
        report.bad(&format!("{at}[{index}]"), "is empty", "write a value, or `*` for any");
    }
}

/// Keys of `when` that are valid in Istio but not understood yet.
const KEYS_LATER: &[&str] = &[
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "connection.sni",
    "source.serviceAccount",
];

fn condition(when: &When, at: &str, report: &mut Report<'_>) {
    let path = format!("{at}.key");
    match when.key.as_str() {
        "source.ip" | "remote.ip" | "source.namespace" | "source.principal" | "destination.port" => {}
        key if header_of(key).is_some() => {}
        key if KEYS_LATER.contains(&key)
            || key.starts_with("request.auth.claims[")
            || key.starts_with("experimental.") =>
        {
            closed(Code::Unsupported, &path, &format!("`{key}` is not supported yet"), report);
        }
        key => closed(Code::BadValue, &path, &format!("cannot be `{key}`"), report),
    }
    if when.values.is_empty() && when.not_values.is_empty() {
        report.bad(at, "has neither `values` nor `notValues`", "add one of them");
    }
    let mut values = when.values.iter().chain(&when.not_values);
    let wrong = values.find(|value| !istio::is_value_of(&when.key, value));
    if let Some(value) = wrong {
        closed(Code::BadValue, at, &format!("has the value `{value}`, which does not fit its key"), report);
    }
}
