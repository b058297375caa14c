#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
//! Precedence as data, and names against a naive reading.

use super::{ConnectionView, L4Table, choose_backend};
use crate::dice::Pcg;
use crate::listener::host_rank;
use model::authz::Cidr;
use model::l4_route::{L4Match, L4Rule};
use model::route::{HostMatch, Parent, RouteBackend};
use model::{Hostname, ObjectRef, Origin, Reason};
use proptest::prelude::*;
use std::sync::Arc;

/// A rule from a line such as `name at=80 age=5 -> sni=*.a.com to=10.0.0.0/8 from=10.1.0.0/16 port=443 | sni=b.com`.
/// `at` is the port of the service that it hangs on.
fn rule(index: usize, line: &str) -> Arc<L4Rule> {
    let (head, matches) = line.split_once(" -> ").unwrap_or((line, ""));
    let mut words = head.split(' ');
    let name = words.next().unwrap();
    let (mut port, mut created_s) = (0, 0);
    for word in words {
        match word.split_once('=').unwrap() {
            ("at", number) => port = number.parse().unwrap(),
            ("age", age) => created_s = age.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    Arc::new(L4Rule {
        parent: Parent::Service { host: Hostname::parse("service").unwrap(), port },
        origin: Origin { object: ObjectRef::new("TCPRoute", "default", name), file: "".into(), line: 0 },
        index: index as u32,
        created_s,
        consumer: None,
        matches: matches.split(" | ").filter(|text| !text.is_empty()).map(l4_match).collect(),
        backends: Vec::new(),
    })
}

fn l4_match(text: &str) -> L4Match {
    let mut matched = L4Match::default();
    for word in text.split(' ') {
        match word.split_once('=').unwrap() {
            ("sni", name) => matched.server_names.push(host_match(name)),
            ("to", block) => matched.destinations.push(Cidr::parse(block).unwrap()),
            ("from", block) => matched.sources.push(Cidr::parse(block).unwrap()),
            ("port", port) => matched.port = port.parse().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    matched
}

fn host_match(text: &str) -> HostMatch {
    match text.strip_prefix("*.") {
        Some(suffix) => HostMatch::Suffix(Hostname::parse(suffix).unwrap()),
        None => HostMatch::Exact(Hostname::parse(text).unwrap()),
    }
}

/// `SNI PORT DESTINATION SOURCE`, `-` for what is not there.
fn check(rules: &[&str], connection: &str, expected: &str) {
    let table = L4Table::compile(rules.iter().enumerate().map(|(index, line)| rule(index, line)));
    let mut words =
        connection.split(' ').map(|word| (word != "-").then_some(word)).chain(std::iter::repeat(None));
    let view = ConnectionView {
        server_name: words.next().unwrap(),
        port: words.next().unwrap().map_or(0, |port| port.parse().unwrap()),
        destination: words.next().unwrap().map(|ip| ip.parse().unwrap()),
        source: words.next().unwrap().map(|ip| ip.parse().unwrap()),
    };
    let found = table.find(&view).map_or("none", |rule| &rule.origin.object.name);
    assert_eq!(found, expected, "{rules:?} {connection}");
}

#[test]
fn the_more_specific_server_name_wins() {
    let rules = ["any", "wide -> sni=*.com", "wild -> sni=*.a.com", "exact -> sni=x.a.com"];
    check(&rules, "x.a.com 443", "exact");
    check(&rules, "X.A.Com. 443", "exact");
    check(&rules, "y.a.com 443", "wild");
    check(&rules, "y.x.a.com 443", "wild");
    check(&rules, "a.com 443", "wide");
    check(&rules, "com 443", "any");
    check(&rules, ".com 443", "any");
    check(&rules, "- 443", "any");
    check(&rules[1..], "- 443", "none");
}

#[test]
fn then_the_longer_block_of_the_address_that_was_called() {
    let rules =
        ["any", "net -> to=10.0.0.0/8", "host -> to=10.1.1.1 | to=192.0.2.0/24", "six -> to=fd00::/8"];
    check(&rules, "- 80 10.1.1.1", "host");
    check(&rules, "- 80 10.1.1.2", "net");
    check(&rules, "- 80 ::ffff:10.1.1.2", "net");
    check(&rules, "- 80 192.0.2.9", "host");
    check(&rules, "- 80 fd00::1", "six");
    check(&rules, "- 80 -", "any");
}

#[test]
fn then_the_older_route_and_its_name() {
    check(&["young age=7", "old age=5"], "- 80", "old");
    check(&["b age=5", "a age=5"], "- 80", "a");
    check(&["a", "a"], "- 80", "a");
}

#[test]
fn who_loses_on_a_later_condition_leaves_it_to_the_next() {
    let rules = ["here -> sni=a.com from=10.0.0.0/8", "there -> sni=*.com", "port -> port=8443"];
    check(&rules, "a.com 443 - 10.0.0.1", "here");
    check(&rules, "a.com 443 - 192.0.2.1", "there");
    check(&rules, "a.org 8443", "port");
    check(&rules, "a.org 443", "none");
}

#[test]
fn a_rule_of_a_service_is_for_its_port_or_for_all() {
    let rules = ["a at=80", "b at=81"];
    check(&rules, "- 80", "a");
    check(&rules, "- 81", "b");
    check(&rules, "- 82", "none");
    let table = L4Table::compile([rule(0, "a at=80")]);
    assert!(table.has_rules(80) && !table.has_rules(81) && !table.asks_server_name());
    assert!(L4Table::compile([rule(0, "a -> sni=a.com")]).asks_server_name());
}

#[test]
fn a_backend_is_chosen_by_weight_and_what_leads_nowhere_is_refused() {
    let backend = |name: Option<&str>, weight| {
        RouteBackend::new(name.map(|name| Hostname::parse(name).unwrap()), 5432, weight)
    };
    let mut dice = Pcg::new(7);
    let mut count = |backends: Vec<RouteBackend>, wanted: Result<&str, Reason>| {
        let rule = L4Rule { backends, ..L4Rule::clone(&rule(0, "a")) };
        let choices =
            (0..1000).map(|_| choose_backend(&rule, &mut dice).map(|(host, port)| (host.to_string(), port)));
        choices.filter(|choice| *choice == wanted.map(|name| (name.to_owned(), 5432))).count()
    };
    let share = count(vec![backend(Some("a"), 3), backend(Some("b"), 1), backend(Some("c"), 0)], Ok("a"));
    assert!((700..800).contains(&share), "{share}");
    assert_eq!(count(vec![backend(Some("a"), 1)], Ok("a")), 1000);
    assert_eq!(count(vec![backend(Some("a"), 0)], Err(Reason::NoBackend)), 1000);
    assert_eq!(count(Vec::new(), Err(Reason::NoBackend)), 1000);
    let lost = count(vec![backend(Some("a"), 1), backend(None, 1)], Err(Reason::NoBackend));
    assert!((450..550).contains(&lost), "{lost}");
}

proptest! {
    #[test]
    fn names_are_found_as_a_slow_reader_finds_them(
        patterns in proptest::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,2}", 0..8),
        name in "[ab](\\.[ab]){0,3}",
    ) {
        let lines: Vec<String> =
            patterns.iter().enumerate().map(|(age, name)| format!("r{age} age={age} -> sni={name}")).collect();
        let table = L4Table::compile(lines.iter().enumerate().map(|(index, line)| rule(index, line)));
        let ranked = patterns.iter().enumerate().filter_map(|(index, pattern)| {
            Some((host_rank(Some(&host_match(pattern)), &name)?, std::cmp::Reverse(index)))
        });
        let slow = ranked.max().map(|(_, std::cmp::Reverse(index))| index as u32);
        let view = ConnectionView { server_name: Some(&name), ..ConnectionView::default() };
        prop_assert_eq!(table.find(&view).map(|rule| rule.index), slow);
    }
}
