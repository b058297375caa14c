//! How a `TrafficPolicy` on a service says that its endpoints are used.

use super::bed::{Application, Proxy, SERVICE, fresh_ip, get, story};
use super::edge::{edge, rule};
use crate::testing::host;
use crate::upstream::retry_state::RetryState;
use http::HeaderValue;
use model::traffic::{
    AttachLevel, AttachedPolicy, ConsistentHash, LoadBalancer, SimpleLoadBalancer, TrafficPolicy,
};
use model::{ObjectRef, Origin, Resource, ResourceKey};

fn attach(proxy: &Proxy, load_balancer: LoadBalancer) {
    let origin = Origin { object: ObjectRef::new("TrafficPolicy", "default", "p"), file: "".into(), line: 0 };
    let key = ResourceKey::TrafficPolicy {
        host: host(SERVICE),
        kind: "TrafficPolicy".into(),
        namespace: "default".into(),
        name: "p".into(),
    };
    let policy = TrafficPolicy { load_balancer: Some(load_balancer), ..TrafficPolicy::default() };
    let attached =
        AttachedPolicy { level: AttachLevel::Backend, origin, created_s: 0, policy: policy.into() };
    proxy.apply(vec![(key, Resource::TrafficPolicy(attached))]);
}

#[test]
fn endpoints_are_used_as_a_traffic_policy_says_and_a_new_one_counts_at_once() {
    story(async {
        let names = ["a", "b", "c"];
        let applications = names.map(|name| Application::named(fresh_ip(), name));
        let addresses = [0, 1, 2].map(|at: usize| applications[at].address);
        let proxy = edge(vec![rule(0, "")], &addresses);
        let mut caller = proxy.enter().await;
        attach(&proxy, LoadBalancer::Simple(SimpleLoadBalancer::RoundRobin));
        let mut seen = String::new();
        for _ in 0..6 {
            seen.push_str(caller.get("/").await.body());
        }
        assert!("abcabcabc".contains(&seen), "{seen}");
        let by = ConsistentHash { http_header_name: "x-user".into() };
        attach(&proxy, LoadBalancer::ConsistentHash(by));
        let mut all = Vec::new();
        for user in 0..64 {
            let mut ask = async || {
                let mut request = get("/");
                request.headers_mut().insert("x-user", HeaderValue::from(user));
                caller.send(request).await.into_body()
            };
            let first = ask().await;
            assert_eq!(first, ask().await, "user {user}");
            all.push(first);
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, names, "users are spread");
    });
}

#[test]
fn a_request_takes_one_turn_however_often_endpoints_are_chosen_for_it() {
    story(async {
        let proxy =
            edge(vec![rule(0, "")], &["192.0.2.1:80".parse().unwrap(), "192.0.2.2:80".parse().unwrap()]);
        attach(&proxy, LoadBalancer::Simple(SimpleLoadBalancer::RoundRobin));
        let entry = proxy.entry();
        let mut firsts = Vec::new();
        for _ in 0..4 {
            let mut retries = RetryState::begin(&proxy.worker.upstream, &entry);
            let first = retries.choose();
            assert_eq!(retries.choose(), first, "nothing was tried meanwhile");
            firsts.push(first);
        }
        assert!(firsts[0] != firsts[1] && firsts[..2] == firsts[2..], "{firsts:?}");
    });
}
