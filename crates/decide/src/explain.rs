//! Why a request goes where it goes: the same functions as in the proxy, in the same order, their answers put
//! together. [`explain`] tells the way to the backends, [`judge`] what a callee says of what arrives there.

#[cfg(test)]
mod tests;

use crate::authz::{Denial, DryRun, Facts};
use crate::filter::{HeaderEdits, LocalReply, RequestHead, Verdict as Outcome};
use crate::host;
use crate::path::{self, Path};
use crate::plan::{self, Refusal, Scope};
use crate::request::first_value;
use crate::{Dice, Headers, RequestView};
use model::filter::FilterConfig;
use model::header::untouched;
use model::route::RouteRule;
use model::settings::PathNormalization;
use model::{Hostname, Origin, Policy, Reason};
use std::collections::BTreeMap;
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
    /// What the backends get, after the rule's edits, and after its own where there is one only; `None`: nothing is sent.
    pub sent: Option<Sent>,
    /// The rule's mirrors and faults, which are for a share of its requests.
    pub by_share: Vec<FilterConfig>,
    /// What its caller gets without a backend: by a rule's filter, or for the encoded slashes of its path.
    pub reply: Option<LocalReply>,
    /// How it ends before any backend is asked; `None`: it is forwarded (or answered by a filter).
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
    /// It has filters of its own for what goes there.
    pub has_filters: bool,
}

/// A request as it leaves for a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Authority.
    pub host: String,
    /// Path as it is sent, without the query.
    pub forwarded: String,
    /// Path as the callee normalises it; `None`: the callee refuses it.
    pub path: Option<String>,
    /// All readings of it; empty: it is its own only one.
    pub readings: Vec<String>,
    /// How the callee answers without asking anybody: for encoded slashes that a rule's rewrite has put into the path.
    pub reply: Option<LocalReply>,
    /// Values of the headers that the rule's filters have changed, by lower-case name.
    pub headers: BTreeMap<String, Vec<Vec<u8>>>,
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

/// Explains `request`, whose path is as sent and normalised as `how` says, where it comes in by `scope`.
pub fn explain(scope: &Scope<'_>, request: &RequestView<'_>, how: PathNormalization) -> Explanation {
    let read = match path::read(request.path, how) {
        Ok(read) => read,
        Err(reason) => return refused(None, None, reason),
    };
    if read.is_redirected {
        return match unescape(&read.forwarded, request) {
            Ok(reply) => Explanation {
                reply: Some(reply),
                refusal: None,
                ..refused(Some(read), None, Reason::BadPath)
            },
            Err(reason) => refused(Some(read), None, reason),
        };
    }
    let request = RequestView { path: &read.forwarded, readings: &read.readings, ..*request };
    let plan = plan::plan(scope, &request);
    let entry = Judgement::new(plan.dry_run.as_ref(), plan.route.as_ref().err());
    let route = match plan.route {
        Ok(route) => route,
        Err(refusal) => return refused(Some(read), Some(entry), refusal.reason()),
    };
    let mut head = Described::new(request);
    let mut outcome = route.on_request(&mut head, &mut Certain).map(|filtered| filtered.verdict);
    let mut weighted = route.backends().unwrap_or_default().iter().filter(|backend| backend.weight > 0);
    if let (Ok(Outcome::Continue), Some(only), None) = (&outcome, weighted.next(), weighted.next()) {
        outcome = route.on_request_to(only, &mut head, &mut Certain).map(|filtered| filtered.verdict);
    }
    let reply = match &outcome {
        Ok(Outcome::Reply(reply)) => Some(reply.clone()),
        _ => None,
    };
    // A service without any rule is its own backend.
    let backends = match (route.rule, scope.called) {
        (Some(rule), _) => shares(rule),
        (None, Some(host)) => {
            vec![Share { host: Some(host.clone()), port: scope.port, share: 1.0, has_filters: false }]
        }
        (None, None) => Vec::new(),
    };
    let no_backend = (backends.is_empty() && reply.is_none()).then_some(Reason::NoBackend);
    let refusal = outcome.err().or(no_backend);
    let sent = (refusal.is_none() && reply.is_none()).then(|| head.sent(how));
    Explanation {
        entry: Some(entry),
        reply,
        rule: route.rule.map(|rule| (rule.origin.clone(), rule.index)),
        backends,
        refusal,
        sent,
        by_share: route.rule.map_or_else(Vec::new, |rule| by_share(rule)),
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
    let Some(path) = sent.path.as_ref().filter(|_| sent.reply.is_none()) else {
        return Judgement { verdict: Verdict::NotAllowed(Vec::new()), recorded: Vec::new() };
    };
    let headers = Edited { of: request.headers, host: &sent.host, changed: &sent.headers };
    let readings = &sent.readings;
    let view = RequestView { host: &sent.host, path, readings, headers: &headers, ..*request };
    let (dry_run, admission) = plan::admit(policies, &Facts { http: Some(&view), ..*facts });
    Judgement::new(dry_run.as_ref(), admission.as_ref().err())
}

fn unescape(forwarded: &str, request: &RequestView<'_>) -> Result<LocalReply, Reason> {
    let query = request.query.map(|query| format!("?{query}")).unwrap_or_default();
    let content_type = first_value(request.headers, "content-type");
    let location = path::unescape_location(&format!("{forwarded}{query}"), content_type.as_deref())?;
    Ok(LocalReply::redirect(path::UNESCAPE_STATUS, location))
}

impl Judgement {
    fn new(dry_run: Option<&DryRun>, refusal: Option<&Refusal>) -> Self {
        let verdict = match refusal {
            Some(Refusal::Ambiguous) => Verdict::Ambiguous,
            Some(Refusal::Denied(Denial::Matched { policy, rule })) => {
                Verdict::DeniedBy(policy.origin.clone(), *rule)
            }
            Some(Refusal::Denied(Denial::NoneMatched { allow })) => {
                Verdict::NotAllowed(allow.iter().map(|policy| policy.origin.clone()).collect())
            }
            Some(Refusal::For(_)) | None => Verdict::Allowed,
        };
        let origins =
            |dry_run: &DryRun| dry_run.matched.iter().map(|(policy, _)| policy.origin.clone()).collect();
        Self { verdict, recorded: dry_run.map(origins).unwrap_or_default() }
    }
}

/// Dice by which only what happens to every request happens.
struct Certain;

impl Dice for Certain {
    fn next_u64(&mut self) -> u64 {
        u64::MAX
    }
}

/// A request that nobody sends, for the filters to change.
struct Described<'a> {
    of: RequestView<'a>,
    host: String,
    path: String,
    changed: BTreeMap<String, Vec<Vec<u8>>>,
}

