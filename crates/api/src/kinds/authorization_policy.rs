//! Istio `AuthorizationPolicy`. What is not understood is kept, and fails closed in `translate`.

mod fail_closed;

use super::{ISTIO_SECURITY_GROUP, KindSpec, ObjectKind};
use crate::decode::Ignored;
use crate::fields::pattern;
use crate::fields::selector::WorkloadSelector;
use crate::fields::target_ref::{self, PolicyTarget};
use crate::ignored::IgnoredField;
use crate::meta::Meta;
use crate::node::Node;
use crate::syntax;
use crate::validation::ValidationReport;
use model::Code;
use serde::Deserialize;

/// `AuthorizationPolicy` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizationPolicySpec {
    /// Absent: the whole namespace; in the root namespace: the whole mesh.
    pub selector: Option<WorkloadSelector>,
    /// One target.
    pub target_ref: Option<PolicyTarget>,
    /// At most 16 targets.
    pub target_refs: Vec<PolicyTarget>,
    /// Absent: `ALLOW`.
    pub action: Option<PolicyAction>,
    /// Any may match; absent: none does.
    pub rules: Vec<PolicyRule>,
    /// With `CUSTOM`, which is not supported yet.
    pub provider: Option<Ignored>,
    /// Line of `spec`.
    #[serde(rename = "$line")]
    pub line: u32,
}

impl KindSpec for AuthorizationPolicySpec {
    const KIND: ObjectKind = ObjectKind {
        kind: "AuthorizationPolicy",
        plural: "authorizationpolicies",
        singular: "authorizationpolicy",
        short: &["ap"],
        group: ISTIO_SECURITY_GROUP,
        versions: &["v1", "v1beta1"],
        namespaced: true,
        doc: "Who may call what",
        columns: &[("ACTION", "spec.action"), ("SELECTOR", "spec.selector.matchLabels")],
    };
    const IGNORED: &'static [IgnoredField] =
        &[IgnoredField::new("spec.provider", &[], "leave it out of policies whose action is not CUSTOM")];

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn fail_closed(document: Option<&Node>) -> Option<Self> {
        Some(fail_closed::denial(document))
    }

