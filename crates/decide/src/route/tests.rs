#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Precedence as data, and the compiled table against a naive reading of the specification.

use super::Table;
use crate::{RequestView, listener::host_rank};
use model::route::*;
use model::{Hostname, ObjectRef, Origin};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::sync::Arc;

const TO_SERVICE: &str = "service";

/// A rule from a line such as `name host=*.a.com port=80 age=5 = /exact | /prefix/* GET h:x=1 q:y=2 | ~/re.*`.
/// Without `host=` it hangs on a service. Paths ending in `/*` are prefixes, `=` before one makes it exact.
fn rule(index: usize, line: &str) -> Arc<RouteRule> {
    let (head, matches) = line.split_once(" -> ").unwrap_or((line, ""));
    let mut words = head.split(' ');
    let name = words.next().unwrap();
    let (mut hosts, mut port, mut created_s) = (Vec::new(), 0, 0);
    for word in words {
        match word.split_once('=').unwrap() {
            ("host", "any") => hosts.push(None),
            ("host", host) => hosts.push(Some(host_match(host))),
            ("port", number) => port = number.parse().unwrap(),
            ("age", age) => created_s = age.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let parent = if hosts.is_empty() {
        Parent::Service { host: Hostname::parse(TO_SERVICE).unwrap(), port }
    } else {
        Parent::Gateway { namespace: "n".into(), name: "g".into(), listener: "".into() }
    };
    Arc::new(RouteRule {
        parent,
        origin: Origin { object: ObjectRef::new("HTTPRoute", "default", name), file: "".into(), line: 0 },
        index: index as u32,
        created_s,
        consumer: None,
        hosts: hosts.into_iter().flatten().collect(),
        matches: matches.split(" | ").filter(|m| !m.is_empty()).map(route_match).collect(),
        filters: Vec::new(),
        backends: Vec::new(),
        request_timeout: None,
        backend_timeout: None,
        retry: None,
    })
}

fn host_match(text: &str) -> HostMatch {
    match text.strip_prefix("*.") {
        Some(suffix) => HostMatch::Suffix(Hostname::parse(suffix).unwrap()),
        None => HostMatch::Exact(Hostname::parse(text).unwrap()),
    }
}

fn route_match(text: &str) -> RouteMatch {
    let mut words = text.split(' ');
    let path = words.next().unwrap();
    let path = match path.as_bytes().first() {
        Some(b'~') => PathMatch::Regex(Pattern(path[1..].into())),
        _ => match path.strip_suffix("/*") {
            Some(prefix) => PathMatch::Prefix(prefix.into()),
            None => PathMatch::Exact(path.into()),
        },
    };
    let mut matched = RouteMatch { path, method: None, headers: Vec::new(), query: Vec::new() };
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            matched.method = Some(word.into());
            continue;
        };
        let value = match value.strip_prefix('~') {
            Some(regex) => StringMatch::Regex(Pattern(regex.into())),
            None => StringMatch::Exact(value.into()),
        };
        let list = if name.starts_with("h:") { &mut matched.headers } else { &mut matched.query };
        list.push(ValueMatch { name: name[2..].into(), value });
    }
    matched
}

/// A request from `METHOD host/path?query name:value ...`.
struct Asked {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Asked {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        let method = words.next().unwrap().to_owned();
        let target = words.next().unwrap();
        let (host, rest) = target.split_at(target.find('/').unwrap());
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let pair = |word: &str| word.split_once(':').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        Self {
            method,
            host: host.to_owned(),
            path: path.to_owned(),
            query,
            headers: words.map(pair).collect(),
        }
    }

    fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            host: &self.host,
            path: &self.path,
            readings: &[],
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }
}

fn table(lines: &[&str]) -> Table {
    Table::compile(lines.iter().enumerate().map(|(index, line)| rule(index, line)))
}

/// The name of the rule's route that `request` on port 80 follows; empty: none.
fn check(rules: &[&str], request: &str, expected: &str) {
    let (table, asked) = (table(rules), Asked::parse(request));
    let found = table.find(80, &asked.view()).unwrap();
    let name = found.map_or("", |found| &found.rule.origin.object.name);
    assert_eq!(name, expected, "{request} among {rules:?}");
}

