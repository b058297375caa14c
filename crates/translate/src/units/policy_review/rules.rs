//! What one rule of a policy looks at, and what that makes of bytes that nobody can read.

use model::authz::{Condition, ConditionKey, Glob, Operation, Rule, Source};

/// Whether it is about some ports only.
pub(super) fn asks_port(rule: &Rule) -> bool {
    rule.to.iter().any(|to| !to.ports.is_empty() || !to.not_ports.is_empty())
        || rule.when.iter().any(|when| when.key == ConditionKey::DestinationPort)
}

pub(super) fn looks_at_http(rule: &Rule) -> bool {
    rule.to.iter().any(Operation::needs_http) || has_header(rule)
}

fn has_header(rule: &Rule) -> bool {
    rule.when.iter().any(|when| matches!(when.key, ConditionKey::Header(_)))
}

pub(super) fn is_invalid(rule: &Rule) -> bool {
    rule.when.iter().any(|when| when.key == ConditionKey::Invalid)
}

/// Whether one of these conditions asks who calls, which nobody from outside can answer.
pub(super) fn asks_identity(rule: &Rule) -> bool {
    !rule.from.is_empty() && rule.from.iter().all(source_asks_identity)
        || rule.when.iter().any(|when| {
            matches!(when.key, ConditionKey::SourcePrincipal | ConditionKey::SourceNamespace)
                && !when.values.is_empty()
        })
}

fn source_asks_identity(source: &Source) -> bool {
    !(source.principals.is_empty() && source.namespaces.is_empty() && source.service_accounts.is_empty())
}

/// Whether the conditions on `destination.port` admit a port.
fn when_admits(when: &[Condition], port: u16) -> bool {
    let text = port.to_string();
    let names = |globs: &[Glob]| {
        globs.iter().any(|glob| match glob {
            Glob::Exact(wanted) => **wanted == *text,
            Glob::Prefix(start) => text.starts_with(&**start),
            Glob::Suffix(end) => text.ends_with(&**end),
            Glob::Present => true,
        })
    };
    let of_port = when.iter().filter(|when| when.key == ConditionKey::DestinationPort);
    of_port
        .into_iter()
        .all(|when| (when.values.is_empty() || names(&when.values)) && !names(&when.not_values))
}

fn admits(operation: &Operation, port: u16) -> bool {
    (operation.ports.is_empty() || operation.ports.contains(&port)) && !operation.not_ports.contains(&port)
}

/// What a rule says of bytes that are no HTTP, or that nobody can read, at a port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opaque {
    /// It can be answered.
    Answered,
    /// An HTTP condition without `ports` cannot: it counts as matched in DENY and as not matched in ALLOW.
    Unanswered,
    /// It is about other ports, or names this one beside an HTTP condition, which is an error by itself.
    Elsewhere,
}

pub(super) fn of_opaque(rule: &Rule, port: u16) -> Opaque {
    if is_invalid(rule) || !when_admits(&rule.when, port) {
        return Opaque::Elsewhere;
    }
    let has_header = has_header(rule);
    if rule.to.is_empty() {
        return if has_header { Opaque::Unanswered } else { Opaque::Answered };
    }
    let here = || rule.to.iter().filter(|to| admits(to, port));
    match () {
        () if !has_header && here().any(|to| !to.needs_http()) => Opaque::Answered,
        () if here().any(|to| to.ports.is_empty() && (has_header || to.needs_http())) => Opaque::Unanswered,
        () => Opaque::Elsewhere,
    }
}
