//! Authorization policies. What is not understood refuses the whole policy.

use super::{DecodeError, arcs, bad, ip_in, ip_out, list, needed, origin_in, origin_out, small, strings};
use crate::proto::leno::mesh::v1 as p;
use model::authz::{Action, Cidr, Condition, ConditionKey, Glob, Operation, Policy, Rule, Source};
use std::net::IpAddr;

pub(crate) fn policy_out(policy: &Policy) -> p::Policy {
    let action = match policy.action {
        Action::Allow => p::Action::Allow,
        Action::Deny => p::Action::Deny,
        Action::Audit => p::Action::Audit,
    };
    p::Policy {
        origin: Some(origin_out(&policy.origin)),
        action: action.into(),
        rules: policy.rules.iter().map(rule_out).collect(),
        dry_run: policy.dry_run,
    }
}

pub(crate) fn policy_in(policy: p::Policy) -> Result<Policy, DecodeError> {
    let action = match p::Action::try_from(policy.action) {
        Ok(p::Action::Allow) => Action::Allow,
        Ok(p::Action::Deny) => Action::Deny,
        Ok(p::Action::Audit) => Action::Audit,
        Ok(p::Action::Unspecified) | Err(_) => {
            return Err(bad("action", format!("unknown value {}", policy.action)));
        }
    };
    Ok(Policy {
        origin: origin_in(&policy.origin)?,
        action,
        rules: list("rules", &policy.rules, rule_in)?,
        dry_run: policy.dry_run,
    })
}

fn rule_out(rule: &Rule) -> p::Rule {
    p::Rule {
        from: rule.from.iter().map(source_out).collect(),
        to: rule.to.iter().map(operation_out).collect(),
        when: rule.when.iter().map(condition_out).chain(marker_out(rule)).collect(),
    }
}

fn rule_in(rule: &p::Rule) -> Result<Rule, DecodeError> {
    Ok(Rule {
        from: list("from", &rule.from, source_in)?,
        to: list("to", &rule.to, operation_in)?,
        when: list("when", &rule.when, condition_in)?.into_iter().flatten().collect(),
    })
}

/// What makes a proxy that does not know remote blocks refuse a rule with them.
fn marker_out(rule: &Rule) -> Option<p::Condition> {
    let kind = p::ConditionKind::RemoteIpBlocks.into();
    rule.from.iter().any(Source::asks_remote_ip).then(|| p::Condition { kind, ..p::Condition::default() })
}

fn source_out(source: &Source) -> p::Source {
    p::Source {
        principals: globs_out(&source.principals),
        not_principals: globs_out(&source.not_principals),
        namespaces: globs_out(&source.namespaces),
        not_namespaces: globs_out(&source.not_namespaces),
        service_accounts: strings(&source.service_accounts),
        not_service_accounts: strings(&source.not_service_accounts),
        ip_blocks: source.ip_blocks.iter().map(cidr_out).collect(),
        not_ip_blocks: source.not_ip_blocks.iter().map(cidr_out).collect(),
        remote_ip_blocks: source.remote_ip_blocks.iter().map(cidr_out).collect(),
        not_remote_ip_blocks: source.not_remote_ip_blocks.iter().map(cidr_out).collect(),
    }
}

fn source_in(source: &p::Source) -> Result<Source, DecodeError> {
    Ok(Source {
        principals: globs_in("principals", &source.principals)?,
        not_principals: globs_in("not_principals", &source.not_principals)?,
        namespaces: globs_in("namespaces", &source.namespaces)?,
        not_namespaces: globs_in("not_namespaces", &source.not_namespaces)?,
        service_accounts: arcs(source.service_accounts.clone()),
        not_service_accounts: arcs(source.not_service_accounts.clone()),
        ip_blocks: list("ip_blocks", &source.ip_blocks, cidr_in)?,
        not_ip_blocks: list("not_ip_blocks", &source.not_ip_blocks, cidr_in)?,
        remote_ip_blocks: list("remote_ip_blocks", &source.remote_ip_blocks, cidr_in)?,
        not_remote_ip_blocks: list("not_remote_ip_blocks", &source.not_remote_ip_blocks, cidr_in)?,
    })
}

fn operation_out(operation: &Operation) -> p::Operation {
    let ports = |ports: &[u16]| ports.iter().map(|port| u32::from(*port)).collect();
    p::Operation {
        hosts: globs_out(&operation.hosts),
        not_hosts: globs_out(&operation.not_hosts),
        ports: ports(&operation.ports),
        not_ports: ports(&operation.not_ports),
        methods: globs_out(&operation.methods),
        not_methods: globs_out(&operation.not_methods),
        paths: globs_out(&operation.paths),
        not_paths: globs_out(&operation.not_paths),
    }
}

