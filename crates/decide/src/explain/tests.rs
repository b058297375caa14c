#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The explanation of a request as text.

use super::{Explanation, Verdict, explain, judge};
use crate::RequestView;
use crate::authz::{Facts, RemoteIp};
use crate::filter::LocalReply;
use crate::plan::Scope;
use crate::route::{SourceWorkload, Table};
use model::authz::{Action, Policy, Rule};
use model::filter::{FilterConfig, HeaderEdit, PathRewrite, Redirect, RequestHeaders, Rewrite};
use model::route::{Parent, RouteBackend, RouteRule};
use model::settings::PathNormalization;
use model::{Hostname, ObjectRef, Origin, Reason};
use std::sync::Arc;

fn origin(kind: &str, name: &str) -> Origin {
    Origin { object: ObjectRef::new(kind, "default", name), file: "x.yaml".into(), line: 7 }
}

fn table(weights: &[u32]) -> Table {
    let host = Hostname::parse("web.mesh.internal").unwrap();
    let backend = |weight: &u32| RouteBackend::new(Some(host.clone()), 80, *weight);
    let parent = Parent::Service { host: host.clone(), port: 0 };
    Table::compile([Arc::new(RouteRule {
        index: 2,
        backends: weights.iter().map(backend).collect(),
        ..RouteRule::new(parent, origin("HTTPRoute", "web"))
    })])
}

/// What becomes of a request at a gateway's listener on this port.
fn at_gateway(
    table: &Table,
    port: u16,
    request: &RequestView<'_>,
    how: PathNormalization,
    policies: &[Arc<Policy>],
) -> Explanation {
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port, http: None };
    explain(
        &Scope { table, called: None, port, source: SourceWorkload::default(), policies, facts },
        request,
        how,
    )
}

/// Route name, shares in percent and refusal for a request to `path`.
fn check(table: &Table, policies: &[Arc<Policy>], path: &str, expected: (&str, &[u32], Option<Reason>)) {
    let request = RequestView { method: "GET", host: "web", path, readings: &[], query: None, headers: &() };
    let told = at_gateway(table, 80, &request, PathNormalization::default(), policies);
    let shares: Vec<_> = told.backends.iter().map(|b| (b.share * 100.0).round() as u32).collect();
    let route = told.rule.as_ref().map_or("", |(origin, _)| &*origin.object.name);
    assert_eq!((route, &*shares, told.refusal), expected, "{told:?}");
}

#[test]
fn it_names_rule_shares_and_refusal() {
    check(&table(&[90, 0, 10]), &[], "/", ("web", &[90, 10], None));
    check(&table(&[0]), &[], "/", ("web", &[], Some(Reason::NoBackend)));
    check(&Table::default(), &[], "/", ("", &[], Some(Reason::NoRoute)));
    check(&table(&[1]), &[], "/a%5cb", ("", &[], Some(Reason::BadPath)));
    check(&table(&[1]), &[], "/a%2fb", ("web", &[100], None));
}

#[test]
fn a_service_without_rules_is_its_own_backend() {
    let host = Hostname::parse("web.mesh.internal").unwrap();
    let request =
        RequestView { method: "GET", host: "web", path: "/", readings: &[], query: None, headers: &() };
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: None };
    let told = explain(
        &Scope {
            table: &Table::default(),
            called: Some(&host),
            port: 80,
            source: SourceWorkload::default(),
            policies: &[],
            facts,
        },
        &request,
        PathNormalization::default(),
    );
    assert_eq!((told.backends[0].host.as_ref(), told.refusal), (Some(&host), None));
}

fn policy(action: Action, rules: Vec<Rule>) -> Arc<Policy> {
    Arc::new(Policy { origin: origin("AuthorizationPolicy", "p"), action, rules, dry_run: false })
}

