//! Which of several policies counts.

use super::merge;
use model::traffic::{AttachLevel, AttachedPolicy, LoadBalancer, SimpleLoadBalancer, TrafficPolicy};
use model::{ObjectRef, Origin};
use std::sync::Arc;

fn policy(name: &str, level: AttachLevel, created_s: u64, says: bool) -> AttachedPolicy {
    let object = ObjectRef::new("TrafficPolicy", "default", name);
    let load_balancer = says.then_some(LoadBalancer::Simple(SimpleLoadBalancer::LeastRequest));
    let policy = Arc::new(TrafficPolicy { load_balancer, ..TrafficPolicy::default() });
    AttachedPolicy { level, origin: Origin { object, file: "".into(), line: 0 }, created_s, policy }
}

/// Whose word counts, whatever the order in which they are given.
fn check(policies: &[AttachedPolicy], expected: Option<&str>) {
    for turn in 0..policies.len().max(1) {
        let mut policies = policies.to_vec();
        policies.rotate_left(turn);
        let effective = merge(&policies).load_balancer;
        assert_eq!(effective.as_ref().map(|field| &*field.origin.object.name), expected);
    }
}

#[test]
fn the_narrower_counts_then_the_older_then_the_first_by_name() {
    use AttachLevel::{Backend, Gateway, Listener, Route, Rule};
    check(&[], None);
    check(&[policy("a", Backend, 0, false)], None);
    let all = [Gateway, Listener, Route, Rule, Backend];
    for pair in all.windows(2) {
        check(
            &[policy("wide", pair[0].clone(), 1, true), policy("narrow", pair[1].clone(), 2, true)],
            Some("narrow"),
        );
    }
    check(&[policy("new", Route, 2, true), policy("old", Route, 1, true)], Some("old"));
    check(&[policy("b", Route, 1, true), policy("a", Route, 1, true)], Some("a"));
    check(&[policy("silent", Backend, 1, false), policy("wide", Gateway, 2, true)], Some("wide"));
}