fn operation_in(operation: &p::Operation) -> Result<Operation, DecodeError> {
    Ok(Operation {
        hosts: globs_in("hosts", &operation.hosts)?,
        not_hosts: globs_in("not_hosts", &operation.not_hosts)?,
        ports: list("ports", &operation.ports, |port| small("", *port))?,
        not_ports: list("not_ports", &operation.not_ports, |port| small("", *port))?,
        methods: globs_in("methods", &operation.methods)?,
        not_methods: globs_in("not_methods", &operation.not_methods)?,
        paths: globs_in("paths", &operation.paths)?,
        not_paths: globs_in("not_paths", &operation.not_paths)?,
    })
}

fn condition_out(condition: &Condition) -> p::Condition {
    let (kind, header) = match &condition.key {
        ConditionKey::Header(name) => (p::ConditionKind::Header, name.to_string()),
        ConditionKey::SourceIp => (p::ConditionKind::SourceIp, String::new()),
        ConditionKey::RemoteIp => (p::ConditionKind::RemoteIp, String::new()),
        ConditionKey::SourceNamespace => (p::ConditionKind::SourceNamespace, String::new()),
        ConditionKey::SourcePrincipal => (p::ConditionKind::SourcePrincipal, String::new()),
        ConditionKey::DestinationPort => (p::ConditionKind::DestinationPort, String::new()),
        ConditionKey::Invalid => (p::ConditionKind::Invalid, String::new()),
    };
    p::Condition {
        kind: kind.into(),
        header,
        values: globs_out(&condition.values),
        not_values: globs_out(&condition.not_values),
    }
}

/// `None`: it demands nothing.
fn condition_in(condition: &p::Condition) -> Result<Option<Condition>, DecodeError> {
    let key = match p::ConditionKind::try_from(condition.kind) {
        Ok(p::ConditionKind::Header) => ConditionKey::Header(condition.header.as_str().into()),
        Ok(p::ConditionKind::SourceIp) => ConditionKey::SourceIp,
        Ok(p::ConditionKind::RemoteIp) => ConditionKey::RemoteIp,
        Ok(p::ConditionKind::RemoteIpBlocks) => return Ok(None),
        Ok(p::ConditionKind::SourceNamespace) => ConditionKey::SourceNamespace,
        Ok(p::ConditionKind::SourcePrincipal) => ConditionKey::SourcePrincipal,
        Ok(p::ConditionKind::DestinationPort) => ConditionKey::DestinationPort,
        Ok(p::ConditionKind::Invalid) => ConditionKey::Invalid,
        Ok(p::ConditionKind::Unspecified) | Err(_) => {
            return Err(bad("kind", format!("unknown value {}", condition.kind)));
        }
    };
    Ok(Some(Condition {
        key,
        values: globs_in("values", &condition.values)?,
        not_values: globs_in("not_values", &condition.not_values)?,
    }))
}

fn globs_out(globs: &[Glob]) -> Vec<p::Glob> {
    use p::glob::Match;
    let glob = |glob: &Glob| match glob {
        Glob::Exact(text) => Match::Exact(text.to_string()),
        Glob::Prefix(text) => Match::Prefix(text.to_string()),
        Glob::Suffix(text) => Match::Suffix(text.to_string()),
        Glob::Present => Match::Present(p::Present {}),
    };
    globs.iter().map(|one| p::Glob { r#match: Some(glob(one)) }).collect()
}

fn globs_in(field: &str, globs: &[p::Glob]) -> Result<Vec<Glob>, DecodeError> {
    use p::glob::Match;
    list(field, globs, |glob| {
        Ok(match needed("match", &glob.r#match)? {
            Match::Exact(text) => Glob::Exact(text.as_str().into()),
            Match::Prefix(text) => Glob::Prefix(text.as_str().into()),
            Match::Suffix(text) => Glob::Suffix(text.as_str().into()),
            Match::Present(_) => Glob::Present,
        })
    })
}

pub(super) fn cidr_out(cidr: &Cidr) -> p::Cidr {
    p::Cidr { address: ip_out(cidr.address), prefix: cidr.prefix.into() }
}

pub(super) fn cidr_in(cidr: &p::Cidr) -> Result<Cidr, DecodeError> {
    let address = ip_in("address", &cidr.address)?;
    let bits = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
    match small("prefix", cidr.prefix)? {
        prefix if prefix <= bits => Ok(Cidr { address, prefix }),
        prefix => Err(bad("prefix", format!("longer than the address: {prefix}"))),
    }
}
