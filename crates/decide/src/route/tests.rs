#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Precedence as data, and the compiled table against a naive reading of the specification.

mod calls;

use super::{SourceWorkload, Table};
use crate::{RequestView, listener::host_rank};
use model::route::*;
use model::{Hostname, ObjectRef, Origin};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::sync::Arc;

const TO_SERVICE: &str = "service";

/// A rule from a line such as `name host=*.a.com port=80 age=5 -> /exact | /prefix/* GET h:x=1 q:y=2 | ~/re.*`.
/// Without `host=` it hangs on a service; `order=written` makes it one of Istio's, `kind=grpc` one of a GRPCRoute. Paths
/// that begin with `=` are calls of gRPC, `=SERVICE/METHOD` with `*` for any, `=~` by expressions. Paths ending in `/*` are prefixes, `^`
/// before one makes it a prefix of characters, `%` lets its case be ignored. Values begin with `~` for expressions, `^`
/// for prefixes, and `*` is any. `!:x=1` is a header that must not be there.
fn rule(index: usize, line: &str) -> Arc<RouteRule> {
    let (head, matches) = line.split_once(" -> ").unwrap_or((line, ""));
    let mut words = head.split(' ');
    let name = words.next().unwrap();
    let (mut hosts, mut port, mut created_s) = (Vec::new(), 0, 0);
    let mut precedence = Precedence::Specific;
    let mut kind = "HTTPRoute";
    for word in words {
        match word.split_once('=').unwrap() {
            ("host", "any") => hosts.push(None),
            ("host", host) => hosts.push(Some(host_match(host))),
            ("port", number) => port = number.parse().unwrap(),
            ("age", age) => created_s = age.parse().unwrap(),
            ("order", "written") => precedence = Precedence::Written,
            ("kind", "grpc") => kind = "GRPCRoute",
            other => panic!("{other:?}"),
        }
    }
    let parent = if hosts.is_empty() {
        Parent::Service { host: Hostname::parse(TO_SERVICE).unwrap(), port }
    } else {
        Parent::Gateway { namespace: "n".into(), name: "g".into(), listener: "".into() }
    };
    let object = ObjectRef::new(kind, "default", name);
    Arc::new(RouteRule {
        index: index as u32,
        created_s,
        precedence,
        hosts: hosts.into_iter().flatten().collect(),
        matches: matches.split(" | ").filter(|m| !m.is_empty()).map(route_match).collect(),
        ..RouteRule::new(parent, Origin { object, file: "".into(), line: 0 })
    })
}

fn host_match(text: &str) -> HostMatch {
    match (text.strip_prefix("*."), text.strip_prefix('*')) {
        (Some(suffix), _) => HostMatch::Suffix(Hostname::parse(suffix).unwrap()),
        (None, Some(ending)) => HostMatch::Ending(ending.into()),
        (None, None) => HostMatch::Exact(Hostname::parse(text).unwrap()),
    }
}

fn path_match(text: &str) -> PathMatch {
    let (kind, rest) = (text.as_bytes()[0], &text[1..]);
    match kind {
        b'~' => PathMatch::Regex(Pattern(rest.into())),
        b'^' if rest.starts_with('%') => PathMatch::StringPrefixIgnoreCase(rest[1..].into()),
        b'^' => PathMatch::StringPrefix(rest.into()),
        b'%' => PathMatch::ExactIgnoreCase(rest.into()),
        b'=' => PathMatch::Grpc(Box::new(calls::method_match(rest))),
        _ => match text.strip_suffix("/*") {
            Some(prefix) => PathMatch::Prefix(prefix.into()),
            None => PathMatch::Exact(text.into()),
        },
    }
}

fn string_match(text: &str) -> StringMatch {
    match (text, text.as_bytes()[0]) {
        ("*", _) => StringMatch::Present,
        (_, b'~') => StringMatch::Regex(Pattern(text[1..].into())),
        (_, b'^') => StringMatch::Prefix(text[1..].into()),
        _ => StringMatch::Exact(text.into()),
    }
}

