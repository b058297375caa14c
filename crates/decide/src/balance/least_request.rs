//! The less busy of two drawn by weight (Envoy's `LEAST_REQUEST` with two choices).

use super::priority::weight;
use super::{Balancer, Level, LoadBalancerContext};
use crate::Dice;
use model::service::Endpoint;

/// Draws before the whole priority is looked through; enough when most endpoints are usable.
const DRAWS_MAX: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct LeastRequest;

impl Balancer for LeastRequest {
    fn pick(
        &self,
        level: &Level,
        endpoints: &[Endpoint],
        context: &LoadBalancerContext<'_>,
        dice: &mut dyn Dice,
    ) -> Option<usize> {
        let (load, usable) = (context.load, context.usable);
        let drawn = draw_pair(level, usable, dice);
        // What was drawn stands: drawing anew here would favour those that luck passed over.
        let first = drawn.first.or_else(|| scan(level, endpoints, usable, None, dice))?;
        let second =
            drawn.second.or_else(|| scan(level, endpoints, usable, Some(first), dice)).unwrap_or(first);
        // Load relative to weight; on a tie the first draw stands, so that an idle service follows its weights.
        let busy = |a: usize, b: usize| u64::from(load(a).active) * weight(&endpoints[b]);
        Some(if first != second && busy(second, first) < busy(first, second) { second } else { first })
    }
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
    let total = level.weight();
    let mut first = None;
    for _ in 0..DRAWS_MAX {
        let at = dice.below(total);
        let drawn = level.members[level.place_of(at)] as usize;
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
