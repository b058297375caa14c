#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What filters make of requests, as data.

use super::redirect::location;
use super::rewrite::rewrite_path;
use super::{Asked, FilterRun, HeaderEdits, LocalReply, Matched, Patterns, RequestHead, Verdict};
use super::{is_among, on_request};
use crate::RequestView;
use crate::dice::Pcg;
use model::filter::{
    AbortStatus, Cors, DerivedPort, DirectResponse, FaultAbort, FaultInjection, FilterConfig, Fraction,
    HeaderEdit, OriginMatch, PathRewrite, Redirect, ResponseHeaders, Rewrite, UnmatchedPreflights,
};
use model::route::{Parent, Pattern, RouteRule};
use model::{Hostname, ObjectRef, Origin, Reason};

fn at(prefix_len: usize, port: u16) -> Matched<'static> {
    Matched { prefix_len, port, is_https: false, patterns: Patterns::NONE }
}

#[test]
fn prefixes_are_replaced_as_gateway_api_says() {
    for (path, prefix, replacement, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/bar", "", "/xyz", "/xyz/bar"),
    ] {
        let rewritten =
            rewrite_path(&PathRewrite::Prefix(replacement.into()), &at(prefix.len(), 80), path).unwrap();
        assert_eq!(rewritten, expected, "{path}: {prefix} to {replacement}");
    }
    assert_eq!(rewrite_path(&PathRewrite::Full("/x".into()), &at(4, 80), "/foo"), Ok("/x".into()));
}

#[test]
fn a_location_has_a_port_only_where_needed() {
    let to = |scheme: Option<&str>, port, path| Redirect {
        scheme: scheme.map(Into::into),
        port,
        path,
        status: 302,
        ..Redirect::default()
    };
    let check = |redirect: &Redirect, port, expected: &str| {
        let (method, host, path, query) = ("GET", "a.com:8080", "/x/y", Some("q=1"));
        let request = RequestView { method, host, path, readings: &[], query, headers: &() };
        assert_eq!(location(redirect, &at(2, port), &request).unwrap(), expected);
    };
    check(&to(None, None, None), 8080, "http://a.com:8080/x/y?q=1");
    check(&to(None, None, None), 80, "http://a.com/x/y?q=1");
    check(&to(Some("https"), None, None), 8080, "https://a.com/x/y?q=1");
    check(&to(Some("https"), Some(8443), None), 80, "https://a.com:8443/x/y?q=1");
    check(&to(None, Some(80), Some(PathRewrite::Prefix("/z".into()))), 8080, "http://a.com/z/y?q=1");
}

/// The filters that are run, and what they answer: status, then headers that are asked for.
fn answered(filter: FilterConfig, method: &str, headers: &[(&str, &str)]) -> Option<LocalReply> {
    answered_by(vec![filter], method, headers)
}

/// The same of several.
fn answered_by(filters: Vec<FilterConfig>, method: &str, headers: &[(&str, &str)]) -> Option<LocalReply> {
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let host = Hostname::parse("h").unwrap();
    let rule = RouteRule {
        filters: filters.to_vec(),
        ..RouteRule::new(
            Parent::Service { host, port: 0 },
            Origin { object: ObjectRef::new("HTTPRoute", "n", "r"), file: "".into(), line: 0 },
        )
    };
    let patterns = Patterns::of(&rule).unwrap_or_default();
    let view = RequestView { method, host: "h", path: "/", readings: &[], query: None, headers: &headers };
    let mut run = FilterRun {
        at: Matched { patterns: &patterns, ..at(0, 80) },
        dice: &mut Pcg::new(1),
        asked: Asked::default(),
    };
    match on_request(&filters, &mut Fixed(view), &mut run).unwrap() {
        Verdict::Reply(reply) => Some(reply),
        Verdict::Continue => None,
    }
}

