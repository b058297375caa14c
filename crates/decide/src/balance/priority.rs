//! Ready endpoints by priority: how near they are, and in which order clusters take over.

use super::{Balancer, of};
use crate::RequestView;
use model::Locality;
use model::service::{Endpoint, EndpointState};
use model::traffic::LoadBalancer;
use std::sync::Arc;

/// Where a proxy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyLocality {
    /// Its cluster.
    pub cluster: Arc<str>,
    /// Its region and zone.
    pub locality: Locality,
}

/// Ready endpoints by priority, best first, as indexes into the list that they were made from; each priority with the
/// balancer that chooses among its own.
#[derive(Clone, Debug, Default)]
pub struct Priorities(Vec<(Level, Arc<dyn Balancer>)>);

/// The endpoints of one priority.
#[derive(Clone, Debug)]
pub struct Level {
    /// Indexes, ascending; never empty.
    pub members: Box<[u32]>,
    weights: Weights,
}

/// Of the members of a level.
#[derive(Clone, Debug)]
enum Weights {
    /// All have this one.
    Equal(u64),
    /// Running sum, for drawing by binary search.
    UpTo(Box<[u64]>),
}

impl Level {
    fn new(members: Vec<u32>, endpoints: &[Endpoint]) -> Self {
        let weights = || members.iter().map(|index| weight(&endpoints[*index as usize]));
        let first = weights().next().unwrap_or(1);
        let mut sum = 0;
        let weights = match weights().all(|weight| weight == first) {
            true => Weights::Equal(first),
            false => Weights::UpTo(weights().map(|weight| (sum += weight, sum).1).collect()),
        };
        Self { weights, members: members.into() }
    }

    /// Sum of the weights.
    pub fn weight(&self) -> u64 {
        match &self.weights {
            Weights::Equal(weight) => weight * self.members.len() as u64,
            Weights::UpTo(sums) => sums.last().copied().unwrap_or(0),
        }
    }

    /// Which member has weight number `at`, from 0 up to [`Level::weight`]; its place in `members`.
    pub fn place_of(&self, at: u64) -> usize {
        let place = match &self.weights {
            Weights::Equal(weight) => (at / weight) as usize,
            Weights::UpTo(sums) => sums.partition_point(|sum| *sum <= at),
        };
        place.min(self.members.len().saturating_sub(1))
    }
}

impl Priorities {
    /// Indexes of the endpoints of each priority, best first; no priority is empty.
    pub fn levels(&self) -> impl Iterator<Item = &[u32]> {
        self.0.iter().map(|(level, _)| &*level.members)
    }

    /// What the load balancer goes by of a request.
    pub fn hash(&self, request: &RequestView<'_>) -> Option<u64> {
        self.0.first()?.1.hash(request)
    }

    /// Whether this endpoint is Ready.
    pub(super) fn contains(&self, index: usize) -> bool {
        self.levels().flatten().any(|member| *member as usize == index)
    }

    /// Each priority with its balancer.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Level, &dyn Balancer)> {
        self.0.iter().map(|(level, balancer)| (level, &**balancer))
    }

    /// Whether no endpoint is Ready.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Orders the Ready endpoints: own cluster, the clusters of `failover_order`, own region, the rest.
/// `how` says how one of the same priority is chosen.
pub fn prioritize(
    endpoints: &[Endpoint],
    me: &ProxyLocality,
    failover_order: &[Arc<str>],
    how: &LoadBalancer,
) -> Priorities {
    let rank = |endpoint: &Endpoint| {
        if endpoint.cluster == me.cluster {
            return 0;
        }
        if let Some(at) = failover_order.iter().position(|cluster| *cluster == endpoint.cluster) {
            return 1 + at;
        }
        let region = &endpoint.locality.region;
        let same_region = !region.is_empty() && *region == me.locality.region;
        1 + failover_order.len() + usize::from(!same_region)
    };
    let mut levels: Vec<Vec<u32>> = vec![Vec::new(); failover_order.len() + 3];
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoint.state == EndpointState::Ready {
            levels[rank(endpoint)].push(index as u32);
        }
    }
    let level = |members: Vec<u32>| {
        let level = Level::new(members, endpoints);
        let balancer = of(how, &level, endpoints);
        (level, balancer)
    };
    Priorities(levels.into_iter().filter(|members| !members.is_empty()).map(level).collect())
}

/// Share of traffic, from 1.
pub(super) fn weight(endpoint: &Endpoint) -> u64 {
    u64::from(endpoint.weight.max(1))
}
