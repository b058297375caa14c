#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Priorities and choices. An endpoint is a letter, its cluster and what is known of it.

use super::{EndpointQuery, Load, Priorities, ProxyLocality};
use crate::RequestView;
use crate::dice::Pcg;
use model::Locality;
use model::service::{Endpoint, EndpointProfile, EndpointState, Reach};
use model::traffic::{ConsistentHash, LoadBalancer, SimpleLoadBalancer};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

fn endpoint(cluster: &str, region: &str, weight: u32, state: EndpointState) -> Endpoint {
    Endpoint {
        uid: "".into(),
        address: [10, 0, 0, 1].into(),
        port: 0,
        weight,
        state,
        profile: Arc::new(EndpointProfile {
            reach: Reach::Native,
            cluster: cluster.into(),
            locality: Locality { region: region.into(), zone: "".into() },
            identities: Vec::new(),
            gateway_identity: None,
            plaintext_ports: Vec::new(),
        }),
    }
}

fn ready(cluster: &str, region: &str) -> Endpoint {
    endpoint(cluster, region, 1, EndpointState::Ready)
}

fn me() -> ProxyLocality {
    ProxyLocality { cluster: "west".into(), locality: Locality { region: "eu".into(), zone: "".into() } }
}

fn prioritize(endpoints: &[Endpoint], me: &ProxyLocality, order: &[Arc<str>]) -> Priorities {
    super::prioritize(endpoints, me, order, &LoadBalancer::default())
}

fn choose(
    priorities: &Priorities,
    endpoints: &[Endpoint],
    load: &dyn Fn(usize) -> Load,
    tried: &[usize],
    dice: &mut Pcg,
) -> Option<usize> {
    super::choose(
        priorities,
        endpoints,
        &EndpointQuery { load, tried, hash: None, pinned: None, turn: &|| 0 },
        dice,
    )
}

fn levels(priorities: &Priorities) -> Vec<Vec<u32>> {
    priorities.levels().map(<[u32]>::to_vec).collect()
}

#[test]
fn own_cluster_then_the_order_then_the_region_then_the_rest() {
    let endpoints =
        [ready("far", "us"), ready("near", "eu"), ready("west", "eu"), ready("b", "us"), ready("a", "us")];
    let order: [Arc<str>; 2] = ["a".into(), "b".into()];
    assert_eq!(levels(&prioritize(&endpoints, &me(), &order)), [[2], [4], [3], [1], [0]]);
    assert_eq!(levels(&prioritize(&endpoints, &me(), &[])), [vec![2], vec![1], vec![0, 3, 4]]);
}

#[test]
fn draining_endpoints_have_no_priority() {
    let endpoints = [endpoint("west", "eu", 1, EndpointState::Draining)];
    let priorities = prioritize(&endpoints, &me(), &[]);
    assert!(priorities.is_empty());
    assert_eq!(choose(&priorities, &endpoints, &|_| Load::default(), &[], &mut Pcg::new(1)), None);
}

/// What 4,000 choices among `endpoints` with `loads` and `tried` fall on, sorted.
fn check(endpoints: &[Endpoint], loads: &[Load], tried: &[usize], expected: &[usize]) {
    let priorities = prioritize(endpoints, &me(), &[]);
    let mut dice = Pcg::new(7);
    let mut chosen: Vec<_> = (0..4_000)
        .map(|_| choose(&priorities, endpoints, &|at| loads[at], tried, &mut dice).unwrap())
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    chosen.sort_unstable();
    assert_eq!(chosen, expected);
}

const IDLE: Load = Load { active: 0, ejected: false };
const BUSY: Load = Load { active: 9, ejected: false };
const EJECTED: Load = Load { active: 0, ejected: true };

#[test]
fn the_next_priority_is_used_when_the_best_has_none() {
    let endpoints = [ready("west", "eu"), ready("west", "eu"), ready("east", "eu")];
    check(&endpoints, &[IDLE, IDLE, IDLE], &[], &[0, 1]);
    check(&endpoints, &[EJECTED, IDLE, IDLE], &[], &[1]);
    check(&endpoints, &[EJECTED, EJECTED, IDLE], &[], &[2]);
    check(&endpoints, &[EJECTED, IDLE, IDLE], &[1], &[2]);
    check(&endpoints, &[EJECTED, EJECTED, EJECTED], &[], &[0, 1]);
    check(&endpoints, &[EJECTED, EJECTED, EJECTED], &[0, 1], &[2]);
    check(&endpoints, &[EJECTED, IDLE, EJECTED], &[0, 1, 2], &[1]);
}

