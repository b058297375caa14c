//! Which endpoint: by priority first, then as the service's load balancer says.
//!
//! A balancer is its choice in `model::traffic` (and, beyond a word of `simple`, in the kind `TrafficPolicy` of `api`), a
//! file here and a row of [`of`].

mod least_request;
mod priority;
mod ring_hash;
mod round_robin;
#[cfg(test)]
mod tests;

pub use priority::{Level, Priorities, ProxyLocality, prioritize};

use crate::{Dice, RequestView};
use least_request::LeastRequest;
use model::service::Endpoint;
use model::traffic::{LoadBalancer, SimpleLoadBalancer};
use ring_hash::RingHash;
use round_robin::RoundRobin;
use std::fmt::Debug;
use std::sync::Arc;

/// Chooses among the endpoints of one priority.
pub trait Balancer: Debug + Send + Sync {
    /// What it goes by of a request; `None`: nothing.
    fn hash(&self, _request: &RequestView<'_>) -> Option<u64> {
        None
    }

    /// A usable member of `level`; `None` where none is. `endpoints` is the list that `level` points into.
    fn pick(
        &self,
        level: &Level,
        endpoints: &[Endpoint],
        context: &LoadBalancerContext<'_>,
        dice: &mut dyn Dice,
    ) -> Option<usize>;
}

/// The balancer of a priority: the table.
fn of(how: &LoadBalancer, level: &Level, endpoints: &[Endpoint]) -> Arc<dyn Balancer> {
    match how {
        LoadBalancer::Simple(SimpleLoadBalancer::LeastRequest) => Arc::new(LeastRequest),
        LoadBalancer::Simple(SimpleLoadBalancer::RoundRobin) => Arc::new(RoundRobin::new(level)),
        LoadBalancer::ConsistentHash(by) => Arc::new(RingHash::new(by, level, endpoints)),
    }
}

/// What a balancer may look at.
pub struct LoadBalancerContext<'a> {
    /// What is known of each endpoint, by index.
    pub load: &'a dyn Fn(usize) -> Load,
    /// Whether it may be chosen.
    pub usable: &'a dyn Fn(usize) -> bool,
    /// Of the request, where the load balancer hashes one.
    pub hash: Option<u64>,
    /// How many requests came before this one; the same for each attempt of one request.
    pub turn: &'a dyn Fn() -> u64,
}

/// What is known of an endpoint right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests under way.
    pub active: u32,
    /// Skipped for a while after failures.
    pub ejected: bool,
}

/// What is asked.
pub struct EndpointQuery<'a> {
    /// What is known of each endpoint, by index.
    pub load: &'a dyn Fn(usize) -> Load,
    /// Those that this request has tried.
    pub tried: &'a [usize],
    /// Of the request, where the load balancer hashes one.
    pub hash: Option<u64>,
    /// The endpoint that this session goes to as long as it is usable, whatever its priority.
    pub pinned: Option<usize>,
    /// How many requests came before this one; the same whenever it is asked for one request.
    pub turn: &'a dyn Fn() -> u64,
}

/// Chooses an endpoint: out of the best priority that has one neither ejected nor tried. When there is none such: one
/// that is ejected but not tried, then one that was tried; never `None` unless no endpoint is Ready. `endpoints` must
/// be the list that `priorities` was made from.
pub fn choose(
    priorities: &Priorities,
    endpoints: &[Endpoint],
    query: &EndpointQuery<'_>,
    dice: &mut dyn Dice,
) -> Option<usize> {
    let EndpointQuery { load, tried, hash, turn, .. } = *query;
    let fresh = |index: usize| !tried.contains(&index) && !load(index).ejected;
    if let Some(pinned) = query.pinned.filter(|index| fresh(*index) && priorities.contains(*index)) {
        return Some(pinned);
    }
    let untried = |index: usize| !tried.contains(&index);
    let healthy = |index: usize| !load(index).ejected;
    let wishes: [&dyn Fn(usize) -> bool; 4] = [&fresh, &untried, &healthy, &|_| true];
    wishes.iter().find_map(|usable| {
        let pick = LoadBalancerContext { load, usable, hash, turn };
        priorities.iter().find_map(|(level, balancer)| balancer.pick(level, endpoints, &pick, dice))
    })
}
