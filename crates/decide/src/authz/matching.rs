//! Whether one rule matches. Every leaf that cannot be answered returns the leaning of its policy's action;
//! since nothing above a leaf negates, that leaning is the rule's.

use super::{Facts, RemoteIp};
use crate::{RequestView, forwarded, host, path};
use model::Policy;
use model::authz::{Cidr, Condition, ConditionKey, Glob, Operation, Rule, Source};
use std::cell::OnceCell;
use std::net::IpAddr;
use std::sync::Arc;

/// What an unanswerable question counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaning {
    /// In DENY rules.
    Match,
    /// In ALLOW rules.
    NoMatch,
}

impl Leaning {
    fn unknown(self) -> bool {
        self == Self::Match
    }
}

/// The facts, with what is derived from them made at most once.
pub(super) struct Subject<'a> {
    facts: Facts<'a>,
    principal: OnceCell<String>,
    remote_ip: OnceCell<Option<IpAddr>>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(facts: &Facts<'a>) -> Self {
        Self { facts: *facts, principal: OnceCell::new(), remote_ip: OnceCell::new() }
    }

    /// Index of the first rule of `policy` that matches.
    pub(super) fn matched_rule(&self, policy: &Policy, leaning: Leaning) -> Option<usize> {
        policy.rules.iter().position(|rule| self.rule(rule, leaning))
    }

    fn rule(&self, rule: &Rule, leaning: Leaning) -> bool {
        (rule.from.is_empty() || rule.from.iter().any(|source| self.source(source, leaning)))
            && (rule.to.is_empty() || rule.to.iter().any(|operation| self.operation(operation, leaning)))
            && rule.when.iter().all(|condition| self.condition(condition, leaning))
    }

    fn source(&self, source: &Source, leaning: Leaning) -> bool {
        let principal = |globs: &[Glob]| self.principal().is_some_and(|p| any_glob(globs, p));
        let namespace = |globs: &[Glob]| self.facts.peer.is_some_and(|p| any_glob(globs, &p.namespace));
        let account = |accounts: &[Arc<str>]| accounts.iter().any(|account| self.is_account(account));
        let within =
            |ip: IpAddr, blocks: &[Cidr]| blocks.iter().any(|block| block.contains(ip.to_canonical()));
        let ip = |blocks: &[Cidr]| self.facts.peer_ip.map(|ip| within(ip, blocks));
        let remote_ip = |blocks: &[Cidr]| self.remote_ip().map(|ip| within(ip, blocks));
        demand(&source.principals, principal)
            && demand_not(&source.not_principals, principal)
            && demand(&source.namespaces, namespace)
            && demand_not(&source.not_namespaces, namespace)
            && demand(&source.service_accounts, account)
            && demand_not(&source.not_service_accounts, account)
            && demand(&source.ip_blocks, |blocks| ip(blocks).unwrap_or(leaning.unknown()))
            && demand_not(&source.not_ip_blocks, |blocks| ip(blocks).unwrap_or(!leaning.unknown()))
            && demand(&source.remote_ip_blocks, |blocks| remote_ip(blocks).unwrap_or(leaning.unknown()))
            && demand_not(&source.not_remote_ip_blocks, |blocks| {
                remote_ip(blocks).unwrap_or(!leaning.unknown())
            })
    }

    fn operation(&self, operation: &Operation, leaning: Leaning) -> bool {
        let port = |ports: &[u16]| ports.contains(&self.facts.port);
        if !demand(&operation.ports, port) || !demand_not(&operation.not_ports, port) {
            return false;
        }
        if !operation.needs_http() {
            return true;
        }
        let Some(http) = self.facts.http else { return leaning.unknown() };
        let method = |globs: &[Glob]| any_glob(globs, http.method);
        // A path template is refused by `translate`; one that slips in is not taken for literal text.
        let has_template = |globs: &[Glob]| globs.iter().any(is_template);
        if has_template(&operation.paths) || has_template(&operation.not_paths) {
            return leaning.unknown();
        }
        demand(&operation.hosts, |globs| any_host(globs, http.host))
            && demand_not(&operation.not_hosts, |globs| any_host(globs, http.host))
            && demand(&operation.methods, method)
            && demand_not(&operation.not_methods, method)
            && demand(&operation.paths, |globs| any_path(globs, http.path))
            && demand_not(&operation.not_paths, |globs| any_path(globs, http.path))
    }

    fn condition(&self, condition: &Condition, leaning: Leaning) -> bool {
        let text = |value: Option<&str>| {
            let matches = |globs: &[Glob]| value.is_some_and(|value| any_glob(globs, value));
            demand(&condition.values, matches) && demand_not(&condition.not_values, matches)
        };
        match &condition.key {
            ConditionKey::Invalid => leaning.unknown(),
            ConditionKey::SourcePrincipal => text(self.principal()),
            ConditionKey::SourceNamespace => text(self.facts.peer.map(|peer| &*peer.namespace)),
            ConditionKey::DestinationPort => text(Some(&self.facts.port.to_string())),
            ConditionKey::SourceIp => fits(self.facts.peer_ip, condition).unwrap_or(leaning.unknown()),
            ConditionKey::RemoteIp => fits(self.remote_ip(), condition).unwrap_or(leaning.unknown()),
            ConditionKey::Header(name) => match self.facts.http {
                Some(http) => header(http, name, condition, leaning),
                None => leaning.unknown(),
            },
        }
    }

    /// The original caller's address; `None`: unknown.
    fn remote_ip(&self) -> Option<IpAddr> {
        *self.remote_ip.get_or_init(|| match (self.facts.remote_ip, self.facts.http) {
            (RemoteIp::Client(ip), _) => Some(ip),
            (RemoteIp::Told(settings), Some(http)) => {
                forwarded::original(settings, self.facts.peer_ip, http.headers)
            }
            (RemoteIp::Peer | RemoteIp::Told(_), _) => self.facts.peer_ip,
        })
    }

    fn principal(&self) -> Option<&str> {
        let peer = self.facts.peer?;
        Some(self.principal.get_or_init(|| peer.principal()))
    }

    fn is_account(&self, account: &str) -> bool {
        let parts = account.split_once('/');
        self.facts.peer.is_some_and(|peer| parts == Some((&peer.namespace, &peer.service_account)))
    }
}

