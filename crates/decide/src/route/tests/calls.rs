//! Rules for calls of gRPC as data, and against a naive reading of Gateway API's `GRPCRoute`.

use super::{Asked, check, host_rank, rule, table};
use crate::route::{SourceWorkload, Table, shut_out};
use model::route::{GrpcMethodMatch, PathMatch, Pattern, RouteRule, StringMatch};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::sync::Arc;

/// Of `SERVICE/METHOD`, with `*` for any and `~` before expressions.
pub(super) fn method_match(text: &str) -> GrpcMethodMatch {
    let (is_regex, text) = text.strip_prefix('~').map_or((false, text), |text| (true, text));
    let (service, method) = text.split_once('/').unwrap();
    let part = |text: &str| (text != "*").then(|| Arc::<str>::from(text));
    match is_regex {
        true => {
            GrpcMethodMatch::Regex { service: part(service).map(Pattern), method: part(method).map(Pattern) }
        }
        false => GrpcMethodMatch::Exact { service: part(service), method: part(method) },
    }
}

const GRPC: &str = "content-type:application/grpc";

#[test]
fn a_call_is_found_by_service_then_method_then_headers() {
    let rules = [
        "any kind=grpc -> =*/*",
        "method kind=grpc -> =*/Get",
        "methods kind=grpc -> =~*/G.*",
        "service kind=grpc -> =a.Shop/*",
        "services kind=grpc -> =~a\\..*/*",
        "call kind=grpc -> =a.Shop/Get",
        "header kind=grpc -> =a.Shop/Get h:x=1",
    ];
    let call = |path: &str, expected| check(&rules, &format!("POST h{path} {GRPC}"), expected);
    call("/a.Shop/Get", "call");
    check(&rules, &format!("POST h/a.Shop/Get {GRPC}+proto x:1"), "header");
    call("/a.Shop/Put", "service");
    call("/a.Cart/Get", "services");
    call("/b.Cart/Get", "method");
    call("/b.Cart/Go", "methods");
    call("/b.Cart/Put", "any");
}

#[test]
fn what_is_no_call_is_not_matched() {
    let rules = ["any kind=grpc -> =*/*"];
    check(&rules, &format!("POST h/s/m {GRPC}"), "any");
    check(&rules, &format!("POST h/s/m {GRPC}+json"), "any");
    for other in ["POST h/s/m", "POST h/s/m content-type:application/json"] {
        check(&rules, other, "");
    }
    check(&rules, "POST h/s/m content-type:application/grpc-web", "");
    for path in ["/", "/s", "/s/", "//m", "/s/m/x"] {
        check(&rules, &format!("POST h{path} {GRPC}"), "");
    }
}

#[test]
fn an_expression_of_a_call_that_does_not_compile_matches_nothing() {
    check(&["bad kind=grpc -> =~(/m", "good kind=grpc -> =*/*"], &format!("POST h/(/m {GRPC}"), "good");
}

#[test]
fn at_a_listener_the_older_route_keeps_its_hosts() {
    let grpc = format!("POST a.com/s/m {GRPC}");
    let rules = ["http host=*.com age=1", "grpc kind=grpc host=a.com age=2 -> =*/*"];
    check(&rules, &grpc, "http");
    let rules = ["http host=*.com age=2", "grpc kind=grpc host=a.com age=1 -> =*/*"];
    check(&rules, &grpc, "grpc");
    check(&rules, "GET a.com/", "");
    check(&rules, "GET b.com/", "");
    let rules = ["http host=b.com age=2", "grpc kind=grpc host=a.com age=1 -> =*/*"];
    check(&rules, &grpc, "grpc");
    check(&rules, "GET b.com/", "http");
    // The second is shut out by the first, so that it shuts out nobody.
    let rules =
        ["first host=a.com age=1", "grpc kind=grpc host=a.com host=b.com age=2", "third host=b.com age=3"];
    check(&rules, "GET b.com/", "third");
}

#[test]
fn at_a_port_of_a_service_grpc_routes_count_alone() {
    let grpc = format!("POST h/s/m {GRPC}");
    check(&["http -> /*", "grpc kind=grpc -> =s/*"], &grpc, "grpc");
    check(&["http age=1 -> /*", "grpc kind=grpc age=2 -> =s/*"], "GET h/", "");
    check(&["http -> /*", "grpc kind=grpc port=80 -> =s/*"], "GET h/", "");
    check(&["http -> /*", "grpc kind=grpc port=81 -> =s/*"], "GET h/", "http");
    let two = table(&["http -> /*", "grpc kind=grpc port=80 -> =s/*"]);
    let asked = Asked::parse("GET h/");
    assert!(two.find(81, &SourceWorkload::default(), &asked.view()).unwrap().is_some());
}

/// Names of which any two of the hosts in `any_host` that overlap have one in common.
const NAMES: [&str; 6] = ["a.com", "x.a.com", "y.x.a.com", "b.com", "z.b.com", "c.org"];

fn is_grpc(rule: &RouteRule) -> bool {
    *rule.origin.object.kind == *"GRPCRoute"
}

/// How well a rule's hosts fit; `None`: not at all.
fn at_host(rule: &RouteRule, host: &str) -> Option<(u8, usize)> {
    match rule.hosts.is_empty() {
        true => host_rank(None, host),
        false => rule.hosts.iter().filter_map(|own| host_rank(Some(own), host)).max(),
    }
}