fn route_match(text: &str) -> RouteMatch {
    let mut words = text.split(' ');
    let mut matched = RouteMatch { path: path_match(words.next().unwrap()), ..RouteMatch::default() };
    let mut extra = ExtraConditions::default();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            matched.method = Some(string_match(word));
            continue;
        };
        let named = |kind: &str| {
            let name = name.strip_prefix(kind)?;
            Some(ValueMatch { name: name.into(), value: string_match(value) })
        };
        matched.headers.extend(named("h:"));
        matched.query.extend(named("q:"));
        extra.without_headers.extend(named("!:"));
        let source = || extra.source.clone().unwrap_or_default();
        match name {
            "scheme" => extra.scheme = Some(string_match(value)),
            "authority" => extra.authority = Some(string_match(value)),
            "port" => extra.port = Some(value.parse().unwrap()),
            "from" => extra.source = Some(SourceMatch { namespace: Some(value.into()), ..source() }),
            "app" => {
                let labels = vec![("app".into(), value.into())];
                extra.source = Some(SourceMatch { labels, ..source() });
            }
            _ => {}
        }
    }
    matched.extra = (extra != ExtraConditions::default()).then(|| Box::new(extra));
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
    let found = table.find(80, &SourceWorkload::default(), &asked.view()).unwrap();
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
    assert_eq!(
        table
            .find(80, &SourceWorkload::default(), &Asked::parse("GET h/").view())
            .unwrap()
            .unwrap()
            .rule
            .index,
        0
    );
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
fn a_prefix_of_characters_ends_anywhere() {
    let rules = ["seg -> /a/*", "text -> ^/a", "longer -> ^/abc", "any -> ^%/X"];
    check(&rules, "GET h/a/b", "seg");
    check(&rules, "GET h/ab", "text");
    check(&rules, "GET h/abcd", "longer");
    check(&rules, "GET h/xy", "any");
    check(&rules, "GET h/Xy", "any");
    check(&rules, "GET h/y", "");
    check(&["e -> %/Login"], "GET h/lOGIN", "e");
    check(&["e -> %/Login"], "GET h/login/", "");
}

#[test]
fn what_was_written_first_is_followed_where_that_counts() {
    let rules = ["wide order=written -> ^/", "exact order=written -> /a"];
    check(&rules, "GET h/a", "exact"); // by name: both are routes of their own, of one age
    check(&["z order=written age=1 -> ^/", "a order=written age=2 -> /a"], "GET h/a", "z");
    check(&["r order=written -> ~/a.* | /ab"], "GET h/ab", "r");
    let table =
        table(&["r order=written -> /x", "r order=written -> ^/a | ^/ab", "r order=written -> ^/abc"]);
    let asked = Asked::parse("GET h/abcd");
    let found = table.find(80, &SourceWorkload::default(), &asked.view()).unwrap().unwrap();
    assert_eq!((found.rule.index, found.prefix_len), (1, 2), "the first match says what is covered");
}

#[test]
fn gateway_apis_rules_go_before_istios_and_those_end_the_search() {
    let rules =
        ["own host=a.com order=written -> /only", "every host=any -> /*", "api host=a.com -> /only h:x=1"];
    check(&rules, "GET a.com/only", "own");
    check(&rules, "GET a.com/only x:1", "api");
    check(&rules, "GET a.com/other", "");
    check(&rules, "GET b.com/other", "every");
}

#[test]
fn an_ending_of_a_host_begins_anywhere_and_the_longest_wins() {
    let rules = ["wild host=*.a.com -> /*", "end host=*-x.a.com -> /*", "exact host=1-x.a.com -> /*"];
    check(&rules, "GET 2-x.a.com/", "end");
    check(&rules, "GET 1-x.a.com/", "exact");
    check(&rules, "GET b.2-x.a.com/", "end");
    check(&rules, "GET -x.a.com/", "wild");
    check(&rules, "GET y.a.com/", "wild");
}

