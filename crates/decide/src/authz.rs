//! May it: Istio's AuthorizationPolicy.
//!
//! DENY is asked first, then ALLOW; AUDIT and dry-run policies are only reported by [`recorded`]. Whatever
//! cannot be known (an HTTP field of a TCP connection, a header that is no text, a condition that could not
//! be parsed) counts against the request: it matches in a DENY rule and does not in an ALLOW rule.
//! Read `matching` next.

mod matching;
#[cfg(test)]
mod tests;

use crate::RequestView;
use matching::{Leaning, Subject};
use model::{Action, Policy, SpiffeId};
use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a request or connection.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Who is there, from the handshake alone; `None`: nobody proved anything.
    pub peer: Option<&'a SpiffeId>,
    /// Address of the peer; `None`: unknown.
    pub peer_ip: Option<IpAddr>,
    /// The application's port.
    pub port: u16,
    /// `None`: a TCP connection.
    pub http: Option<&'a RequestView<'a>>,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Stop.
    Deny {
        /// The DENY policy that matched; `None`: there are ALLOW policies and none of them matched.
        policy: Option<Arc<Policy>>,
        /// Index of the rule that matched.
        rule: Option<usize>,
    },
}

/// Decides by all policies that apply to the workload. Without any, everything is allowed.
pub fn authorize(policies: &[Arc<Policy>], facts: &Facts<'_>) -> Decision {
    if policies.is_empty() {
        return Decision::Allow;
    }
    let subject = Subject::new(facts);
    let enforced = |action| policies.iter().filter(move |p| p.action == action && !p.dry_run);
    for policy in enforced(Action::Deny) {
        if let Some(rule) = subject.matched_rule(policy, Leaning::Match) {
            return Decision::Deny { policy: Some(Arc::clone(policy)), rule: Some(rule) };
        }
    }
    let mut allows = enforced(Action::Allow).peekable();
    if allows.peek().is_none() || allows.any(|p| subject.matched_rule(p, Leaning::NoMatch).is_some()) {
        return Decision::Allow;
    }
    Decision::Deny { policy: None, rule: None }
}

/// Policies that matched but are not enforced, AUDIT ones and dry runs, with the rule that matched: for
/// the access log.
pub fn recorded<'p>(
    policies: &'p [Arc<Policy>],
    facts: &Facts<'_>,
) -> impl Iterator<Item = (&'p Arc<Policy>, usize)> {
    let subject = Subject::new(facts);
    policies.iter().filter(|p| p.dry_run || p.action == Action::Audit).filter_map(move |policy| {
        let leaning = if policy.action == Action::Deny { Leaning::Match } else { Leaning::NoMatch };
        subject.matched_rule(policy, leaning).map(|rule| (policy, rule))
    })
}