/// The specification read naively: one route after another, the oldest first, against all accepted ones.
fn naive_accepted(rules: &[Arc<RouteRule>]) -> Vec<Arc<RouteRule>> {
    let mut sorted = rules.to_vec();
    sorted.sort_by_key(|rule| (rule.created_s, rule.origin.object.name.clone()));
    let mut accepted: Vec<Arc<RouteRule>> = Vec::new();
    for rule in sorted {
        let meet = |other: &Arc<RouteRule>| {
            is_grpc(other) != is_grpc(&rule)
                && NAMES.iter().any(|name| at_host(other, name).is_some() && at_host(&rule, name).is_some())
        };
        if !accepted.iter().any(meet) {
            accepted.push(rule);
        }
    }
    accepted
}

/// Characters of the service, then of the method; names before expressions, and these before none.
fn call_rank(wanted: &GrpcMethodMatch, service: &str, method: &str) -> Option<[(u8, usize); 2]> {
    let named = |wanted: &Option<Arc<str>>, is: &str| match wanted {
        Some(name) => (**name == *is).then_some((2, name.len())),
        None => Some((0, 0)),
    };
    let matched = |wanted: &Option<Pattern>, is: &str| match wanted {
        Some(text) => {
            let whole = regex::Regex::new(&format!("^(?:{})$", text.0)).unwrap();
            whole.is_match(is).then_some((1, text.0.len()))
        }
        None => Some((0, 0)),
    };
    Some(match wanted {
        GrpcMethodMatch::Exact { service: s, method: m } => [named(s, service)?, named(m, method)?],
        GrpcMethodMatch::Regex { service: s, method: m } => [matched(s, service)?, matched(m, method)?],
    })
}

/// The route that a call follows.
fn naive(
    rules: &[Arc<RouteRule>],
    host: &str,
    (service, method): (&str, &str),
    x: Option<&str>,
) -> Option<u32> {
    let mut found = Vec::new();
    for rule in naive_accepted(rules).iter().filter(|rule| is_grpc(rule)) {
        let Some(at_host) = at_host(rule, host) else { continue };
        for (place, one) in rule.matches.iter().enumerate() {
            let PathMatch::Grpc(wanted) = &one.path else { panic!("{one:?}") };
            let holds = |value: &StringMatch| matches!(value, StringMatch::Exact(text) if Some(&**text) == x);
            if let Some(rank) = call_rank(wanted, service, method)
                && one.headers.iter().all(|header| holds(&header.value))
            {
                let older = Reverse((rule.created_s, rule.origin.object.name.clone(), place));
                found.push(((at_host, rank, one.headers.len(), older), rule.index));
            }
        }
    }
    found.into_iter().max().map(|(_, index)| index)
}

fn any_route() -> impl Strategy<Value = String> {
    let host =
        "( host=(any|a\\.com|\\*\\.com|\\*\\.a\\.com|x\\.a\\.com|b\\.com|\\*\\.b\\.com|\\*\\.org)){1,2}";
    let parts = |service: &'static [&'static str], method: &'static [&'static str]| {
        let pair = (prop::sample::select(service), prop::sample::select(method));
        pair.prop_map(|(service, method)| format!("{service}/{method}"))
    };
    let named = parts(&["=s.A", "=s.B", "=*"], &["Get", "Go", "*"]);
    let matched = parts(&["=~s.+", "=~s\\.[A-B]", "=~*"], &["G.+", "Go", ".*", "*"]);
    let matches = prop::collection::vec((prop_oneof![named, matched], "( h:x=[12])?"), 1..4);
    (prop::bool::weighted(0.7), host, 0u64..4, matches).prop_map(|(is_grpc, host, age, matches)| {
        let matches: Vec<String> = matches.iter().map(|(call, header)| format!("{call}{header}")).collect();
        match is_grpc {
            true => format!("kind=grpc{host} age={age} -> {}", matches.join(" | ")),
            false => format!("age={age}{host} -> /*"),
        }
    })
}

proptest! {
    #[test]
    fn the_table_finds_the_call_that_the_specification_says(
        lines in prop::collection::vec(any_route(), 0..7),
        host in prop::sample::select(&NAMES[..]),
        service in "s\\.[ABC]",
        method in "Get|Go|Put",
        x in proptest::option::of("[12]"),
    ) {
        let named = lines.iter().enumerate().map(|(index, line)| rule(index, &format!("r{index} {line}")));
        let mut rules: Vec<Arc<RouteRule>> = named.collect();
        for rule in &mut rules {
            // A route with a name for any host has no names at all.
            if lines[rule.index as usize].contains("host=any") {
                Arc::make_mut(rule).hosts.clear();
            }
        }
        let header = x.as_ref().map_or(String::new(), |x| format!(" x:{x}"));
        let asked = Asked::parse(&format!("POST {host}/{service}/{method} {GRPC}{header}"));
        let table = Table::compile(rules.iter().cloned());
        let found = table.find(80, &SourceWorkload::default(), &asked.view()).unwrap();
        let found = found.filter(|found| is_grpc(found.rule)).map(|found| found.rule.index);
        prop_assert_eq!(found, naive(&rules, host, (&service, &method), x.as_deref()), "{:?}", lines);

        let left: Vec<u32> = table.rules().map(|rule| rule.index).collect();
        let mut accepted: Vec<u32> = naive_accepted(&rules).iter().map(|rule| rule.index).collect();
        accepted.sort_unstable();
        prop_assert_eq!(left, accepted, "{:?}", lines);
        let shut_out = shut_out(rules.iter().map(|rule| &**rule));
        prop_assert_eq!(shut_out.len() + table.rules().count(), rules.len());
    }
}
