#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::ServiceRules;
use crate::l4_route::{ConnectionView, L4Table};
use model::l4_route::L4Rule;
use model::route::Parent;
use model::{Hostname, ObjectRef, Origin};
use std::sync::Arc;

/// Rules such as `name port consumer`, and which of them a caller of a namespace follows at a port.
fn check(rules: &[(&str, u16, Option<&str>)], namespace: &str, port: u16, expected: Option<&str>) {
    let rule = |(name, port, consumer): &(&str, u16, Option<&str>)| {
        Arc::new(L4Rule {
            parent: Parent::Service { host: Hostname::parse("s").unwrap(), port: *port },
            origin: Origin { object: ObjectRef::new("TCPRoute", "n", name), file: "".into(), line: 0 },
            index: 0,
            created_s: 0,
            consumer: consumer.map(Into::into),
            matches: Vec::new(),
            backends: Vec::new(),
        })
    };
    let rules = ServiceRules::<L4Table>::compile(rules.iter().map(rule), namespace);
    let view = ConnectionView { port, ..ConnectionView::default() };
    let found = rules.at(port).find(&view).map(|rule| rule.origin.object.name.to_string());
    assert_eq!(found.as_deref(), expected, "{namespace} {port}");
}

#[test]
fn a_consumers_rules_count_for_its_namespace_alone_and_come_first() {
    let rules = [("producer", 0, None), ("a", 0, Some("a")), ("b", 81, Some("b"))];
    check(&rules, "a", 80, Some("a"));
    check(&rules, "c", 80, Some("producer"));
    check(&rules, "b", 81, Some("b"));
    check(&rules, "b", 80, Some("producer"));
    check(&rules[1..], "c", 80, None);
    check(&rules[..1], "a", 80, Some("producer"));
}