/// A gateway's policies are asked first, and of the canonical path.
#[test]
fn it_names_the_policy_that_denies() {
    let denied = [policy(Action::Deny, vec![Rule::default()])];
    check(&table(&[1]), &denied, "/", ("", &[], Some(Reason::Denied)));
    check(&table(&[1]), &[policy(Action::Allow, Vec::new())], "/", ("", &[], Some(Reason::Denied)));
    let request =
        RequestView { method: "GET", host: "web", path: "/x/../y", readings: &[], query: None, headers: &() };
    let told = at_gateway(&table(&[1]), 80, &request, PathNormalization::default(), &denied);
    assert_eq!(told.path.as_deref(), Some("/y"));
    assert_eq!(told.entry.unwrap().verdict, Verdict::DeniedBy(origin("AuthorizationPolicy", "p"), 0));
    let told = at_gateway(
        &table(&[1]),
        80,
        &request,
        PathNormalization::default(),
        &[policy(Action::Allow, Vec::new())],
    );
    assert_eq!(told.entry.unwrap().verdict, Verdict::NotAllowed(vec![origin("AuthorizationPolicy", "p")]));
}

/// What a callee with this policy says, after these filters, of `GET /a/x` to `web` with `x-who: me`.
fn judged(filters: Vec<FilterConfig>, action: Action, rule: Rule) -> Verdict {
    let mut edited = (**table(&[1]).rules().next().unwrap()).clone();
    edited.filters = filters;
    edited.matches = vec![model::route::RouteMatch {
        path: model::route::PathMatch::Prefix("/a".into()),
        ..Default::default()
    }];
    let headers = vec![("x-who".to_owned(), "me".to_owned())];
    let request = RequestView {
        method: "GET",
        host: "web",
        path: "/a/x",
        readings: &[],
        query: None,
        headers: &headers,
    };
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: None };
    let told =
        at_gateway(&Table::compile([Arc::new(edited)]), 80, &request, PathNormalization::default(), &[]);
    judge(&told.sent.unwrap(), &request, &[policy(action, vec![rule])], &facts).verdict
}

/// The proxy sends the edited request, and that is what its callee judges.
#[test]
fn a_callee_judges_what_the_rule_makes_of_a_request() {
    use model::authz::{Condition, ConditionKey, Glob, Operation};
    let to = |operation: Operation| Rule { to: vec![operation], ..Rule::default() };
    let path = |path: &str| to(Operation { paths: vec![Glob::parse(path)], ..Operation::default() });
    let host = |host: &str| to(Operation { hosts: vec![Glob::parse(host)], ..Operation::default() });
    let header = |name: &str, value: &str| {
        let (key, values) = (ConditionKey::Header(name.into()), vec![Glob::parse(value)]);
        Rule { when: vec![Condition { key, values, not_values: Vec::new() }], ..Rule::default() }
    };
    let edit = || {
        let path = Some(PathRewrite::Prefix("/b".into()));
        let pair = |name: &str, value: &str| (name.into(), value.into());
        vec![
            FilterConfig::Rewrite(Rewrite { hostname: Some("inside".into()), path }),
            FilterConfig::RequestHeaders(RequestHeaders(HeaderEdit {
                set: vec![pair("X-Who", "gateway"), pair("x-leno-destination", "elsewhere")],
                add: vec![pair("x-new", "1")],
                remove: vec!["x-old".into()],
            })),
        ]
    };
    for (rule, before, after) in [
        (path("/a/x"), true, false),
        (path("/b/x"), false, true),
        (host("web"), true, false),
        (host("inside"), false, true),
        (header("x-who", "me"), true, false),
        (header("x-who", "gateway"), false, true),
        (header("x-new", "1"), false, true),
        (header("host", "inside"), false, true),
        (header("x-leno-destination", "*"), false, false),
    ] {
        for (filters, matches) in [(Vec::new(), before), (edit(), after)] {
            let is_denied = judged(filters, Action::Deny, rule.clone()) != Verdict::Allowed;
            assert_eq!(is_denied, matches, "{rule:?}");
        }
    }
}