#[test]
fn the_less_busy_of_two_is_chosen() {
    let endpoints = [ready("west", "eu"), ready("west", "eu")];
    check(&endpoints, &[BUSY, IDLE], &[], &[1]);
}

#[test]
fn an_idle_service_follows_its_weights() {
    let endpoints =
        [endpoint("east", "", 3, EndpointState::Ready), endpoint("east", "", 1, EndpointState::Ready)];
    let priorities = prioritize(&endpoints, &me(), &[]);
    let mut dice = Pcg::new(3);
    let mut firsts = 0;
    for _ in 0..10_000 {
        firsts += i32::from(choose(&priorities, &endpoints, &|_| IDLE, &[], &mut dice) == Some(0));
    }
    assert!((7_300..7_700).contains(&firsts), "{firsts} of 10,000 at weight 3 to 1");
}

proptest! {
    #[test]
    fn what_is_draining_or_tried_is_left_alone_while_another_is_there(
        given in prop::collection::vec((0..3usize, 1..4u32, any::<bool>(), 0..5u32, any::<bool>()), 1..20),
        tried in prop::collection::vec(0..20usize, 0..5),
        seed in any::<u64>(),
    ) {
        let endpoints: Vec<_> = given.iter().map(|(cluster, weight, draining, ..)| {
            let state = if *draining { EndpointState::Draining } else { EndpointState::Ready };
            endpoint(["west", "east", "far"][*cluster], "", *weight, state)
        }).collect();
        let load = |at: usize| Load { active: given[at].3, ejected: given[at].4 };
        let priorities = prioritize(&endpoints, &me(), &[Arc::from("east")]);
        let chosen = choose(&priorities, &endpoints, &load, &tried, &mut Pcg::new(seed));
        let is_ready = |at: &usize| endpoints[*at].state == EndpointState::Ready;
        let candidates: Vec<usize> = (0..endpoints.len()).filter(is_ready).collect();
        prop_assert_eq!(chosen.is_some(), !candidates.is_empty());
        let Some(chosen) = chosen else { return Ok(()) };
        prop_assert!(is_ready(&chosen));
        let untried = |at: &usize| !tried.contains(at);
        prop_assert!(untried(&chosen) || !candidates.iter().any(untried));
        let fresh: Vec<_> = candidates.iter().filter(|at| untried(at) && !load(**at).ejected).collect();
        if !fresh.is_empty() {
            let rank = |at: usize| ["west", "east", "far"].iter().position(|c| **c == *endpoints[at].cluster);
            prop_assert!(!load(chosen).ejected);
            prop_assert_eq!(rank(chosen), fresh.iter().map(|at| rank(**at)).min().unwrap());
        }
    }
}

#[test]
fn a_pinned_endpoint_is_kept_as_long_as_it_is_usable() {
    let endpoints =
        [ready("west", "eu"), ready("far", "us"), endpoint("west", "eu", 1, EndpointState::Draining)];
    let priorities = prioritize(&endpoints, &me(), &[]);
    let check = |pinned, loads: &[Load], tried: &[usize], expected| {
        let query =
            EndpointQuery { load: &|at| loads[at], tried, hash: None, pinned: Some(pinned), turn: &|| 0 };
        assert_eq!(super::choose(&priorities, &endpoints, &query, &mut Pcg::new(1)), Some(expected));
    };
    check(1, &[IDLE, IDLE, IDLE], &[], 1);
    check(1, &[IDLE, EJECTED, IDLE], &[], 0);
    check(1, &[IDLE, IDLE, IDLE], &[1], 0);
    check(2, &[IDLE, IDLE, IDLE], &[], 0);
}

/// The endpoints, by index, of the first turns under a load balancer.
fn turns(endpoints: &[Endpoint], loads: &[Load], count: u64) -> Vec<usize> {
    let how = LoadBalancer::Simple(SimpleLoadBalancer::RoundRobin);
    let priorities = super::prioritize(endpoints, &me(), &[], &how);
    let choose = |turn: u64| {
        let query =
            EndpointQuery { load: &|at| loads[at], tried: &[], hash: None, pinned: None, turn: &|| turn };
        super::choose(&priorities, endpoints, &query, &mut Pcg::new(1)).unwrap()
    };
    (0..count).map(choose).collect()
}