#[test]
fn what_only_istio_asks_for_is_asked() {
    check(&["r -> /* !:x=1"], "GET h/", "r");
    check(&["r -> /* !:x=1"], "GET h/ x:1", "");
    check(&["r -> /* !:x=1"], "GET h/ x:2", "r");
    check(&["r -> /* !:x=*"], "GET h/ x:2", "");
    check(&["r -> /* h:x=*"], "GET h/ x:2", "r");
    check(&["r -> /* h:x=*"], "GET h/", "");
    check(&["r -> /* h:x=^a"], "GET h/ x:ab", "r");
    check(&["r -> /* h:x=^a"], "GET h/ x:ba", "");
    check(&["r -> /* q:x=^a"], "GET h/?x=ab", "r");
    check(&["r -> /* q:x=*"], "GET h/?x", "r");
    check(&["r -> /* ^P"], "PUT h/", "r");
    check(&["r -> /* ~P.T"], "POST h/", "");
    check(&["r -> /* scheme=https"], "GET h/ x-forwarded-proto:https", "r");
    check(&["r -> /* scheme=https"], "GET h/", "");
    check(&["r -> /* authority=h"], "GET H:80/", "r");
    check(&["r -> /* authority=h:80"], "GET H:80/", "r");
    check(&["r -> /* authority=h:80"], "GET h:81/", "");
    check(&["r -> /* port=80"], "GET h/", "r");
    check(&["r -> /* port=81"], "GET h/", "");
}

#[test]
fn a_rule_for_other_workloads_is_not_followed() {
    let table = table(&["shop -> /* from=n app=shop", "z -> /*"]);
    let follows = |namespace, app: &str| {
        let labels = [("app".into(), app.into()), ("v".into(), "1".into())];
        let source = SourceWorkload { namespace, labels: &labels };
        let asked = Asked::parse("GET h/");
        table.find(80, &source, &asked.view()).unwrap().unwrap().rule.origin.object.name.to_string()
    };
    assert_eq!(follows("n", "shop"), "shop");
    assert_eq!(follows("m", "shop"), "z");
    assert_eq!(follows("n", "cart"), "z");
    check(&["shop -> /* app=shop"], "GET h/", "");
}

#[test]
fn rules_that_are_all_for_other_workloads_refuse_nothing() {
    let is_refused = |rules: &[&str], app: &str| {
        let labels = [("app".into(), app.into())];
        table(rules).has_rules_for(80, &SourceWorkload { namespace: "n", labels: &labels })
    };
    assert!(is_refused(&["shop -> /x app=shop"], "shop"));
    assert!(!is_refused(&["shop -> /x app=shop", "m -> /* from=m"], "cart"), "no rule is for this one");
    assert!(is_refused(&["shop -> /x app=shop", "z -> /y"], "cart"));
    assert!(is_refused(&["shop -> /x app=shop | /y"], "cart"));
    assert!(!is_refused(&["shop -> /x app=shop", "z port=81 -> /y"], "cart"));
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
    assert!(table.find(80, &SourceWorkload::default(), &asked.view()).unwrap().is_some());
}

/// How specific a match of the path is, and which one of its kind; `None`: it does not.
fn path_rank(wanted: &PathMatch, path: &str) -> Option<(u8, usize, u8)> {
    let lower = |text: &str| text.to_ascii_lowercase();
    match wanted {
        PathMatch::Exact(p) => (**p == *path).then_some((3, 0, 1)),
        PathMatch::ExactIgnoreCase(p) => (lower(p) == lower(path)).then_some((3, 0, 0)),
        PathMatch::Regex(p) => {
            let whole = regex::Regex::new(&format!("^{}$", p.0)).unwrap();
            whole.is_match(path).then_some((2, whole.as_str().len(), 0))
        }
        PathMatch::Prefix(p) => {
            let below = path.strip_prefix(&**p).is_some_and(|r| r.is_empty() || r.starts_with('/'));
            below.then_some((1, p.len(), 2))
        }
        PathMatch::StringPrefix(p) => path.starts_with(&**p).then_some((1, p.len(), 1)),
        PathMatch::StringPrefixIgnoreCase(p) => lower(path).starts_with(&lower(p)).then_some((1, p.len(), 0)),
        PathMatch::Grpc(_) => panic!("none in this test"),
    }
}

fn holds(m: &RouteMatch, asked: &Asked) -> bool {
    let is = |wanted: &StringMatch, value: &str| match wanted {
        StringMatch::Exact(text) => **text == *value,
        StringMatch::Prefix(text) => value.starts_with(&**text),
        StringMatch::Present => true,
        StringMatch::Regex(_) => panic!("none in this test"),
    };
    let has = |pairs: &[(String, String)], wanted: &ValueMatch| {
        pairs.iter().find(|(name, _)| *name == *wanted.name).is_some_and(|(_, v)| is(&wanted.value, v))
    };
    let query: Vec<(String, String)> = asked.query.iter().flat_map(|q| q.split('&')).map(pair_of).collect();
    m.method.as_ref().is_none_or(|method| is(method, &asked.method))
        && m.headers.iter().all(|wanted| has(&asked.headers, wanted))
        && m.query.iter().all(|wanted| has(&query, wanted))
        && m.extra.iter().flat_map(|e| &e.without_headers).all(|not| !has(&asked.headers, not))
}

