//! Which endpoint: by priority first, then the less busy of two drawn by weight.

#[cfg(test)]
mod tests;

use crate::Dice;
use model::Locality;
use model::service::{Endpoint, EndpointState};
use std::sync::Arc;

/// Draws before the whole priority is looked through; enough when most endpoints are usable.
const DRAWS_MAX: usize = 4;

/// Where a proxy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its cluster.
    pub cluster: Arc<str>,
    /// Its region and zone.
    pub locality: Locality,
}

/// Ready endpoints by priority, best first, as indexes into the list that they were made from.
#[derive(Clone, Debug, Default)]
pub struct Priorities(Vec<Level>);

#[derive(Clone, Debug)]
struct Level {
    members: Vec<u32>,
    /// Running sum of weights, for drawing by binary search.
    up_to: Vec<u64>,
}

impl Priorities {
    /// Indexes of the endpoints of each priority, best first; no priority is empty.
    pub fn levels(&self) -> impl Iterator<Item = &[u32]> {
        self.0.iter().map(|level| level.members.as_slice())
    }

    /// Whether no endpoint is Ready.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Orders the Ready endpoints: own cluster, the clusters of `failover_order`, own region, the rest.
pub fn prioritize(endpoints: &[Endpoint], me: &Place, failover_order: &[Arc<str>]) -> Priorities {
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
        let mut sum = 0;
        let weights = members.iter().map(|index| weight(&endpoints[*index as usize]));
        let up_to = weights.map(|weight| (sum += weight, sum).1).collect();
        Level { members, up_to }
    };
    Priorities(levels.into_iter().filter(|members| !members.is_empty()).map(level).collect())
}

/// What is known of an endpoint right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests under way.
    pub active: u32,
    /// Skipped for a while after failures.
    pub ejected: bool,
}

/// Chooses an endpoint: the less busy of two, out of the best priority that has one neither ejected nor in
/// `tried`. When there is none such: one that is ejected but not tried, then one that was tried; never
/// `None` unless no endpoint is Ready. `endpoints` must be the list that `priorities` was made from.
pub fn choose(
    priorities: &Priorities,
    endpoints: &[Endpoint],
    load: &dyn Fn(usize) -> Load,
    tried: &[usize],
    dice: &mut dyn Dice,
) -> Option<usize> {
    let fresh = |index: usize| !tried.contains(&index) && !load(index).ejected;
    let untried = |index: usize| !tried.contains(&index);
    let healthy = |index: usize| !load(index).ejected;
    let wishes: [&dyn Fn(usize) -> bool; 4] = [&fresh, &untried, &healthy, &|_| true];
    wishes.iter().find_map(|usable| {
        priorities.0.iter().find_map(|level| choose_in(level, endpoints, load, usable, dice))
    })
}

fn choose_in(
    level: &Level,
    endpoints: &[Endpoint],
    load: &dyn Fn(usize) -> Load,
    usable: &dyn Fn(usize) -> bool,
    dice: &mut dyn Dice,
) -> Option<usize> {
    let drawn = draw_pair(level, usable, dice);
    // What was drawn stands: drawing anew here would favour those that luck passed over.
    let first = drawn.first.or_else(|| scan(level, endpoints, usable, None, dice))?;
    let second = drawn.second.or_else(|| scan(level, endpoints, usable, Some(first), dice)).unwrap_or(first);
    // Load relative to weight; on a tie the first draw stands, so that an idle service follows its weights.
    let busy = |a: usize, b: usize| u64::from(load(a).active) * weight(&endpoints[b]);
    Some(if first != second && busy(second, first) < busy(first, second) { second } else { first })
}

/// What a few draws gave; `None` where luck failed.
struct Drawn {
    first: Option<usize>,
    second: Option<usize>,
}

/// Two different usable members drawn by weight; the same one twice when there is only one.
fn draw_pair(level: &Level, usable: &dyn Fn(usize) -> bool, dice: &mut dyn Dice) -> Drawn {
    if let [only] = level.members[..] {
        let only = usable(only as usize).then_some(only as usize);
        return Drawn { first: only, second: only };
    }
    let total = level.up_to.last().copied().unwrap_or(0);
    let mut first = None;
    for _ in 0..DRAWS_MAX {
        let at = dice.below(total);
        let drawn = level.members[level.up_to.partition_point(|sum| *sum <= at)] as usize;
        if first == Some(drawn) || !usable(drawn) {
            continue;
        }
        match first {
            None => first = Some(drawn),
            Some(_) => return Drawn { first, second: Some(drawn) },
        }
    }
    Drawn { first, second: None }
}

/// One usable member other than `except`, drawn by weight after looking at all of them.
fn scan(
    level: &Level,
    endpoints: &[Endpoint],
    usable: &dyn Fn(usize) -> bool,
    except: Option<usize>,
    dice: &mut dyn Dice,
) -> Option<usize> {
    let members = || level.members.iter().map(|index| *index as usize);
    let wanted = || members().filter(|index| Some(*index) != except && usable(*index));
    let total: u64 = wanted().map(|index| weight(&endpoints[index])).sum();
    let mut left = dice.below(total);
    wanted().find(|index| {
        let weight = weight(&endpoints[*index]);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}

fn weight(endpoint: &Endpoint) -> u64 {
    u64::from(endpoint.weight.max(1))
}
