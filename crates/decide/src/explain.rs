//! Why a request goes where it goes: the same functions as in the proxy, in the same order, their answers put
//! together. [`explain`] tells the way to the backends, [`judge`] what a callee says of what arrives there.

#[cfg(test)]
mod tests;

use crate::authz::{self, Decision, Denial, DryRun, Facts};
use crate::path::{self, Path};
use crate::request::first_value;
use crate::route::{self, Match, Redirected, Table};
use crate::{Headers, RequestView};
use model::route::{HeaderEdit, RouteFilter, RouteRule, untouched};
use model::settings::PathNormalization;
use model::{Hostname, Origin, Policy, Reason};
use std::sync::Arc;

/// What would become of a request. Plain data, for the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The path that is forwarded if no rule rewrites it; `None`: it has no sound reading.
    pub path: Option<String>,
    /// All readings of it that are decided on; empty: it is its own only one.
    pub readings: Vec<String>,
    /// What the policies say where it comes in; `None`: it is answered before they are asked.
    pub entry: Option<Judgement>,
    /// The rule that matched, as object and line, and its index in the route.
    pub rule: Option<(Origin, u32)>,
    /// Where the request goes, with shares that add up to 1. Empty when it goes nowhere.
    pub backends: Vec<Share>,
    /// What the backends get, after the rule's edits; `None`: nothing is sent.
    pub sent: Option<Sent>,
    /// Where its caller is sent instead, by a rule or for the encoded slashes of its path.
    pub redirect: Option<Redirection>,
    /// How it ends before any backend is asked; `None`: it is forwarded (or redirected).
    pub refusal: Option<Reason>,
}

/// An answer that tells the caller to ask elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// HTTP status.
    pub status: u16,
    /// Where.
    pub location: String,
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

/// A request as it leaves for a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Authority.
    pub host: String,
    /// Path as the callee normalises it; `None`: the callee refuses it.
    pub path: Option<String>,
    /// All readings of it; empty: it is its own only one.
    pub readings: Vec<String>,
    /// How the callee answers without asking anybody: for encoded slashes that a rule's rewrite has put into the path.
    pub redirect: Option<Redirection>,
    /// What the rule changes of the headers, in this order.
    pub edits: Vec<HeaderEdit>,
}

/// What policies say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Whether it may go on.
    pub verdict: Verdict,
    /// Policies that matched without being enforced.
    pub recorded: Vec<Origin>,
}

/// What authorization says.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Verdict {
    /// Allowed.
    #[default]
    Allowed,
    /// Denied by a rule of this policy.
    DeniedBy(Origin, usize),
    /// There are ALLOW policies, and none of them matches: these, or the first of them.
    NotAllowed(Vec<Origin>),
    /// Not all readings of the path are allowed, nor all denied.
    Ambiguous,
}

