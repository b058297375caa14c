//! Policies that cannot mean what they say: where they apply, some condition can never be answered, so a DENY
//! policy denies more or nothing, and an ALLOW policy lets nobody in. All is told as a warning: the same policy
//! may come first and what makes sense of it later.

use super::rules::{Opaque, asks_identity, asks_port, is_invalid, looks_at_http, of_opaque};
use super::survey::{Area, PolicyPlace, Survey, Terrain};
use crate::units::authorization_policy::{CompiledPolicy, is_targeted};
use api::Object;
use api::kinds::authorization_policy::{AuthorizationPolicySpec, PolicyAction, PolicyRule};
use model::authz::{Action, ConditionKey, Glob, Policy, Rule};
use model::{Code, Finding};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Ports or places that one finding names; more are counted.
const NAMED_MAX: usize = 5;

/// What a policy says in vain, or not as it looks, at the places where it applies.
pub(super) fn find(
    entry: &CompiledPolicy,
    spec: &AuthorizationPolicySpec,
    area: &Area<'_>,
    survey: &Survey<'_>,
) -> Vec<Finding> {
    // CUSTOM denies all that it matches until it is supported, which has a finding of its own.
    if spec.action == Some(PolicyAction::Custom) {
        return Vec::new();
    }
    let (object, policy) = (&*entry.object, &entry.policy);
    if !policy.rules.iter().any(|rule| asks_port(rule) || looks_at_http(rule) || asks_identity(rule)) {
        return Vec::new();
    }
    let terrain = survey.terrain(area);
    let mut findings = unknown_ports(object, spec, policy, terrain);
    match policy.action {
        Action::Deny => {
            findings.extend(closed_by_deny(object, spec, policy, terrain));
            findings.extend(denies_no_stranger(object, spec, policy, &terrain.places));
        }
        Action::Allow => findings.extend(closed_by_allow(object, spec, policy, area, survey)),
        Action::Audit => {}
    }
    findings
}

/// A few of these, and how many more there are.
fn some<T>(these: &[T], name: impl FnMut(&T) -> String) -> String {
    let more = these.len().saturating_sub(NAMED_MAX);
    let named = these.iter().take(NAMED_MAX).map(name).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// A port and where it is.
fn port_of((place, port): &(Rc<PolicyPlace>, u16)) -> String {
    format!("port {port} of {}", place.object)
}

/// As `ports` of an operation are written.
fn quoted<'a>(ports: impl IntoIterator<Item = &'a u16>) -> Vec<String> {
    ports.into_iter().map(|port| format!("'{port}'")).collect()
}

/// The numbers of opaque ports of which this is said.
fn opaque_where(terrain: &Terrain, mut is_so: impl FnMut(u16) -> bool) -> BTreeSet<u16> {
    let numbers: BTreeSet<u16> = terrain.opaque.iter().map(|(_, port)| *port).collect();
    numbers.into_iter().filter(|port| is_so(*port)).collect()
}

/// HTTP conditions without `ports` in DENY rules: what cannot be read counts as matched, so opaque ports are shut.
fn closed_by_deny(
    object: &Object,
    spec: &AuthorizationPolicySpec,
    policy: &Policy,
    terrain: &Terrain,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (rule, written) in policy.rules.iter().zip(&spec.rules) {
        let ports = opaque_where(terrain, |port| of_opaque(rule, port) == Opaque::Unanswered);
        if ports.is_empty() {
            continue;
        }
        let closed: Vec<_> = terrain.opaque.iter().filter(|(_, port)| ports.contains(port)).collect();
        let callers = if rule.from.is_empty() { "everybody" } else { "all callers that `from` names" };
        let cause = format!(
            "its HTTP conditions have no `ports`, and what is not HTTP counts as matched: {} is TCP, and closed to {callers}",
            some(&closed, |closed| port_of(closed))
        );
        let opaque = opaque_where(terrain, |_| true);
        let readable = quoted(terrain.ports.difference(&opaque));
        let ports = readable.join(", ");
        let fix = if readable.is_empty() {
            let ports = quoted(&opaque).join(", ");
            format!(
                "none of these ports is read as HTTP: if they are to be closed, write `ports: [{ports}]` in the place of the HTTP conditions"
            )
        } else if rule.to.is_empty() {
            format!("add `to: [{{operation: {{ports: [{ports}]}}}}]` to the rule")
        } else {
            format!("add `ports: [{ports}]` to each operation of the rule that has none")
        };
        findings.push(Finding::new(Code::TcpClosed, &object.at(http_line(rule, written)), cause, fix));
    }
    findings
}

/// The line of the first HTTP condition.
fn http_line(rule: &Rule, written: &PolicyRule) -> u32 {
    let operations = rule.to.iter().zip(&written.to);
    let mut lines = operations.filter(|(to, _)| to.needs_http()).map(|(_, to)| to.operation.line);
    lines.next().unwrap_or(written.line)
}