impl<'a> Described<'a> {
    fn new(of: RequestView<'a>) -> Self {
        Self { of, host: of.host.to_owned(), path: of.path.to_owned(), changed: BTreeMap::new() }
    }

    fn sent(self, how: PathNormalization) -> Sent {
        let read = path::read(&self.path, how).ok();
        let reply =
            read.as_ref().filter(|read| read.is_redirected).map(|read| unescape(&read.forwarded, &self.of));
        // gRPC is refused instead.
        let (reply, read) = match reply {
            Some(Err(_)) => (None, None),
            Some(Ok(reply)) => (Some(reply), read),
            None => (None, read),
        };
        let (path, readings) = read.map(|read| (read.forwarded.into_owned(), read.readings)).unzip();
        let (host, forwarded, headers) = (self.host, self.path, self.changed);
        Sent { host, forwarded, path, readings: readings.unwrap_or_default(), reply, headers }
    }

    /// The values of a header, to be changed.
    fn values(&mut self, name: &str) -> &mut Vec<Vec<u8>> {
        let of = self.of.headers;
        let name = name.to_ascii_lowercase();
        self.changed.entry(name).or_insert_with_key(|name| {
            let mut values = Vec::new();
            of.visit(name, &mut |value| values.push(value.to_vec()));
            values
        })
    }
}

impl RequestHead for Described<'_> {
    fn view(&self) -> RequestView<'_> {
        RequestView { host: &self.host, path: &self.path, ..self.of }
    }

    fn set_host(&mut self, host: &str) -> Result<(), Reason> {
        self.host = host::authority(host).ok_or(Reason::BadRequest)?.into_owned();
        Ok(())
    }

    fn set_path(&mut self, path: &str) -> Result<(), Reason> {
        let is_sendable = |byte: u8| byte > b' ' && !matches!(byte, 0x7f | b'#' | b'?');
        if !path.bytes().all(is_sendable) {
            return Err(Reason::BadPath);
        }
        path.clone_into(&mut self.path);
        Ok(())
    }

    fn headers(&mut self) -> &mut dyn HeaderEdits {
        self
    }
}

impl HeaderEdits for Described<'_> {
    fn set(&mut self, name: &str, value: &str) {
        if untouched(name).is_some() {
            return;
        }
        *self.values(name) = vec![value.as_bytes().to_vec()];
    }

    fn add(&mut self, name: &str, value: &str) {
        if untouched(name).is_none() {
            self.values(name).push(value.as_bytes().to_vec());
        }
    }

    fn remove(&mut self, name: &str) {
        if untouched(name).is_none() {
            self.values(name).clear();
        }
    }
}

/// Headers after a rule's edits.
struct Edited<'a> {
    of: &'a dyn Headers,
    host: &'a str,
    changed: &'a BTreeMap<String, Vec<Vec<u8>>>,
}

impl Headers for Edited<'_> {
    fn visit(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        match self.changed.get(name) {
            _ if name == "host" => each(self.host.as_bytes()),
            Some(values) => values.iter().for_each(|value| each(value)),
            None => self.of.visit(name, each),
        }
    }
}

fn shares(rule: &RouteRule) -> Vec<Share> {
    let total: u64 = rule.backends.iter().map(|b| u64::from(b.weight)).sum();
    let weighted = rule.backends.iter().filter(|backend| backend.weight > 0);
    let share = |weight: u32| f64::from(weight) / total as f64;
    let shares = weighted.map(|b| Share {
        host: b.host.clone(),
        port: b.port,
        share: share(b.weight),
        has_filters: !b.filters.is_empty(),
    });
    shares.collect()
}

fn by_share(rule: &RouteRule) -> Vec<FilterConfig> {
    let is_one = |filter: &&FilterConfig| matches!(filter, FilterConfig::Mirror(_) | FilterConfig::Fault(_));
    rule.filters.iter().filter(is_one).cloned().collect()
}

fn refused(read: Option<Path<'_>>, entry: Option<Judgement>, reason: Reason) -> Explanation {
    let (path, readings) = read.map(|read| (read.forwarded.into_owned(), read.readings)).unzip();
    let (rule, backends, readings) = (None, Vec::new(), readings.unwrap_or_default());
    let by_share = Vec::new();
    Explanation {
        path,
        readings,
        entry,
        rule,
        backends,
        sent: None,
        by_share,
        reply: None,
        refusal: Some(reason),
    }
}