#[test]
fn exact_beats_regex_beats_the_longest_prefix() {
    let rules = ["all", "a -> /a/*", "ab -> /a/b/*", "exact -> /a/b/c", "regex -> ~/a/[xy]"];
    check(&rules, "GET h/a/b/c", "exact");
    check(&rules, "GET h/a/b/c/d", "ab");
    check(&rules, "GET h/a/b", "ab");
    check(&rules, "GET h/a/x", "regex");
    check(&rules, "GET h/a/xx", "a");
    check(&rules, "GET h/a/", "a");
    check(&rules, "GET h/ab", "all");
    check(&rules, "GET h/", "all");
}

#[test]
fn method_then_headers_then_query_break_ties() {
    let rules = ["plain -> /*", "q -> /* q:v=1", "h -> /* h:x=1", "hh -> /* h:x=1 h:y=1", "m -> /* POST"];
    check(&rules, "GET h/?v=1", "q");
    check(&rules, "GET h/?v=1 x:1", "h");
    check(&rules, "GET h/ x:1 y:1", "hh");
    check(&rules, "POST h/ x:1 y:1", "m");
    check(&rules, "post h/", "plain");
}

#[test]
fn the_older_route_wins_then_the_name_then_the_place() {
    check(&["young age=9 -> /*", "old age=3 -> /*"], "GET h/", "old");
    check(&["b age=3 -> /*", "a age=3 -> /*"], "GET h/", "a");
    let table = table(&["a -> /*", "a -> /*"]);
    assert_eq!(table.find(80, &Asked::parse("GET h/").view()).unwrap().unwrap().rule.index, 0);
}

#[test]
fn hosts_go_before_paths() {
    let rules = [
        "any host=any -> /long/path",
        "wild host=*.a.com -> /*",
        "wilder host=*.b.a.com -> /*",
        "exact host=x.b.a.com -> /only",
    ];
    check(&rules, "GET x.b.a.com/only", "exact");
    check(&rules, "GET X.B.A.com:80/other", "wilder");
    check(&rules, "GET y.a.com./long/path", "wild");
    check(&rules, "GET a.com/long/path", "any");
    check(&rules, "GET a.com/", "");
    check(&rules, "GET .a.com/", "");
}

#[test]
fn a_service_port_limits_a_rule() {
    check(&["other port=81 -> /a", "every -> /*"], "GET h/a", "every");
    check(&["this port=80 -> /a", "every -> /*"], "GET h/a", "this");
}

#[test]
fn values_are_compared_whole() {
    check(&["r -> /* h:x=~a.*c"], "GET h/ x:abc", "r");
    check(&["r -> /* h:x=~b"], "GET h/ x:abc", "");
    check(&["r -> /* h:x=1,2"], "GET h/ x:1 x:2", "r");
    check(&["r -> /* h:x=1"], "GET h/ x:1 x:2", "");
    check(&["r -> /* q:a=1+1"], "GET h/?a=1%2B1", "r");
    check(&["r -> /* q:a=1"], "GET h/?b=0&a=1&a=2", "r");
    check(&["r -> /* q:a=1"], "GET h/?a=2&a=1", "");
    check(&["r -> /* q:a=1"], "GET h/?a=%zz", "");
}

#[test]
fn an_expression_that_does_not_compile_matches_nothing() {
    check(&["bad -> ~/(", "good -> /*"], "GET h/(", "good");
    check(&["bad -> ~a)|(?:.*", "good -> /*"], "GET h/a", "good");
    check(&["bad -> /* h:x=~(", "good -> /*"], "GET h/ x:(", "good");
}

#[test]
fn what_users_write_is_spelled_canonically() {
    check(&["r -> /caf%c3%a9"], "GET h/caf%C3%A9", "r");
    check(&["r -> /a{b}/*"], "GET h/a%7Bb%7D/c", "r");
}

#[test]
fn a_path_of_very_many_segments_costs_nothing() {
    let table = table(&["a -> /a/*", "all -> /*"]);
    let asked = Asked::parse(&format!("GET {}/{}", "a.".repeat(20_000), "a/".repeat(200_000)));
    assert!(table.find(80, &asked.view()).unwrap().is_some());
}

