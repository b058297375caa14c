//! Chooses among a rule's weighted backends.

#[cfg(test)]
mod tests;

use crate::Dice;
use model::route::RouteBackend;

/// Index of the backend that this request goes to, by weight; `None` when there is none with a weight above
/// 0. A backend without a host keeps its share: those requests are answered with 500 (Gateway API).
pub fn pick(backends: &[RouteBackend], dice: &mut dyn Dice) -> Option<usize> {
    if let [only] = backends {
        return (only.weight > 0).then_some(0);
    }
    let total: u64 = backends.iter().map(|b| u64::from(b.weight)).sum();
    if total == 0 {
        return None;
    }
    let mut left = dice.below(total);
    backends.iter().position(|backend| {
        let weight = u64::from(backend.weight);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}