    fn check(&self, meta: &Meta, report: &mut ValidationReport<'_>) {
        target_ref::check(self.target_ref.as_ref(), &self.target_refs, self.selector.as_ref(), meta, report);
        if let Some(selector) = &self.selector {
            report.labels("spec.selector.matchLabels", &selector.match_labels);
        }
        if self.action == Some(PolicyAction::Custom) {
            let fix = "use ALLOW or DENY; a CUSTOM policy that is in force denies what it matches";
            report.allow_with_finding(Code::Unsupported, "spec.action", "CUSTOM is not supported yet", fix);
        }
        if self.action == Some(PolicyAction::Deny) && self.rules.is_empty() {
            report.bad("spec.rules", "is missing, so the DENY policy has no effect", "add rules");
        }
        report.at_most("spec.rules", self.rules.len(), RULES_MAX);
        for (index, rule) in self.rules.iter().enumerate() {
            one_rule(rule, &format!("spec.rules[{index}]"), report);
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PolicyAction {
    /// The default.
    Allow,
    /// Wins.
    Deny,
    /// Recorded.
    Audit,
    /// Not supported yet: treated as a denial of what it matches, because an unasked authority never said yes.
    Custom,
}

/// One rule; all parts must match.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// Any of these.
    pub from: Vec<PolicyFrom>,
    /// Any of these.
    pub to: Vec<PolicyTo>,
    /// All of these.
    pub when: Vec<PolicyCondition>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `from[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyFrom {
    /// Who.
    pub source: PolicySource,
}

/// `from[].source`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct PolicySource {
    pub principals: Vec<String>,
    pub not_principals: Vec<String>,
    pub request_principals: Vec<String>,
    pub not_request_principals: Vec<String>,
    pub namespaces: Vec<String>,
    pub not_namespaces: Vec<String>,
    pub service_accounts: Vec<String>,
    pub not_service_accounts: Vec<String>,
    pub trust_domains: Vec<String>,
    pub not_trust_domains: Vec<String>,
    pub ip_blocks: Vec<String>,
    pub not_ip_blocks: Vec<String>,
    pub remote_ip_blocks: Vec<String>,
    pub not_remote_ip_blocks: Vec<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `to[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyTo {
    /// What.
    pub operation: PolicyOperation,
}

/// `to[].operation`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct PolicyOperation {
    pub hosts: Vec<String>,
    pub not_hosts: Vec<String>,
    pub ports: Vec<String>,
    pub not_ports: Vec<String>,
    pub methods: Vec<String>,
    pub not_methods: Vec<String>,
    pub paths: Vec<String>,
    pub not_paths: Vec<String>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `when[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyCondition {
    /// For example `request.headers[x-token]`.
    pub key: String,
    /// Any must match.
    #[serde(default)]
    pub values: Vec<String>,
    /// None may match.
    #[serde(default)]
    pub not_values: Vec<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

const RULES_MAX: usize = 512;

fn one_rule(rule: &PolicyRule, at: &str, report: &mut ValidationReport<'_>) {
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
fn closed(code: Code, path: &str, cause: &str, report: &mut ValidationReport<'_>) {
    report.allow_with_finding(
        code,
        path,
        cause,
        "use one that is supported; where this policy is in force, it matches nothing in an ALLOW rule and \
         everything in a DENY rule",
    );
}

fn source(source: &PolicySource, at: &str, report: &mut ValidationReport<'_>) {
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
    let checks: [ValueCheck<'_>; 8] = [
        ("principals", &source.principals, pattern::is_principal),
        ("notPrincipals", &source.not_principals, pattern::is_principal),
        ("namespaces", &source.namespaces, pattern::is_namespace),
        ("notNamespaces", &source.not_namespaces, pattern::is_namespace),
        ("ipBlocks", &source.ip_blocks, pattern::is_block),
        ("notIpBlocks", &source.not_ip_blocks, pattern::is_block),
        ("remoteIpBlocks", &source.remote_ip_blocks, pattern::is_block),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks, pattern::is_block),
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
    namespace.is_none_or(syntax::is_label) && syntax::is_subdomain(name)
}

fn operation(operation: &PolicyOperation, at: &str, report: &mut ValidationReport<'_>) {
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
    let path = |text: &str| text.contains(['{', '}']) || pattern::is_path(text);
    let checks: [ValueCheck<'_>; 8] = [
        ("hosts", &operation.hosts, pattern::is_pattern),
        ("notHosts", &operation.not_hosts, pattern::is_pattern),
        ("ports", &operation.ports, pattern::is_port),
        ("notPorts", &operation.not_ports, pattern::is_port),
        ("methods", &operation.methods, pattern::is_method),
        ("notMethods", &operation.not_methods, pattern::is_method),
        ("paths", &operation.paths, path),
        ("notPaths", &operation.not_paths, path),
    ];
    matchable(&checks, at, report);
}

/// A field, its values, and whether one can match anything.
type ValueCheck<'a> = (&'a str, &'a Vec<String>, fn(&str) -> bool);

/// Values that could never match: in a DENY rule they would deny nothing, without a word.
fn matchable(checks: &[ValueCheck<'_>], at: &str, report: &mut ValidationReport<'_>) {
    for (field, values, can_match) in checks {
        let wrong = values.iter().enumerate().filter(|(_, value)| !value.is_empty() && !can_match(value));
        for (index, value) in wrong {
            let cause = format!("cannot be `{value}`, which matches nothing");
            closed(Code::BadValue, &format!("{at}.{field}[{index}]"), &cause, report);
        }
    }
}

fn not_empty(at: &str, values: &[String], report: &mut ValidationReport<'_>) {
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_empty()) {
        report.bad(&format!("{at}[{index}]"), "is empty", "write a value, or `*` for any");
    }
}

/// Keys of `when` that are valid in Istio but not understood yet.
const KEYS_UNSUPPORTED: &[&str] = &[
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "connection.sni",
    "source.serviceAccount",
];

fn condition(when: &PolicyCondition, at: &str, report: &mut ValidationReport<'_>) {
    let path = format!("{at}.key");
    match when.key.as_str() {
        "source.ip" | "remote.ip" | "source.namespace" | "source.principal" | "destination.port" => {}
        key if pattern::header_of(key).is_some() => {}
        key if KEYS_UNSUPPORTED.contains(&key)
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
    let wrong = values.find(|value| !pattern::is_value_of(&when.key, value));
    if let Some(value) = wrong {
        closed(Code::BadValue, at, &format!("has the value `{value}`, which does not fit its key"), report);
    }
}

#[cfg(test)]
mod tests;