/// Whether an address is as demanded; `None`: it is unknown or a value is no address.
fn fits(ip: Option<IpAddr>, condition: &Condition) -> Option<bool> {
    let ip = ip?.to_canonical();
    let matches = |globs: &[Glob]| {
        let mut any = false;
        for glob in globs {
            any |= match glob {
                Glob::Present => true,
                Glob::Exact(block) => Cidr::parse(block)?.contains(ip),
                Glob::Prefix(_) | Glob::Suffix(_) => return None,
            };
        }
        Some(any)
    };
    let (wanted, unwanted) = (matches(&condition.values)?, matches(&condition.not_values)?);
    Some((condition.values.is_empty() || wanted) && !unwanted)
}

/// An empty list demands nothing.
fn demand<T>(wanted: &[T], matches: impl FnOnce(&[T]) -> bool) -> bool {
    wanted.is_empty() || matches(wanted)
}

fn demand_not<T>(unwanted: &[T], matches: impl FnOnce(&[T]) -> bool) -> bool {
    unwanted.is_empty() || !matches(unwanted)
}

fn glob(glob: &Glob, value: &str) -> bool {
    match glob {
        Glob::Exact(text) => value == &**text,
        Glob::Prefix(text) => value.starts_with(&**text),
        Glob::Suffix(text) => value.ends_with(&**text),
        Glob::Present => !value.is_empty(),
    }
}

fn any_glob(globs: &[Glob], value: &str) -> bool {
    globs.iter().any(|each| glob(each, value))
}

/// Globs of paths are spelled as canonical paths are.
fn any_path(globs: &[Glob], value: &str) -> bool {
    globs.iter().any(|each| match each {
        Glob::Exact(text) => value == path::pattern(text),
        Glob::Prefix(text) => value.starts_with(&*path::pattern(text)),
        Glob::Suffix(text) => value.ends_with(&*path::pattern(text)),
        Glob::Present => !value.is_empty(),
    })
}

fn is_template(glob: &Glob) -> bool {
    match glob {
        Glob::Exact(text) | Glob::Prefix(text) | Glob::Suffix(text) => {
            text.contains("{*}") || text.contains("{**}")
        }
        Glob::Present => false,
    }
}

/// Hosts are compared without case and trailing dot, both with and without the request's port.
fn any_host(globs: &[Glob], authority: &str) -> bool {
    let (bare, full) = (host::canonical(authority), host::with_port(authority));
    globs.iter().any(|each| host_glob(each, &bare) || host_glob(each, &full))
}

fn host_glob(glob: &Glob, host: &str) -> bool {
    let undotted = |text: &'_ Arc<str>| text.strip_suffix('.').map_or(text.len(), str::len);
    match glob {
        Glob::Exact(text) => host.eq_ignore_ascii_case(&text[..undotted(text)]),
        Glob::Prefix(text) => host.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text)),
        Glob::Suffix(text) => {
            let text = &text[..undotted(text)];
            let at = host.len().checked_sub(text.len());
            at.and_then(|at| host.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(text))
        }
        Glob::Present => !host.is_empty(),
    }
}

/// What the field lines of one header say about a list of globs.
#[derive(Default)]
struct Seen {
    /// There was a line.
    present: bool,
    /// Some line, or some member of one, or all lines joined, matches.
    any: bool,
    /// Some line has a member that matches nothing.
    stranger: bool,
}

/// Looks at every line and every member of its list. In doubt a header has the value in a
/// DENY rule and has not in an ALLOW rule: there, all of it must match. A value that is no text cannot be
/// judged.
fn header(http: &RequestView<'_>, name: &str, condition: &Condition, leaning: Leaning) -> bool {
    let Some(wanted) = look(http, name, &condition.values) else { return leaning.unknown() };
    let Some(unwanted) = look(http, name, &condition.not_values) else { return leaning.unknown() };
    let all = |seen: &Seen| seen.present && !seen.stranger;
    let (has_wanted, has_unwanted) = match leaning {
        Leaning::Match => (wanted.any, all(&unwanted)),
        Leaning::NoMatch => (all(&wanted), unwanted.any),
    };
    (condition.values.is_empty() || has_wanted) && (condition.not_values.is_empty() || !has_unwanted)
}

/// `None`: some value is not text.
fn look(http: &RequestView<'_>, name: &str, globs: &[Glob]) -> Option<Seen> {
    let mut seen = Seen::default();
    let mut joined = String::new();
    let mut is_text = true;
    // An empty line is there and has no value: in doubt it counts as what closes.
    let asks_presence = globs.contains(&Glob::Present);
    http.headers.visit(name, &mut |line| {
        let Ok(line) = std::str::from_utf8(line) else {
            is_text = false;
            return;
        };
        let whole = any_glob(globs, line);
        let mut members = line.split(',').map(|member| any_glob(globs, member.trim_matches([' ', '\t'])));
        seen.any |= whole || asks_presence || members.clone().any(|matched| matched);
        seen.stranger |= !whole && !members.all(|matched| matched);
        if seen.present {
            joined.push(',');
        }
        joined.push_str(line);
        seen.present = true;
    });
    seen.any |= seen.present && any_glob(globs, &joined);
    is_text.then_some(seen)
}
