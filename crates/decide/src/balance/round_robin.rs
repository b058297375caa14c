//! One after the other, by weight (Envoy's `ROUND_ROBIN`): of as many turns as all weights together, each endpoint has
//! its weight, and they are spread.

use super::{Balancer, Level, LoadBalancerContext};
use crate::Dice;
use model::service::Endpoint;

/// See the module.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    /// How far a turn goes in the sum of weights: without a common divisor, so that every weight is met once.
    stride: u64,
}

impl RoundRobin {
    /// For these endpoints.
    pub(crate) fn new(level: &Level) -> Self {
        let total = level.weight().max(1);
        // About the golden section of the whole, so that turns that follow each other lie far apart.
        let start = if level.members.len() as u64 == total { 1 } else { (total * 618 / 1000).max(1) };
        let stride = (start..=total).find(|stride| divisor(*stride, total) == 1).unwrap_or(1);
        Self { stride }
    }
}

/// The greatest common one.
fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

impl Balancer for RoundRobin {
    fn pick(
        &self,
        level: &Level,
        _: &[Endpoint],
        context: &LoadBalancerContext<'_>,
        _: &mut dyn Dice,
    ) -> Option<usize> {
        let total = level.weight().max(1);
        let at = u128::from((context.turn)()) * u128::from(self.stride) % u128::from(total);
        let (before, from) = level.members.split_at(level.place_of(at as u64));
        // Whoever may not be chosen leaves its turn to the next.
        from.iter().chain(before).map(|index| *index as usize).find(|index| (context.usable)(*index))
    }
}
