//! What becomes of a request where it comes in: authorization, rule, filters, where to. The proxy carries it out,
//! [`crate::explain`] and the command line show it.

use crate::authz::{self, Decision, Denial, DryRun, Facts};
use crate::filter::{self, Asked, FilterRun, HeaderEdits, Matched, Patterns, RequestHead, Verdict};
use crate::route::{Match, SourceWorkload, Table};
use crate::{Dice, RequestView};
use model::filter::FilterConfig;
use model::route::{RouteBackend, RouteRule};
use model::{Hostname, Policy, Reason};
use std::sync::Arc;

/// Where a request comes in.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Rules of the service that is called, or of the gateway's listener.
    pub table: &'a Table,
    /// The service; `None` at a gateway.
    pub called: Option<&'a Hostname>,
    /// Port of the service or listener.
    pub port: u16,
    /// The workload whose proxy this is.
    pub source: SourceWorkload<'a>,
    /// What is asked here before anything else. A call of a local application is judged by its callee.
    pub policies: &'a [Arc<Policy>],
    /// What is known of the connection; `facts.http` is replaced.
    pub facts: Facts<'a>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// What the policies say that are not enforced.
    pub dry_run: Option<DryRun>,
    /// Where it goes, or why it ends here.
    pub route: Result<Route<'a>, Refusal>,
}

/// Why a request ends before any backend is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// A policy says no.
    Denied(Denial),
    /// Policies allow some readings of the path and not others.
    Ambiguous,
    /// Anything else.
    For(Reason),
}

impl Refusal {
    /// The row of the table of reasons.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Denied(_) => Reason::Denied,
            Self::Ambiguous => Reason::AmbiguousPath,
            Self::For(reason) => *reason,
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The rule that matched. A service without any rule is its own backend.
    pub rule: Option<&'a Arc<RouteRule>>,
    at: Matched<'a>,
}

/// Plans a request, whose path is as [`crate::path::read`] has it.
pub fn plan<'a>(scope: &Scope<'a>, request: &RequestView<'_>) -> Plan<'a> {
    let (dry_run, admission) = admit(scope.policies, &Facts { http: Some(request), ..scope.facts });
    let route = admission.and_then(|()| route(scope, request).map_err(Refusal::For));
    Plan { dry_run, route }
}

/// Whether policies let a request or connection go on: what those say that are not enforced, and the verdict of the
/// others.
///
/// # Errors
/// The verdict: [`Refusal::Denied`] or [`Refusal::Ambiguous`].
pub fn admit(policies: &[Arc<Policy>], facts: &Facts<'_>) -> (Option<DryRun>, Result<(), Refusal>) {
    if policies.is_empty() {
        return (None, Ok(()));
    }
    let verdict = match authz::authorize(policies, facts) {
        Decision::Allow => Ok(()),
        Decision::Ambiguous => Err(Refusal::Ambiguous),
        Decision::Deny(denial) => Err(Refusal::Denied(denial)),
    };
    (authz::dry_run(policies, facts), verdict)
}

/// The rule to follow. With rules for whoever asks, one must match.
fn route<'a>(scope: &Scope<'a>, request: &RequestView<'_>) -> Result<Route<'a>, Reason> {
    let Scope { table, port, .. } = *scope;
    match table.find(port, &scope.source, request)? {
        Some(Match { rule, prefix_len, patterns }) => {
            Ok(Route { rule: Some(rule), at: Matched { prefix_len, port, is_https: false, patterns } })
        }
        None if scope.called.is_some() && !table.has_rules_for(port, &scope.source) => {
            let at = Matched { prefix_len: 0, port, is_https: false, patterns: Patterns::NONE };
            Ok(Route { rule: None, at })
        }
        None => Err(Reason::NoRoute),
    }
}

/// What a rule's filters make of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered<'a> {
    /// Whether it goes on.
    pub verdict: Verdict,
    /// What they ask for beside their edits, whatever the verdict.
    pub asked: Asked<'a>,
}

impl<'a> Route<'a> {
    /// Runs the rule's filters on the request.
    ///
    /// # Errors
    /// Why it ends here.
    pub fn on_request(
        &self,
        request: &mut dyn RequestHead,
        dice: &mut dyn Dice,
    ) -> Result<Filtered<'a>, Reason> {
        self.run(self.rule.map_or(&[], |rule| &rule.filters), request, dice)
    }

    /// Runs the filters of the backend that was picked, after those of the rule.
    ///
    /// # Errors
    /// Why it ends here.
    pub fn on_request_to(
        &self,
        backend: &'a RouteBackend,
        request: &mut dyn RequestHead,
        dice: &mut dyn Dice,
    ) -> Result<Filtered<'a>, Reason> {
        self.run(&backend.filters, request, dice)
    }

    fn run(
        &self,
        filters: &'a [FilterConfig],
        request: &mut dyn RequestHead,
        dice: &mut dyn Dice,
    ) -> Result<Filtered<'a>, Reason> {
        if filters.is_empty() {
            return Ok(Filtered { verdict: Verdict::Continue, asked: Asked::default() });
        }
        let at = Matched { is_https: request.view().is_https(), ..self.at };
        let mut run = FilterRun { at, dice, asked: Asked::default() };
        let verdict = filter::on_request(filters, request, &mut run)?;
        Ok(Filtered { verdict, asked: run.asked })
    }

    /// Runs the filters of the backend on the response, then those of the rule. `request` is as it was sent.
    pub fn on_response(
        &self,
        backend: Option<&RouteBackend>,
        request: &dyn RequestHead,
        response: &mut dyn HeaderEdits,
    ) {
        let of_rule = self.rule.map_or(&[][..], |rule| &rule.filters);
        let of_backend = backend.map_or(&[][..], |backend| &backend.filters);
        for filters in [of_backend, of_rule] {
            if !filters.is_empty() {
                filter::on_response(filters, &request.view(), self.at.patterns, response);
            }
        }
    }

    /// The destinations to pick from by weight; `None`: the service that was called.
    pub fn backends(&self) -> Option<&'a [RouteBackend]> {
        self.rule.map(|rule| &*rule.backends)
    }
}