/// The specification read naively: every pair of rule and match that holds, the best by the full key.
fn naive(rules: &[Arc<RouteRule>], port: u16, asked: &Asked) -> Option<u32> {
    let path = |m: &PathMatch| match m {
        PathMatch::Exact(p) => (**p == asked.path).then_some((2, p.len())),
        PathMatch::Prefix(p) => {
            let below = asked.path.strip_prefix(&**p).is_some_and(|r| r.is_empty() || r.starts_with('/'));
            below.then_some((0, p.len()))
        }
        PathMatch::Regex(p) => {
            let whole = regex::Regex::new(&format!("^{}$", p.0)).unwrap();
            whole.is_match(&asked.path).then_some((1, whole.as_str().len()))
        }
    };
    let has = |pairs: &[(String, String)], wanted: &ValueMatch| {
        let StringMatch::Exact(value) = &wanted.value else { panic!("exact only") };
        pairs.iter().find(|(name, _)| *name == *wanted.name).is_some_and(|(_, v)| *v == **value)
    };
    let query: Vec<(String, String)> = asked.query.iter().flat_map(|q| q.split('&')).map(pair_of).collect();
    let mut best = None;
    for (at, rule) in rules.iter().enumerate() {
        let (hosts, port_fits): (Vec<_>, _) = match &rule.parent {
            Parent::Service { port: own, .. } => (vec![None], *own == 0 || *own == port),
            _ if rule.hosts.is_empty() => (vec![None], true),
            _ => (rule.hosts.iter().map(Some).collect(), true),
        };
        for (place, m) in rule.matches.iter().enumerate() {
            let holds = port_fits
                && m.method.as_deref().is_none_or(|method| method == asked.method)
                && m.headers.iter().all(|wanted| has(&asked.headers, wanted))
                && m.query.iter().all(|wanted| has(&query, wanted));
            let host = hosts.iter().filter_map(|host| host_rank(*host, &asked.host)).max();
            let (true, Some(host), Some(path)) = (holds, host, path(&m.path)) else { continue };
            let key = (
                (host, path, m.method.is_some(), m.headers.len(), m.query.len()),
                Reverse((rule.created_s, rule.origin.object.name.clone(), rule.index, place)),
            );
            if best.as_ref().is_none_or(|(other, _)| key > *other) {
                best = Some((key, at as u32));
            }
        }
    }
    best.map(|(_, at)| at)
}

fn pair_of(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}

fn any_rule() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        Just(""),
        Just(" host=any"),
        Just(" host=a.com"),
        Just(" host=*.com"),
        Just(" host=*.a.com"),
        Just(" port=80"),
        Just(" port=81"),
    ];
    let path = prop_oneof![
        Just("/*"),
        Just("/a/*"),
        Just("/a/b/*"),
        Just("/a"),
        Just("/a/b"),
        Just("~/a.*"),
        Just("~/[ab]"),
    ];
    let rest = ("( GET)?", "( h:x=[12])?", "( h:y=1)?", "( q:v=[12])?");
    let matches = prop::collection::vec((path, rest), 1..3);
    ("[rs]", host, 0u64..3, matches).prop_map(|(name, host, age, matches)| {
        let matches: Vec<_> = matches.iter().map(|(p, (m, x, y, q))| format!("{p}{m}{x}{y}{q}")).collect();
        format!("{name}{host} age={age} -> {}", matches.join(" | "))
    })
}

proptest! {
    #[test]
    fn the_table_finds_what_the_specification_says(
        lines in prop::collection::vec(any_rule(), 0..8),
        method in "GET|POST",
        host in "a\\.com|b\\.com|x\\.a\\.com|org",
        path in "/|/a|/a/|/a/b|/a/b/c|/ab|/b",
        query in "(\\?v=[12](&v=1)?)?",
        headers in "( x:[12])?( y:1)?",
    ) {
        let rules: Vec<_> = lines.iter().enumerate().map(|(i, line)| rule(i, line)).collect();
        let asked = Asked::parse(&format!("{method} {host}{path}{query}{headers}"));
        let table = Table::compile(rules.iter().cloned());
        let found = table.find(80, &asked.view()).unwrap().map(|found| found.rule.index);
        prop_assert_eq!(found, naive(&rules, 80, &asked), "{:?}", lines);
    }
}