#[test]
fn it_tells_every_reading_of_a_path() {
    use model::authz::{Glob, Operation};
    let request = RequestView {
        method: "GET",
        host: "web",
        path: "/x;y/admin",
        readings: &[],
        query: None,
        headers: &(),
    };
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: None };
    let paths = vec![Glob::parse("/x/*")];
    let to = vec![Operation { paths, ..Operation::default() }];
    let denied = [policy(Action::Deny, vec![Rule { to, ..Rule::default() }])];
    let how = PathNormalization::default();
    let told = at_gateway(&table(&[1]), 80, &request, how, &denied);
    assert_eq!(told.readings, ["/x;y/admin", "/x/admin"]);
    assert_eq!(
        (told.entry.unwrap().verdict, told.refusal),
        (Verdict::Ambiguous, Some(Reason::AmbiguousPath))
    );
    let told = at_gateway(&table(&[1]), 80, &request, how, &[]);
    let told = judge(&told.sent.unwrap(), &request, &denied, &facts);
    assert_eq!(told.verdict, Verdict::Ambiguous, "at the callee, too");
}

#[test]
fn encoded_slashes_that_the_caller_is_to_decode_are_a_redirect_before_anything_is_asked() {
    use model::settings::EscapedSlashesAction;
    let how = PathNormalization {
        escaped_slashes: EscapedSlashesAction::UnescapeAndRedirect,
        ..Default::default()
    };
    let facts = Facts { peer: None, peer_ip: None, remote_ip: RemoteIp::Peer, port: 80, http: None };
    let denied = [policy(Action::Deny, vec![Rule::default()])];
    let told = |path: &str, content_type: &str| {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let (method, host, query) = ("GET", "web", Some("q=1"));
        let request = RequestView { method, host, path, readings: &[], query, headers: &headers };
        at_gateway(&table(&[1]), 80, &request, how, &denied)
    };
    for (path, location) in [("/a%2Fb", "/a/b?q=1"), ("/%2Fb", "/.//b?q=1")] {
        let told = told(path, "text/plain");
        let redirect = LocalReply::redirect(307, location.into());
        assert_eq!((told.reply, told.refusal, told.entry, told.sent), (Some(redirect), None, None, None));
    }
    let refused = told("/a%2Fb", "application/grpc");
    assert_eq!((refused.reply, refused.refusal, refused.entry), (None, Some(Reason::BadPath), None));
    assert_eq!(told("/a", "text/plain").refusal, Some(Reason::Denied));
    // One that a rewrite put there is met by the callee.
    let mut rewritten = (**table(&[1]).rules().next().unwrap()).clone();
    let path = Some(PathRewrite::Full("/c%2Fd".into()));
    rewritten.filters = vec![FilterConfig::Rewrite(Rewrite { hostname: None, path })];
    let table = Table::compile([Arc::new(rewritten)]);
    let request =
        RequestView { method: "GET", host: "web", path: "/a", readings: &[], query: None, headers: &() };
    let sent = at_gateway(&table, 80, &request, how, &[]).sent.unwrap();
    assert_eq!(sent.reply, Some(LocalReply::redirect(307, "/c/d".into())));
    assert_ne!(judge(&sent, &request, &[], &facts).verdict, Verdict::Allowed);
}

#[test]
fn a_rules_redirect_is_told_as_the_proxy_answers_it() {
    let mut away = (**table(&[]).rules().next().unwrap()).clone();
    let (hostname, path) = (Some("new.example".into()), None);
    away.filters =
        vec![FilterConfig::Redirect(Redirect { hostname, path, status: 301, ..Redirect::default() })];
    let table = Table::compile([Arc::new(away)]);
    for (scheme, location) in [("http", "http://new.example:8080/a?q"), ("https", "https://new.example/a?q")]
    {
        let headers = vec![("x-forwarded-proto".to_owned(), scheme.to_owned())];
        let request = RequestView {
            method: "GET",
            host: "web",
            path: "/a",
            readings: &[],
            query: Some("q"),
            headers: &headers,
        };
        let told = at_gateway(&table, 8080, &request, PathNormalization::default(), &[]);
        let redirect = LocalReply::redirect(301, location.into());
        assert_eq!((told.reply, told.refusal, told.sent), (Some(redirect), None, None));
    }
}