/// ALLOW policies none of which can be answered for an opaque port, or for callers without an identity: nobody
/// comes in there.
fn closed_by_allow(
    object: &Object,
    spec: &AuthorizationPolicySpec,
    policy: &Policy,
    area: &Area<'_>,
    survey: &Survey<'_>,
) -> Vec<Finding> {
    if policy.dry_run || policy.rules.is_empty() {
        return Vec::new();
    }
    let is_asked = |port| policy.rules.iter().any(|rule| of_opaque(rule, port) == Opaque::Unanswered);
    let asked = opaque_where(survey.terrain(area), is_asked);
    let asks_who = policy.rules.iter().any(asks_identity);
    if asked.is_empty() && !asks_who {
        return Vec::new();
    }
    let closed = survey.closed(area);
    let opaque: Vec<_> = closed.opaque.iter().filter(|(_, port)| asked.contains(port)).collect();
    let strangers = if asks_who { &closed.edges[..] } else { &[] };
    let mut findings = Vec::new();
    if !opaque.is_empty() {
        let ports: BTreeSet<u16> = opaque.iter().map(|(_, port)| *port).collect();
        let cause = format!(
            "it allows by HTTP conditions, which nothing but HTTP can meet, and no other ALLOW policy lets anybody in: {} is TCP, and closed",
            some(&opaque, |closed| port_of(closed))
        );
        let ports = quoted(&ports).join(", ");
        let fix = format!(
            "add a rule `- to: [{{operation: {{ports: [{ports}]}}}}]`, with a `from` if not everybody may"
        );
        findings.push(Finding::new(Code::TcpClosed, &object.at(spec.line), cause, fix));
    }
    if let Some(first) = strangers.first() {
        let cause = format!(
            "it allows by identity, which callers of a gateway from outside do not have, and no other ALLOW policy lets them in: {} is closed",
            some(strangers, |place| place.object.to_string())
        );
        let fix = if is_targeted(spec) {
            "allow by `ipBlocks`, `hosts` or `paths`".to_owned()
        } else {
            format!(
                "give it a `selector` of the workloads that are meant, or write an ALLOW policy with `targetRefs` for {}",
                first.object
            )
        };
        findings.push(Finding::new(Code::NoIdentity, &object.at(spec.line), cause, fix));
    }
    findings
}

/// DENY rules by identity that are meant for a gateway alone: nobody there has one.
fn denies_no_stranger(
    object: &Object,
    spec: &AuthorizationPolicySpec,
    policy: &Policy,
    places: &[Rc<PolicyPlace>],
) -> Vec<Finding> {
    if places.is_empty() || !places.iter().all(|place| place.is_anonymous) {
        return Vec::new();
    }
    let in_vain =
        policy.rules.iter().zip(&spec.rules).filter(|(rule, _)| asks_identity(rule) && !is_invalid(rule));
    let finding = |(_, written): (&Rule, &PolicyRule)| {
        let cause = "it denies by identity, which callers of a gateway from outside do not have, so the rule \
                     denies nobody";
        let fix = "deny by `ipBlocks`, or let the policy select the workloads behind the gateway";
        Finding::new(Code::NoIdentity, &object.at(written.line), cause, fix)
    };
    in_vain.map(finding).collect()
}

/// Ports that nothing has where the policy applies. A policy means the port of the workload, which is not always
/// the one that callers use.
fn unknown_ports(
    object: &Object,
    spec: &AuthorizationPolicySpec,
    policy: &Policy,
    terrain: &Terrain,
) -> Vec<Finding> {
    // Where nothing has a port yet, nothing can be wrong with one.
    if terrain.ports.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (rule, written) in policy.rules.iter().zip(&spec.rules) {
        let of_operations = rule.to.iter().zip(&written.to).flat_map(|(to, written)| {
            let line = written.operation.line;
            [("ports", to.ports.clone(), line), ("notPorts", to.not_ports.clone(), line)]
        });
        let of_conditions = rule.when.iter().zip(&written.when).flat_map(|(when, written)| {
            let is_port = when.key == ConditionKey::DestinationPort;
            let numbers = move |globs: &[Glob]| match is_port {
                true => globs.iter().filter_map(number).collect(),
                false => Vec::new(),
            };
            [
                ("values", numbers(&when.values), written.line),
                ("notValues", numbers(&when.not_values), written.line),
            ]
        });
        for (field, ports, line) in of_operations.chain(of_conditions) {
            for port in ports.iter().filter(|port| !terrain.ports.contains(port)) {
                let effect = match (field.starts_with("not"), policy.action) {
                    (true, _) => "excepts nothing",
                    (false, Action::Deny) => "denies nothing",
                    (false, Action::Allow) => "allows nothing",
                    (false, Action::Audit) => "records nothing",
                };
                let cause = format!(
                    "`{field}` has {port}, which no workload or gateway that the policy concerns has, so it {effect}"
                );
                findings.push(Finding::new(Code::NoSuchPort, &object.at(line), cause, meant(*port, terrain)));
            }
        }
    }
    findings
}

fn number(glob: &Glob) -> Option<u16> {
    match glob {
        Glob::Exact(text) => text.parse().ok(),
        _ => None,
    }
}

fn meant(port: u16, terrain: &Terrain) -> String {
    let mut aliases = terrain.places.iter().flat_map(|place| &place.aliases);
    if let Some((_, target, host)) = aliases.find(|(of, ..)| *of == port) {
        return format!(
            "write {target}: a policy means the workload's own port, where port {port} of {host} leads"
        );
    }
    let all: Vec<u16> = terrain.ports.iter().copied().collect();
    format!("write one of {}", some(&all, u16::to_string))
}
