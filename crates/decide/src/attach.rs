//! What holds where several policies are attached: Gateway < Listener < Route < rule < Backend, by field; of one level
//! the older counts, then the first by namespace and name (Gateway API, GEP-713).

#[cfg(test)]
mod tests;

use model::Origin;
use model::backend_tls::BackendTls;
use model::traffic::{AttachedPolicy, ConnectionPool, LoadBalancer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What holds, each field with where it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    /// How an endpoint is chosen; `None`: nobody says, the default holds.
    pub load_balancer: Option<Field<LoadBalancer>>,
    /// TLS to endpoints that are not of the mesh; `None`: plaintext.
    pub tls: Option<Field<BackendTls>>,
    /// The same for single ports.
    pub port_tls: BTreeMap<u16, Field<BackendTls>>,
    /// Connections to endpoints that are not of the mesh; `None`: nobody says, the defaults hold.
    pub connection_pool: Option<Field<Arc<ConnectionPool>>>,
}

impl Effective {
    /// TLS to a port of the service: what is said of the port counts before what is said of all.
    pub fn tls_at(&self, port: u16) -> Option<&Field<BackendTls>> {
        self.port_tls.get(&port).or(self.tls.as_ref())
    }
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
        overwrite(&mut effective.tls, &policy.policy.tls, &policy.origin);
        overwrite(&mut effective.connection_pool, &policy.policy.connection_pool, &policy.origin);
        for (port, tls) in &policy.policy.port_tls {
            let field = Field { value: tls.clone(), origin: policy.origin.clone() };
            effective.port_tls.insert(*port, field);
        }
    }
    effective
}

fn overwrite<T: Clone>(field: &mut Option<Field<T>>, said: &Option<T>, origin: &Origin) {
    if let Some(value) = said {
        *field = Some(Field { value: value.clone(), origin: origin.clone() });
    }
}
