#![allow(clippy::unwrap_used)]
//! What a person is told of a request.

use super::{Verdict, explain};
use crate::RequestView;
use crate::authz::Facts;
use crate::route::Table;
use model::authz::{Action, Policy, Rule};
use model::route::{Parent, RouteBackend, RouteRule};
use model::{Hostname, ObjectRef, Origin, Reason};
use std::sync::Arc;

fn origin(kind: &str, name: &str) -> Origin {
    Origin { object: ObjectRef::new(kind, "default", name), file: "x.yaml".into(), line: 7 }
}

fn table(weights: &[u32]) -> Table {
    let host = Hostname::parse("web.mesh.internal").unwrap();
    let backend = |weight: &u32| RouteBackend { host: Some(host.clone()), port: 80, weight: *weight };
    Table::compile([Arc::new(RouteRule {
        parent: Parent::Service { host: host.clone(), port: 0 },
        origin: origin("HTTPRoute", "web"),
        index: 2,
        created_s: 0,
        hosts: Vec::new(),
        matches: Vec::new(),
        filters: Vec::new(),
        backends: weights.iter().map(backend).collect(),
        request_timeout: None,
        backend_timeout: None,
        retry: None,
    })])
}

/// Route name, shares in percent and refusal for a request to `path`.
fn check(table: &Table, policies: &[Arc<Policy>], path: &str, expected: (&str, &[u32], Option<Reason>)) {
    let request = RequestView { method: "GET", host: "web", path, query: None, headers: &() };
    let facts = Facts { peer: None, peer_ip: None, port: 80, http: None };
    let told = explain(table, None, 80, &request, policies, &facts);
    let shares: Vec<_> = told.backends.iter().map(|b| (b.share * 100.0).round() as u32).collect();
    let route = told.rule.as_ref().map_or("", |(origin, _)| &*origin.object.name);
    assert_eq!((route, &*shares, told.refusal), expected, "{told:?}");
}

#[test]
fn it_names_rule_shares_and_refusal() {
    check(&table(&[90, 0, 10]), &[], "/", ("web", &[90, 10], None));
    check(&table(&[0]), &[], "/", ("web", &[], Some(Reason::NoBackend)));
    check(&Table::default(), &[], "/", ("", &[], Some(Reason::NoRoute)));
    check(&table(&[1]), &[], "/a%2fb", ("", &[], Some(Reason::BadPath)));
}

#[test]
fn a_service_without_rules_is_its_own_backend() {
    let host = Hostname::parse("web.mesh.internal").unwrap();
    let request = RequestView { method: "GET", host: "web", path: "/", query: None, headers: &() };
    let facts = Facts { peer: None, peer_ip: None, port: 80, http: None };
    let told = explain(&Table::default(), Some(&host), 80, &request, &[], &facts);
    assert_eq!((told.backends[0].host.as_ref(), told.refusal), (Some(&host), None));
}

#[test]
fn it_names_the_policy_that_denies() {
    let policy = |action, rules| {
        Arc::new(Policy { origin: origin("AuthorizationPolicy", "deny"), action, rules, dry_run: false })
    };
    let denied = [policy(Action::Deny, vec![Rule::default()])];
    check(&table(&[1]), &denied, "/", ("web", &[100], Some(Reason::Denied)));
    check(&table(&[1]), &[policy(Action::Allow, Vec::new())], "/", ("web", &[100], Some(Reason::Denied)));
    let request = RequestView { method: "GET", host: "web", path: "/x/../y", query: None, headers: &() };
    let facts = Facts { peer: None, peer_ip: None, port: 80, http: None };
    let told = explain(&table(&[1]), None, 80, &request, &denied, &facts);
    assert_eq!(told.path.as_deref(), Some("/y"));
    assert_eq!(told.authorization, Verdict::DeniedBy(origin("AuthorizationPolicy", "deny"), 0));
}
