//! Istio kinds: `WorkloadGroup` and `AuthorizationPolicy`.

use crate::decode::Ignored;
use model::authz::Cidr;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `WorkloadGroup` `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadGroupSpec {
    /// Labels and annotations of every workload of the group.
    #[serde(default)]
    pub metadata: GroupMetadata,
    /// What all have in common.
    pub template: WorkloadTemplate,
    /// Ignored, with a warning: health is the proxy's readiness so far.
    #[serde(default)]
    pub probe: Option<Ignored>,
    /// Line of `spec`.
    #[serde(rename = "$line", default)]
    pub line: u32,
}

/// `WorkloadGroup` `spec.metadata`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupMetadata {
    /// What services and policies select by.
    pub labels: BTreeMap<String, String>,
    /// Ignored, with a warning.
    pub annotations: BTreeMap<String, String>,
}

/// `WorkloadGroup` `spec.template`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadTemplate {
    /// Absent: `default`.
    pub service_account: Option<String>,
    /// Labels beside `spec.metadata.labels` (both select).
    pub labels: BTreeMap<String, String>,
    /// Ignored, with a warning: services name numbers.
    pub ports: Option<Ignored>,
    /// Ignored, with a warning: the address comes from the registration.
    pub address: Option<Ignored>,
    /// `region/zone`; absent: the cluster's.
    pub locality: Option<String>,
    /// Ignored, with a warning: the network is the cluster's.
    pub network: Option<Ignored>,
    /// Share of traffic; absent: 1.
    pub weight: Option<u32>,
}

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

/// Selects by labels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// All must be there.
    pub match_labels: BTreeMap<String, String>,
}

/// What a policy is attached to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// For example `gateway.networking.k8s.io`.
    #[serde(default)]
    pub group: Option<String>,
    /// `Gateway`; others are not supported yet.
    pub kind: String,
    /// Name in the policy's namespace.
    pub name: String,
    /// Only the policy's own.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Line in the file.
    #[serde(rename = "$line", default)]
    pub line: u32,
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
    pub from: Vec<From>,
    /// Any of these.
    pub to: Vec<To>,
    /// All of these.
    pub when: Vec<When>,
    /// Line in the file.
    #[serde(rename = "$line")]
    pub line: u32,
}

/// `from[]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct From {
    /// Who.
    pub source: Source,
}

/// `from[].source`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct Source {
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
pub struct To {
    /// What.
    pub operation: Operation,
}

/// `to[].operation`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are Istio's")]
pub struct Operation {
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
pub struct When {
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

/// Whether a value with an optional `*` at its beginning or end can match anything: in between a `*` would
/// be compared as a letter.
pub fn is_pattern(text: &str) -> bool {
    let rest = text.strip_suffix('*').or_else(|| text.strip_prefix('*')).unwrap_or(text);
    !text.is_empty() && !rest.contains('*')
}

/// The same for `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, which is written without a scheme.
pub fn is_principal(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    let is_whole = matches!(parts[..], [domain, "ns", namespace, "sa", account]
        if !domain.is_empty() && !namespace.is_empty() && !account.is_empty());
    is_pattern(text) && !text.contains("://") && (text.contains('*') || is_whole)
}

/// The same for a namespace.
pub fn is_namespace(text: &str) -> bool {
    is_pattern(text) && !text.contains('/')
}

/// The same for a method; they are compared exactly.
pub fn is_method(text: &str) -> bool {
    is_pattern(text) && !text.bytes().any(|b| b.is_ascii_lowercase())
}

/// The same for a path: one begins with `/` and has neither query nor fragment; what has empty or dot segments is
/// also read without them, so a policy on them could only lead to 400. Templates are not understood yet.
pub fn is_path(text: &str) -> bool {
    let stray = ["?", "#", "//", "/./", "/../", "{", "}"].iter().any(|part| text.contains(part));
    is_pattern(text) && text.starts_with(['/', '*']) && !stray
}

/// The same for an address block: IPv4 addresses are compared as such.
pub fn is_block(text: &str) -> bool {
    let is_mapped = |cidr: Cidr| matches!(cidr.address, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    Cidr::parse(text).is_some_and(|cidr| !is_mapped(cidr))
}

/// The same for a port as text.
pub fn is_port(text: &str) -> bool {
    text.parse().is_ok_and(|port: u16| port > 0 && port.to_string() == text)
}

/// The same for a value of a `when` condition on this key.
pub fn is_value_of(key: &str, value: &str) -> bool {
    match key {
        "source.ip" | "remote.ip" => is_block(value),
        "source.namespace" => is_namespace(value),
        "source.principal" => is_principal(value),
        "destination.port" => is_port(value),
        _ => is_pattern(value),
    }
}

/// `NAME` of `request.headers[NAME]`.
pub fn header_of(key: &str) -> Option<&str> {
    let name = key.strip_prefix("request.headers[")?.strip_suffix(']')?;
    crate::check::is_token(name).then_some(name)
}