/// Explains `request`, whose path is as sent and normalised as `how` says, to service or listener port `port`;
/// `called` is the service, or `None` at a gateway. `policies` and `facts` are those of the gateway, and none where the caller's own proxy
/// is asked; `facts.http` is replaced by `request`.
pub fn explain(
    table: &Table,
    called: Option<&Hostname>,
    port: u16,
    request: &RequestView<'_>,
    how: PathNormalization,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
) -> Explanation {
    let read = match path::read(request.path, how) {
        Ok(read) => read,
        Err(reason) => return refused(None, None, reason),
    };
    if read.is_redirected {
        return match unescape(&read.forwarded, request) {
            Ok(redirect) => Explanation {
                redirect: Some(redirect),
                refusal: None,
                ..refused(Some(read), None, Reason::BadPath)
            },
            Err(reason) => refused(Some(read), None, reason),
        };
    }
    let request = RequestView { path: &read.forwarded, readings: &read.readings, ..*request };
    let entry = judge_view(policies, &Facts { http: Some(&request), ..*facts });
    match entry.verdict {
        Verdict::Allowed => {}
        Verdict::Ambiguous => return refused(Some(read), Some(entry), Reason::AmbiguousPath),
        Verdict::DeniedBy(..) | Verdict::NotAllowed(_) => {
            return refused(Some(read), Some(entry), Reason::Denied);
        }
    }
    let matched = match table.find(port, &request) {
        Ok(matched) => matched,
        Err(reason) => return refused(Some(read), Some(entry), reason),
    };
    let rule = matched.map(|matched| &**matched.rule);
    // A service without any rule is its own backend, as in the proxy.
    let itself = called.filter(|_| matched.is_none() && !table.has_rules(port));
    let backends = match (rule, itself) {
        (Some(rule), _) => shares(rule),
        (None, Some(host)) => vec![Share { host: Some(host.clone()), port, share: 1.0 }],
        (None, None) => Vec::new(),
    };
    let redirect = matched.as_ref().and_then(|matched| redirected(matched, &request, port));
    let refusal = match rule {
        None if backends.is_empty() => Some(Reason::NoRoute),
        Some(_) if backends.is_empty() && redirect.is_none() => Some(Reason::NoBackend),
        _ => None,
    };
    let is_sent = refusal.is_none() && redirect.is_none();
    let sent = if is_sent { edited(&request, matched.as_ref(), how).map(Some) } else { Ok(None) };
    Explanation {
        entry: Some(entry),
        redirect,
        rule: rule.map(|rule| (rule.origin.clone(), rule.index)),
        backends,
        refusal: refusal.or(sent.as_ref().err().copied()),
        sent: sent.unwrap_or_default(),
        path: Some(read.forwarded.into_owned()),
        readings: read.readings,
    }
}

/// What a callee's policies say of `sent`, which became of `request`. `facts` are those of the callee;
/// `facts.http` is replaced. What it refuses or redirects for its path is not asked about, and is not allowed.
pub fn judge(
    sent: &Sent,
    request: &RequestView<'_>,
    policies: &[Arc<Policy>],
    facts: &Facts<'_>,
) -> Judgement {
    let Some(path) = sent.path.as_ref().filter(|_| sent.redirect.is_none()) else {
        return Judgement { verdict: Verdict::NotAllowed(Vec::new()), recorded: Vec::new() };
    };
    let headers = Edited { of: request.headers, host: &sent.host, edits: &sent.edits };
    let readings = &sent.readings;
    let view = RequestView { host: &sent.host, path, readings, headers: &headers, ..*request };
    judge_view(policies, &Facts { http: Some(&view), ..*facts })
}

fn unescape(forwarded: &str, request: &RequestView<'_>) -> Result<Redirection, Reason> {
    let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
    let content_type = first_value(request.headers, "content-type");
    let location = path::unescape_location(&format!("{forwarded}{query}"), content_type.as_deref())?;
    Ok(Redirection { status: path::UNESCAPE_STATUS, location })
}

/// The rule's redirect, if it has one.
fn redirected(matched: &Match<'_>, request: &RequestView<'_>, port: u16) -> Option<Redirection> {
    let redirect = matched.rule.filters.iter().find_map(|filter| match filter {
        RouteFilter::Redirect(redirect) => Some(redirect),
        _ => None,
    })?;
    let is_https = first_value(request.headers, "x-forwarded-proto").is_some_and(|scheme| scheme == b"https");
    let location =
        route::redirect_location(redirect, &Redirected::new(request, is_https, port, matched.prefix_len));
    Some(Redirection { status: redirect.status, location })
}

fn judge_view(policies: &[Arc<Policy>], facts: &Facts<'_>) -> Judgement {
    let verdict = match authz::authorize(policies, facts) {
        Decision::Allow => Verdict::Allowed,
        Decision::Ambiguous => Verdict::Ambiguous,
        Decision::Deny(Denial::Matched { policy, rule }) => Verdict::DeniedBy(policy.origin.clone(), rule),
        Decision::Deny(Denial::NoneMatched { allow }) => {
            Verdict::NotAllowed(allow.iter().map(|policy| policy.origin.clone()).collect())
        }
    };
    let dry_run = authz::dry_run(policies, facts);
    Judgement { verdict, recorded: dry_run.map(|dry_run| origins(&dry_run)).unwrap_or_default() }
}

