//! Requests that are alike go to the same endpoint, and keep to it when others come or go (ketama, Envoy's `RING_HASH`):
//! each endpoint has points on a ring, by weight, and a request goes to the first point at or after its hash.
//!
//! All proxies have the same ring, because it depends on the endpoints' uids and weights alone.

use super::priority::weight;
use super::{Balancer, Level, LoadBalancerContext};
use crate::hash::Quick;
use crate::request::first_value;
use crate::{Dice, RequestView};
use model::service::Endpoint;
use model::traffic::ConsistentHash;
use std::hash::Hasher;
use std::sync::Arc;

/// Points of an endpoint with the least weight. They do not depend on how many endpoints there are, so that only the
/// requests of one that goes move.
const POINTS: u64 = 256;
/// Points on a ring, 16 bytes each; where weights would make more of them, all have fewer.
const RING_POINTS_MAX: u64 = 256 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct RingHash {
    header: Arc<str>,
    /// Hash and index of an endpoint, sorted.
    points: Vec<(u64, u32)>,
}

impl RingHash {
    /// The ring of these endpoints.
    pub(crate) fn new(by: &ConsistentHash, level: &Level, endpoints: &[Endpoint]) -> Self {
        let weight_of = |index: &u32| weight(&endpoints[*index as usize]);
        let least = level.members.iter().map(weight_of).min().unwrap_or(1);
        // How many points a weight has, as a fraction.
        let (points_of, weights) = match POINTS * level.weight() / least {
            0..=RING_POINTS_MAX => (POINTS, least),
            _ => (RING_POINTS_MAX, level.weight()),
        };
        let mut points = Vec::new();
        for index in &level.members {
            let count = u128::from(weight_of(index)) * u128::from(points_of) / u128::from(weights);
            let uid = &endpoints[*index as usize].uid;
            points.extend((0..count.max(1)).map(|number| (point(uid, number as u64), *index)));
        }
        points.sort_unstable();
        Self { header: Arc::clone(&by.http_header_name), points }
    }
}

fn point(uid: &str, number: u64) -> u64 {
    let mut hasher = Quick::default();
    hasher.write(uid.as_bytes());
    hasher.write_u64(number);
    spread(hasher.finish())
}

/// Each bit of the result depends on all of the given (the finish of SplitMix64; Steele, Lea, Flood 2014).
fn spread(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

impl Balancer for RingHash {
    fn hash(&self, request: &RequestView<'_>) -> Option<u64> {
        let value = first_value(request.headers, &self.header)?;
        let mut hasher = Quick::default();
        hasher.write(&value);
        hasher.write_usize(value.len());
        Some(spread(hasher.finish()))
    }

    fn pick(
        &self,
        level: &Level,
        _: &[Endpoint],
        context: &LoadBalancerContext<'_>,
        dice: &mut dyn Dice,
    ) -> Option<usize> {
        // A ring has many more points than endpoints: it is not gone around in vain.
        level.members.iter().find(|index| (context.usable)(**index as usize))?;
        let hash = context.hash.unwrap_or_else(|| dice.next_u64());
        let (before, from) = self.points.split_at(self.points.partition_point(|(point, _)| *point < hash));
        from.iter().chain(before).map(|(_, index)| *index as usize).find(|index| (context.usable)(*index))
    }
}
