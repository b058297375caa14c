//! Why a request goes where it goes: the same functions as in the proxy, their answers put together.

#[cfg(test)]
mod tests;

use crate::authz::{self, Decision, Denial, Facts, Rehearsal};
use crate::route::Table;
use crate::{RequestView, path};
use model::route::{RouteFilter, RouteRule};
use model::{Hostname, Origin, Policy, Reason};
use std::sync::Arc;

/// What would become of a request. Plain data, for the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The path that everything was decided on; `None`: it was refused.
    pub path: Option<String>,
    /// The rule that matched, as object and line, and its index in the route.
    pub rule: Option<(Origin, u32)>,
    /// Where the request goes, with shares that add up to 1. Empty when it goes nowhere.
    pub backends: Vec<Share>,
    /// What authorization says.
    pub authorization: Verdict,
    /// Policies that matched without being enforced.
    pub recorded: Vec<Origin>,
    /// How it ends before any backend is asked; `None`: it is forwarded (or redirected).
    pub refusal: Option<Reason>,
}

/// A backend and its part of the traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// `None`: a reference that could not be resolved; answered with 500.
    pub host: Option<Hostname>,
    /// Service port.
    pub port: u16,
    /// From 0 to 1.
    pub share: f64,
}

/// What authorization says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Allowed.
    Allowed,
    /// Denied by a rule of this policy.
    DeniedBy(Origin, usize),
    /// There are ALLOW policies, and none of them matches: these, or the first of them.
    NotAllowed(Vec<Origin>),
}

/// Explains `request`, whose path is as sent, to service or listener port `port`; `called` is the service, or
/// `None` at a gateway. `policies` and `facts` are those of the workload that receives it; `facts.http` is
/// replaced by `request`.
pub fn explain(
    table: &Table,
    called: Option<&Hostname>,
    port: u16,
    request: &RequestView<'_>,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
) -> Explanation {
    let canonical = match path::canonical(request.path) {
        Ok(canonical) => canonical,
        Err(reason) => return refused(reason),
    };
    let request = RequestView { path: &canonical, ..*request };
    let facts = Facts { http: Some(&request), ..*facts };
    let matched = table.find(port, &request).map(|matched| matched.rule);
    // A service without any rule is its own backend, as in the proxy.
    let itself = called.filter(|_| matched.is_none() && !table.has_rules(port));
    let backends = match (matched, itself) {
        (Some(rule), _) => shares(rule),
        (None, Some(host)) => vec![Share { host: Some(host.clone()), port, share: 1.0 }],
        (None, None) => Vec::new(),
    };
    let redirects =
        |rule: &&Arc<RouteRule>| rule.filters.iter().any(|f| matches!(f, RouteFilter::Redirect(_)));
    let authorization = match authz::authorize(policies, &facts) {
        Decision::Allow => Verdict::Allowed,
        Decision::Deny(Denial::Matched { policy, rule }) => Verdict::DeniedBy(policy.origin.clone(), rule),
        Decision::Deny(Denial::NoneMatched { allow }) => {
            Verdict::NotAllowed(allow.iter().map(|policy| policy.origin.clone()).collect())
        }
    };
    let refusal = match (&authorization, matched) {
        (_, None) if backends.is_empty() => Some(Reason::NoRoute),
        (Verdict::DeniedBy(..) | Verdict::NotAllowed(_), _) => Some(Reason::Denied),
        (_, Some(rule)) if backends.is_empty() && !redirects(&rule) => Some(Reason::NoBackend),
        _ => None,
    };
    Explanation {
        rule: matched.map(|rule| (rule.origin.clone(), rule.index)),
        backends,
        authorization,
        recorded: authz::rehearse(policies, &facts).map(|rehearsal| origins(&rehearsal)).unwrap_or_default(),
        refusal,
        path: Some(canonical.into_owned()),
    }
}

fn origins(rehearsal: &Rehearsal) -> Vec<Origin> {
    rehearsal.matched.iter().map(|(policy, _)| policy.origin.clone()).collect()
}

fn shares(rule: &RouteRule) -> Vec<Share> {
    let total: u64 = rule.backends.iter().map(|b| u64::from(b.weight)).sum();
    let weighted = rule.backends.iter().filter(|backend| backend.weight > 0);
    let share = |weight: u32| f64::from(weight) / total as f64;
    weighted.map(|b| Share { host: b.host.clone(), port: b.port, share: share(b.weight) }).collect()
}

fn refused(reason: Reason) -> Explanation {
    Explanation {
        path: None,
        rule: None,
        backends: Vec::new(),
        authorization: Verdict::NotAllowed(Vec::new()),
        recorded: Vec::new(),
        refusal: Some(reason),
    }
}
