//! What holds where several policies are attached: Gateway < Listener < Route < rule < Backend, by field; of one level
//! the older counts, then the first by namespace and name (Gateway API, GEP-713).

#[cfg(test)]
mod tests;

use model::Origin;
use model::traffic::{AttachedPolicy, LoadBalancer};

/// What holds, each field with where it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    /// How an endpoint is chosen; `None`: nobody says, the default holds.
    pub load_balancer: Option<Field<LoadBalancer>>,
}

/// A value and who says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<T> {
    /// The value.
    pub value: T,
    /// Object and line.
    pub origin: Origin,
}

/// Merges policies, in whatever order they are given.
pub fn merge<'a>(policies: impl IntoIterator<Item = &'a AttachedPolicy>) -> Effective {
    let mut sorted: Vec<&AttachedPolicy> = policies.into_iter().collect();
    // What counts most comes last and overwrites.
    sorted.sort_by(|a, b| {
        let rank = |p: &'a AttachedPolicy| (p.created_s, &p.origin.object.namespace, &p.origin.object.name);
        a.level.cmp(&b.level).then_with(|| rank(b).cmp(&rank(a)))
    });
    let mut effective = Effective::default();
    for policy in sorted {
        overwrite(&mut effective.load_balancer, &policy.policy.load_balancer, &policy.origin);
    }
    effective
}

fn overwrite<T: Clone>(field: &mut Option<Field<T>>, said: &Option<T>, origin: &Origin) {
    if let Some(value) = said {
        *field = Some(Field { value: value.clone(), origin: origin.clone() });
    }
}