fn origins(dry_run: &DryRun) -> Vec<Origin> {
    dry_run.matched.iter().map(|(policy, _)| policy.origin.clone()).collect()
}

/// The request after the rule's filters, in their order.
fn edited(
    request: &RequestView<'_>,
    matched: Option<&Match<'_>>,
    how: PathNormalization,
) -> Result<Sent, Reason> {
    let (mut host, mut path, mut edits) = (request.host.to_owned(), request.path.to_owned(), Vec::new());
    let filters = matched
        .iter()
        .flat_map(|matched| matched.rule.filters.iter().map(|filter| (filter, matched.prefix_len)));
    for (filter, prefix_len) in filters {
        match filter {
            RouteFilter::RequestHeaders(edit) => edits.push(edit.clone()),
            RouteFilter::Rewrite(rewrite) => {
                if let Some(name) = &rewrite.hostname {
                    host = name.to_string();
                }
                if let Some(changed) = &rewrite.path {
                    path = route::rewrite_read_path(changed, &path, request.readings, prefix_len)?;
                }
            }
            RouteFilter::ResponseHeaders(_) | RouteFilter::Redirect(_) => {}
        }
    }
    let read = path::read(&path, how).ok();
    let redirect =
        read.as_ref().filter(|read| read.is_redirected).map(|read| unescape(&read.forwarded, request));
    // gRPC is refused instead.
    let (redirect, read) = match redirect {
        Some(Err(_)) => (None, None),
        Some(Ok(redirect)) => (Some(redirect), read),
        None => (None, read),
    };
    let (path, readings) = read.map(|read| (read.forwarded.into_owned(), read.readings)).unzip();
    Ok(Sent { host, path, readings: readings.unwrap_or_default(), redirect, edits })
}

/// Headers after a rule's edits.
struct Edited<'a> {
    of: &'a dyn Headers,
    host: &'a str,
    edits: &'a [HeaderEdit],
}

impl Headers for Edited<'_> {
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        if name.eq_ignore_ascii_case("host") {
            return each(self.host.as_bytes());
        }
        if untouched(name).is_some() {
            return self.of.visit(name, each);
        }
        let mut values: Vec<Vec<u8>> = Vec::new();
        self.of.visit(name, &mut |value| values.push(value.to_vec()));
        let is_it = |other: &str| other.eq_ignore_ascii_case(name);
        for edit in self.edits {
            for (_, value) in edit.set.iter().filter(|(key, _)| is_it(key)) {
                values = vec![value.as_bytes().to_vec()];
            }
            values.extend(
                edit.add.iter().filter(|(key, _)| is_it(key)).map(|(_, value)| value.as_bytes().to_vec()),
            );
            if edit.remove.iter().any(|key| is_it(key)) {
                values.clear();
            }
        }
        values.iter().for_each(|value| each(value));
    }
}

fn shares(rule: &RouteRule) -> Vec<Share> {
    let total: u64 = rule.backends.iter().map(|b| u64::from(b.weight)).sum();
    let weighted = rule.backends.iter().filter(|backend| backend.weight > 0);
    let share = |weight: u32| f64::from(weight) / total as f64;
    weighted.map(|b| Share { host: b.host.clone(), port: b.port, share: share(b.weight) }).collect()
}

fn refused(read: Option<Path<'_>>, entry: Option<Judgement>, reason: Reason) -> Explanation {
    let (path, readings) = read.map(|read| (read.forwarded.into_owned(), read.readings)).unzip();
    let (rule, backends, readings) = (None, Vec::new(), readings.unwrap_or_default());
    Explanation { path, readings, entry, rule, backends, sent: None, redirect: None, refusal: Some(reason) }
}