/// A rule's own answer is a response to it; what fails on purpose, or tells a browser something, is not.
#[test]
fn responses_are_edited_where_the_rule_answers_by_itself() {
    let edit = HeaderEdit { set: vec![("x-a".into(), "b".into())], ..HeaderEdit::default() };
    let is_edited = |filter: FilterConfig| {
        let filters = vec![FilterConfig::ResponseHeaders(ResponseHeaders(edit.clone())), filter];
        let page = [("origin", "https://a.com"), ("access-control-request-method", "GET")];
        let reply = answered_by(filters, "OPTIONS", &page).unwrap();
        reply.headers.iter().any(|(name, value)| (&**name, &**value) == ("x-a", "b"))
    };
    let abort = FaultAbort { with: AbortStatus::Http(503), share: Fraction::ALL };
    assert!(is_edited(FilterConfig::DirectResponse(DirectResponse { status: 200, body: "".into() })));
    assert!(is_edited(FilterConfig::Redirect(Redirect { status: 302, ..Redirect::default() })));
    assert!(!is_edited(FilterConfig::Fault(Box::new(FaultInjection { abort: Some(abort), delay: None }))));
    assert!(!is_edited(FilterConfig::Cors(Box::new(Cors {
        allow_origins: vec![OriginMatch::Any],
        ..Cors::default()
    }))));
}

/// A request that nothing edits.
struct Fixed<'a>(RequestView<'a>);

impl RequestHead for Fixed<'_> {
    fn view(&self) -> RequestView<'_> {
        self.0
    }
    fn set_host(&mut self, _: &str) -> Result<(), Reason> {
        Err(Reason::Internal)
    }
    fn set_path(&mut self, _: &str) -> Result<(), Reason> {
        Err(Reason::Internal)
    }
    fn headers(&mut self) -> &mut dyn HeaderEdits {
        unreachable!("no filter here edits headers")
    }
}

