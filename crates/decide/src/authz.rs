//! Authorization decisions: Istio's AuthorizationPolicy.
//!
//! DENY is asked first, then ALLOW; AUDIT and dry-run policies are only reported by [`dry_run`]. Whatever
//! cannot be known (an HTTP field of a TCP connection, a header that is no text, a condition that could not
//! be parsed) counts against the request: it matches in a DENY rule and does not in an ALLOW rule.
//! Read `matching` next.

mod matching;
#[cfg(test)]
mod tests;

use crate::RequestView;
use matching::{Leaning, Subject};
use model::settings::HttpConnections;
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
    /// Who says where the caller is that the peer speaks for.
    pub remote_ip: RemoteIp<'a>,
    /// The application's port.
    pub port: u16,
    /// `None`: a TCP connection.
    pub http: Option<&'a RequestView<'a>>,
}

/// Where the original caller is (Istio's `remoteIpBlocks` and `remote.ip`). Of a TCP connection it is the peer.
#[derive(Clone, Copy)]
pub enum RemoteIp<'a> {
    /// The peer is the caller.
    Peer,
    /// A gateway was told by proxies in front that it trusts ([`crate::forwarded::believe`]).
    Client(IpAddr),
    /// The peer tells, in `x-forwarded-for`; the settings are those of the gateways.
    Told(&'a HttpConnections),
}

/// The verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Stop: applications read the path in different ways, and not all readings are allowed, nor all denied.
    Ambiguous,
    /// Stop.
    Deny(Denial),
}

/// Why something is denied.
#[derive(Clone, Debug, PartialEq)]
pub enum Denial {
    /// By a rule of a DENY policy.
    Matched {
        /// The policy.
        policy: Arc<Policy>,
        /// Index of the rule.
        rule: usize,
    },
    /// There are ALLOW policies, and none of them matched.
    NoneMatched {
        /// They, in the order given; at most [`NAMED_POLICIES_MAX`].
        allow: Vec<Arc<Policy>>,
    },
}

/// ALLOW policies that a denial names; of more only the first.
pub const NAMED_POLICIES_MAX: usize = 16;

/// What policies say that are not enforced: AUDIT ones and dry runs.
#[derive(Clone, Debug, PartialEq)]
pub struct DryRun {
    /// Those that matched, with the rule that did.
    pub matched: Vec<(Arc<Policy>, usize)>,
    /// What the verdict would be if dry runs were enforced too; `None`: there is no dry run.
    pub verdict: Option<Decision>,
}

/// Decides by all policies that apply to the workload. Without any, everything is allowed.
pub fn authorize(policies: &[Arc<Policy>], facts: &Facts<'_>) -> Decision {
    if policies.is_empty() {
        return Decision::Allow;
    }
    decide_on_all(facts, |facts| decide(policies, &Subject::new(facts), |policy| !policy.dry_run))
}

/// Decides on every reading of the path; where they come to different ends, none of them is the right one.
fn decide_on_all(facts: &Facts<'_>, decide: impl Fn(&Facts<'_>) -> Decision) -> Decision {
    let Some(http) = facts.http.filter(|http| !http.readings.is_empty()) else { return decide(facts) };
    let decide_as = |reading: &str| decide(&Facts { http: Some(&http.read_as(reading)), ..*facts });
    let decision = decide_as(http.literal());
    let is_allowed = |decision: &Decision| matches!(decision, Decision::Allow);
    match http.others().iter().all(|other| is_allowed(&decide_as(other)) == is_allowed(&decision)) {
        true => decision,
        false => Decision::Ambiguous,
    }
}

/// What the policies that are not enforced say, for the access log and the counters. `None`: all are enforced.
pub fn dry_run(policies: &[Arc<Policy>], facts: &Facts<'_>) -> Option<DryRun> {
    let is_dry_run = |policy: &Policy| policy.dry_run || policy.action == Action::Audit;
    if !policies.iter().any(|policy| is_dry_run(policy)) {
        return None;
    }
    let literal = facts.http.map(|http| http.read_as(http.literal()));
    let subject = Subject::new(&Facts { http: literal.as_ref(), ..*facts });
    let matched = policies.iter().filter(|policy| is_dry_run(policy)).filter_map(|policy| {
        let leaning = if policy.action == Action::Deny { Leaning::Match } else { Leaning::NoMatch };
        subject.matched_rule(policy, leaning).map(|rule| (Arc::clone(policy), rule))
    });
    let has_dry_run = policies.iter().any(|policy| policy.dry_run && policy.action != Action::Audit);
    let verdict = || decide_on_all(facts, |facts| decide(policies, &Subject::new(facts), |_| true));
    Some(DryRun { matched: matched.collect(), verdict: has_dry_run.then(verdict) })
}

fn decide(policies: &[Arc<Policy>], subject: &Subject<'_>, counts: impl Fn(&Policy) -> bool) -> Decision {
    let acting = |action| policies.iter().filter(move |policy| policy.action == action);
    for policy in acting(Action::Deny).filter(|policy| counts(policy)) {
        if let Some(rule) = subject.matched_rule(policy, Leaning::Match) {
            return Decision::Deny(Denial::Matched { policy: Arc::clone(policy), rule });
        }
    }
    let allows = || acting(Action::Allow).filter(|policy| counts(policy));
    let mut asked = allows().peekable();
    if asked.peek().is_none() || asked.any(|p| subject.matched_rule(p, Leaning::NoMatch).is_some()) {
        return Decision::Allow;
    }
    Decision::Deny(Denial::NoneMatched { allow: allows().take(NAMED_POLICIES_MAX).cloned().collect() })
}