#[test]
fn round_robin_goes_from_one_to_the_next_and_passes_by_what_is_ejected() {
    let endpoints = [ready("west", "eu"), ready("west", "eu"), ready("west", "eu")];
    assert_eq!(turns(&endpoints, &[IDLE; 3], 6), [0, 1, 2, 0, 1, 2]);
    assert_eq!(turns(&endpoints, &[IDLE, EJECTED, IDLE], 6), [0, 2, 2, 0, 2, 2]);
    assert_eq!(turns(&endpoints, &[BUSY, IDLE, IDLE], 3), [0, 1, 2], "how busy they are is not asked");
}

#[test]
fn round_robin_follows_weights_and_spreads_them() {
    let ready = |weight| endpoint("west", "eu", weight, EndpointState::Ready);
    let endpoints = [ready(5), ready(1), ready(2)];
    let chosen = turns(&endpoints, &[IDLE; 3], 8);
    let count = |wanted: usize| chosen.iter().filter(|index| **index == wanted).count();
    assert_eq!([count(0), count(1), count(2)], [5, 1, 2], "{chosen:?}");
    assert!(!chosen.windows(4).any(|run| run == [0, 0, 0, 0]), "{chosen:?}");
}

fn ring(endpoints: &[Endpoint]) -> Priorities {
    let by = ConsistentHash { http_header_name: "x-user".into() };
    super::prioritize(endpoints, &me(), &[], &LoadBalancer::ConsistentHash(by))
}

/// Where the requests of so many users go.
fn users(endpoints: &[Endpoint], count: usize) -> Vec<String> {
    let priorities = ring(endpoints);
    let of = |user: usize| {
        let headers = vec![("x-user".to_owned(), format!("user-{user}"))];
        let (method, host, path, query) = ("GET", "a", "/", None);
        let request = RequestView { method, host, path, readings: &[], query, headers: &headers };
        let hash = priorities.hash(&request);
        let query = EndpointQuery { load: &|_| BUSY, tried: &[], hash, pinned: None, turn: &|| 0 };
        let chosen = super::choose(&priorities, endpoints, &query, &mut Pcg::new(user as u64)).unwrap();
        endpoints[chosen].uid.to_string()
    };
    (0..count).map(of).collect()
}

fn named(uid: &str, weight: u32) -> Endpoint {
    Endpoint { uid: uid.into(), ..endpoint("west", "eu", weight, EndpointState::Ready) }
}

#[test]
fn ring_hash_sends_a_user_to_one_endpoint_and_moves_few_when_one_goes() {
    let endpoints: Vec<Endpoint> = ["a", "b", "c", "d"].map(|uid| named(uid, 1)).to_vec();
    let before = users(&endpoints, 4_000);
    assert_eq!(before, users(&endpoints, 4_000), "whatever the dice");
    let share = |uid: &str| before.iter().filter(|chosen| *chosen == uid).count();
    for uid in ["a", "b", "c", "d"] {
        assert!((700..1_300).contains(&share(uid)), "{} of 4,000 at {uid}", share(uid));
    }
    let after = users(&endpoints[..3], 4_000);
    for (before, after) in before.iter().zip(&after).filter(|(before, _)| *before != "d") {
        assert_eq!(before, after, "who was elsewhere stays");
    }
    let weighted = users(&[named("a", 3), named("b", 1)], 4_000);
    let light = weighted.iter().filter(|chosen| *chosen == "b").count();
    assert!((700..1_300).contains(&light), "{light} of 4,000 at a quarter of the weight");
}

#[test]
fn ring_hash_without_the_header_goes_anywhere_and_a_retry_elsewhere() {
    let endpoints = [named("a", 1), named("b", 1)];
    let priorities = ring(&endpoints);
    let choose = |hash, tried: &[usize], dice: &mut Pcg| {
        let query = EndpointQuery { load: &|_| IDLE, tried, hash, pinned: None, turn: &|| 0 };
        super::choose(&priorities, &endpoints, &query, dice).unwrap()
    };
    let mut dice = Pcg::new(1);
    let anywhere: HashSet<usize> = (0..100).map(|_| choose(None, &[], &mut dice)).collect();
    assert_eq!(anywhere.len(), 2);
    let first = choose(Some(7), &[], &mut dice);
    assert_eq!(choose(Some(7), &[first], &mut dice), 1 - first);
    let request =
        RequestView { method: "GET", host: "a", path: "/", readings: &[], query: None, headers: &() };
    assert_eq!(priorities.hash(&request), None);
}