#[test]
fn a_preflight_says_what_a_page_may_do() {
    let star = |allow_credentials| {
        FilterConfig::Cors(Box::new(Cors {
            allow_origins: vec![OriginMatch::Any],
            allow_methods: vec!["*".into()],
            allow_headers: vec!["*".into()],
            allow_credentials,
            ..Cors::default()
        }))
    };
    let asked = [
        ("origin", "http://a"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a"),
    ];
    let said = |filter, name: &str| {
        let reply = answered(filter, "OPTIONS", &asked).unwrap();
        assert_eq!(reply.status, 200);
        reply.headers.iter().find(|(own, _)| **own == *name).map(|(_, value)| value.to_string())
    };
    for (name, open, with_cookies) in [
        ("access-control-allow-origin", "*", "http://a"),
        ("access-control-allow-methods", "*", "PUT"),
        ("access-control-allow-headers", "*", "x-a"),
    ] {
        assert_eq!(said(star(false), name).as_deref(), Some(open), "{name}");
        assert_eq!(said(star(true), name).as_deref(), Some(with_cookies), "{name}");
    }
    assert_eq!(answered(star(true), "GET", &asked), None);
    assert_eq!(answered(star(true), "OPTIONS", &asked[..1]), None);
}

#[test]
fn which_pages_may_call() {
    let check = |allowed: OriginMatch, origin: &str, expected: bool| {
        let cors = Cors { allow_origins: vec![allowed.clone()], ..Cors::default() };
        let asked = [("origin", origin), ("access-control-request-method", "GET")];
        let reply = answered(FilterConfig::Cors(Box::new(cors.clone())), "OPTIONS", &asked).unwrap();
        let is_allowed = reply.headers.iter().any(|(name, _)| **name == *"access-control-allow-origin");
        assert_eq!(is_allowed, expected, "{allowed:?}: {origin}");
        let forwarded = Cors { unmatched_preflights: UnmatchedPreflights::Forwarded, ..cors };
        let reply = answered(FilterConfig::Cors(Box::new(forwarded)), "OPTIONS", &asked);
        assert_eq!(reply.is_some(), expected, "{allowed:?}: {origin}");
    };
    let wildcard = || OriginMatch::Wildcard { before: "https://".into(), after: ".a.com".into() };
    check(OriginMatch::Exact("https://A.com".into()), "https://a.com", true);
    check(OriginMatch::Exact("https://a.com".into()), "https://a.com.evil", false);
    check(OriginMatch::Prefix("https://a".into()), "https://a.b", true);
    check(OriginMatch::Regex(Pattern("https://[ab]".into())), "https://b", true);
    check(OriginMatch::Regex(Pattern("https://[ab]".into())), "https://bc", false);
    check(OriginMatch::Regex(Pattern("(".into())), "(", false);
    check(wildcard(), "https://x.y.a.com", true);
    check(wildcard(), "https://.a.com", false);
    check(wildcard(), "http://x.a.com", false);
    check(wildcard(), "https://evil.com/.a.com", false);
}

/// Within four standard deviations of a binomial distribution, which one run of 15,000 misses.
#[test]
fn shares_are_what_they_say() {
    let mut dice = Pcg::new(7);
    for (numerator, denominator) in [(0, 100), (1, 1000), (1, 3), (50, 100), (999, 1000), (7, 7), (5, 0)] {
        let share = Fraction { numerator, denominator };
        let hits = (0..10_000).filter(|_| is_among(share, &mut dice)).count() as f64;
        let p = (f64::from(numerator) / f64::from(denominator.max(1))).min(1.0);
        let deviation = (10_000.0 * p * (1.0 - p)).sqrt();
        assert!((hits - 10_000.0 * p).abs() <= 4.0 * deviation, "{share:?}: {hits}");
    }
    assert_eq!(Fraction::percent(0.1), Fraction { numerator: 1_000, denominator: 1_000_000 });
}

#[test]
fn paths_are_rewritten_as_envoy_does() {
    let rewritten = |pattern: &str, substitution: &str, path: &str| {
        let rewrite =
            PathRewrite::Regex { pattern: Pattern(pattern.into()), substitution: substitution.into() };
        let host = Hostname::parse("h").unwrap();
        let filter = FilterConfig::Rewrite(Rewrite { hostname: None, path: Some(rewrite.clone()) });
        let rule = RouteRule {
            filters: vec![filter],
            ..RouteRule::new(
                Parent::Service { host, port: 0 },
                Origin { object: ObjectRef::new("VirtualService", "n", "r"), file: "".into(), line: 0 },
            )
        };
        let patterns = Patterns::of(&rule).unwrap_or_default();
        rewrite_path(&rewrite, &Matched { patterns: &patterns, ..at(path.len(), 80) }, path)
    };
    assert_eq!(
        rewritten("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1/api").unwrap(),
        "/v1/api/instance/foo"
    );
    assert_eq!(rewritten("one", "two", "/xxx/one/yyy/one/zzz").unwrap(), "/xxx/two/yyy/two/zzz");
    assert_eq!(rewritten("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb").unwrap(), "/aaa/yyy/bbb");
    assert_eq!(rewritten("/a", r"\0\\\9", "/a").unwrap(), r"/a\");
    assert_eq!(rewritten("(", "x", "/a"), Err(Reason::FilterFailed));
    let prefix =
        |to: &str, len, path| rewrite_path(&PathRewrite::StringPrefix(to.into()), &at(len, 80), path);
    assert_eq!(prefix("/x", 2, "/abc").unwrap(), "/xbc");
    assert_eq!(prefix("/", 5, "/api/v1").unwrap(), "/v1");
    assert_eq!(prefix("", 4, "/api/v1").unwrap(), "/v1");
}

#[test]
fn a_redirect_may_keep_the_port_that_was_named() {
    let check = |scheme: Option<&str>, hostname: Option<&str>, derived_port, expected: &str| {
        let redirect = Redirect {
            scheme: scheme.map(Into::into),
            hostname: hostname.map(Into::into),
            derived_port,
            status: 301,
            ..Redirect::default()
        };
        let request = RequestView {
            method: "GET",
            host: "a.com:8080",
            path: "/x",
            readings: &[],
            query: Some("q"),
            headers: &(),
        };
        assert_eq!(location(&redirect, &at(0, 9090), &request).unwrap(), expected);
    };
    check(None, None, DerivedPort::Authority, "http://a.com:8080/x?q");
    check(None, Some("b.com"), DerivedPort::Authority, "http://b.com/x?q");
    check(Some("https"), None, DerivedPort::Authority, "https://a.com:8080/x?q");
    check(None, Some("b.com"), DerivedPort::Listener, "http://b.com:9090/x?q");
    check(Some("https"), Some("b.com"), DerivedPort::Listener, "https://b.com:9090/x?q");
}