/// The specification read naively: host by host, every pair of rule and match that holds, the best by the full key.
fn naive(rules: &[Arc<RouteRule>], port: u16, asked: &Asked) -> Option<u32> {
    let mut hosts: Vec<(u8, usize)> = Vec::new();
    let mut at_hosts = Vec::new();
    for rule in rules {
        let (named, port_fits): (Vec<_>, _) = match &rule.parent {
            Parent::Service { port: own, .. } => (vec![None], *own == 0 || *own == port),
            _ if rule.hosts.is_empty() => (vec![None], true),
            _ => (rule.hosts.iter().map(Some).collect(), true),
        };
        let ranks = named.iter().filter_map(|host| host_rank(*host, &asked.host));
        for rank in ranks {
            hosts.push(rank);
            at_hosts.push((rank, rule, port_fits));
        }
    }
    hosts.sort_by_key(|rank| Reverse(*rank));
    hosts.dedup();
    for host in hosts {
        let here = at_hosts.iter().filter(|(rank, ..)| *rank == host);
        let matches = here.clone().flat_map(|(_, rule, fits)| {
            let matches = rule.matches.iter().enumerate().filter(|(_, m)| *fits && holds(m, asked));
            matches.filter_map(|(place, m)| Some((*rule, place, m, path_rank(&m.path, &asked.path)?)))
        });
        let (specific, written): (Vec<_>, Vec<_>) =
            matches.partition(|(rule, ..)| rule.precedence == Precedence::Specific);
        let age =
            |rule: &RouteRule, place| (rule.created_s, rule.origin.object.name.clone(), rule.index, place);
        let best = specific.iter().max_by_key(|(rule, place, m, path)| {
            ((*path, m.method.is_some(), m.headers.len(), m.query.len()), Reverse(age(rule, *place)))
        });
        let first = written.iter().min_by_key(|(rule, place, ..)| age(rule, *place));
        if let Some((rule, ..)) = best.or(first) {
            return Some(rule.index);
        }
        if here.clone().any(|(_, rule, _)| rule.precedence == Precedence::Written) {
            return None;
        }
    }
    None
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
        Just(" host=*x.a.com"),
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
        Just("^/a"),
        Just("^/a/b"),
        Just("^%/A/"),
        Just("%/A"),
    ];
    let rest = ("( GET| \\^P)?", "( h:x=[12])?", "( h:y=\\*| !:y=1| !:x=1)?", "( q:v=[12]| q:v=\\^2)?");
    let matches = prop::collection::vec((path, rest), 1..3);
    let order = prop_oneof![3 => Just(""), 2 => Just(" order=written")];
    ("[rs]", host, 0u64..3, order, matches).prop_map(|(name, host, age, order, matches)| {
        let matches: Vec<_> = matches.iter().map(|(p, (m, x, y, q))| format!("{p}{m}{x}{y}{q}")).collect();
        format!("{name}{host} age={age}{order} -> {}", matches.join(" | "))
    })
}

proptest! {
    #[test]
    fn the_table_finds_what_the_specification_says(
        lines in prop::collection::vec(any_rule(), 0..8),
        method in "GET|POST",
        host in "a\\.com|b\\.com|x\\.a\\.com|org",
        path in "/|/a|/A|/a/|/A/x|/a/b|/a/b/c|/a/bc|/ab|/b",
        query in "(\\?v=[12](&v=1)?)?",
        headers in "( x:[12])?( y:1)?",
    ) {
        let rules: Vec<_> = lines.iter().enumerate().map(|(i, line)| rule(i, line)).collect();
        let asked = Asked::parse(&format!("{method} {host}{path}{query}{headers}"));
        let table = Table::compile(rules.iter().cloned());
        let found = table.find(80, &SourceWorkload::default(), &asked.view()).unwrap().map(|found| found.rule.index);
        prop_assert_eq!(found, naive(&rules, 80, &asked), "{:?}", lines);
    }
}
