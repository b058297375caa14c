//! Authorization policies: Istio's `AuthorizationPolicy`, parsed and checked.

use crate::origin::Origin;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// What a policy does with a request that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// If any ALLOW policy applies to a workload, what none of them matches is denied.
    Allow,
    /// Wins over ALLOW.
    Deny,
    /// Recorded only.
    Audit,
}

/// One policy. Semantics: istio/api `security/v1beta1/authorization_policy.proto`. Who it applies to was
/// decided by `translate`: it is sent only to those.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The object; its `namespace/name` is what access log and 403 name.
    pub origin: Origin,
    /// What to do.
    pub action: Action,
    /// Any may match; empty matches nothing (so an empty ALLOW policy denies all).
    pub rules: Vec<Rule>,
    /// Evaluate and record, do not enforce (`istio.io/dry-run`).
    pub dry_run: bool,
}

/// All parts must match; an empty part matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Any of these.
    pub from: Vec<Source>,
    /// Any of these.
    pub to: Vec<Operation>,
    /// All of these.
    pub when: Vec<Condition>,
}

/// All non-empty fields must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// `principals`.
    pub principals: Vec<Glob>,
    /// `notPrincipals`.
    pub not_principals: Vec<Glob>,
    /// `namespaces`.
    pub namespaces: Vec<Glob>,
    /// `notNamespaces`.
    pub not_namespaces: Vec<Glob>,
    /// `serviceAccounts`, each `namespace/name`.
    pub service_accounts: Vec<Arc<str>>,
    /// `notServiceAccounts`.
    pub not_service_accounts: Vec<Arc<str>>,
    /// `ipBlocks`.
    pub ip_blocks: Vec<Cidr>,
    /// `notIpBlocks`.
    pub not_ip_blocks: Vec<Cidr>,
    /// `remoteIpBlocks`: the original caller's address.
    pub remote_ip_blocks: Vec<Cidr>,
    /// `notRemoteIpBlocks`.
    pub not_remote_ip_blocks: Vec<Cidr>,
}

impl Source {
    /// Whether it has conditions on the original caller's address.
    pub fn asks_remote_ip(&self) -> bool {
        !(self.remote_ip_blocks.is_empty() && self.not_remote_ip_blocks.is_empty())
    }
}

/// All non-empty fields must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// `hosts`, compared without case.
    pub hosts: Vec<Glob>,
    /// `notHosts`.
    pub not_hosts: Vec<Glob>,
    /// `ports`: the application's port.
    pub ports: Vec<u16>,
    /// `notPorts`.
    pub not_ports: Vec<u16>,
    /// `methods`.
    pub methods: Vec<Glob>,
    /// `notMethods`.
    pub not_methods: Vec<Glob>,
    /// `paths`, on each reading of the path (`decide::path`).
    pub paths: Vec<Glob>,
    /// `notPaths`.
    pub not_paths: Vec<Glob>,
}

impl Operation {
    /// Whether it has conditions that only an HTTP request can answer.
    pub fn needs_http(&self) -> bool {
        !(self.hosts.is_empty()
            && self.not_hosts.is_empty()
            && self.methods.is_empty()
            && self.not_methods.is_empty()
            && self.paths.is_empty()
            && self.not_paths.is_empty())
    }
}

/// `when`: a key and values that it must or must not have.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is looked at.
    pub key: ConditionKey,
    /// Any must match; empty: no demand.
    pub values: Vec<Glob>,
    /// None may match.
    pub not_values: Vec<Glob>,
}

/// The keys supported so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConditionKey {
    /// `request.headers[NAME]`, lower case.
    Header(Arc<str>),
    /// `source.ip`.
    SourceIp,
    /// `remote.ip`.
    RemoteIp,
    /// `source.namespace`.
    SourceNamespace,
    /// `source.principal`.
    SourcePrincipal,
    /// `destination.port`.
    DestinationPort,
    /// What could not be parsed: matches nothing in an allow rule and everything in a deny rule.
    Invalid,
}

/// Istio's string match: exact, `prefix*`, `*suffix`, or `*` (present).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Glob {
    /// Equal.
    Exact(Arc<str>),
    /// Starts with.
    Prefix(Arc<str>),
    /// Ends with.
    Suffix(Arc<str>),
    /// There is a non-empty value.
    Present,
}

impl Glob {
    /// Reads Istio's spelling.
    pub fn parse(text: &str) -> Self {
        match text {
            "*" => Self::Present,
            _ => match (text.strip_suffix('*'), text.strip_prefix('*')) {
                (Some(prefix), _) => Self::Prefix(prefix.into()),
                (None, Some(suffix)) => Self::Suffix(suffix.into()),
                (None, None) => Self::Exact(text.into()),
            },
        }
    }
}

/// An address block; as text `a.b.c.d/n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// First address.
    pub address: IpAddr,
    /// Length in bits, at most 32 or 128.
    pub prefix: u8,
}

impl Cidr {
    /// Reads `a.b.c.d/n` or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let bits = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// Whether `ip` lies in it; families never mix.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(net) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(net) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

impl From<Cidr> for String {
    fn from(Cidr { address, prefix }: Cidr) -> Self {
        format!("{address}/{prefix}")
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("no address block: {text:?}"))
    }
}
