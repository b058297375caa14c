//! What a workload takes from its callers where several `PeerAuthentication`s say so: mesh < namespace < workload < port,
//! and `UNSET` inherits; of one scope the oldest counts alone, then the first by namespace and name (Istio).
//!
//! Where nobody says anything it is STRICT, while Istio's own default is PERMISSIVE. Where one of them cannot be read it is
//! STRICT too, whatever the others say: nobody knows what it said. What STRICT would break: `plan`.

pub mod plan;

#[cfg(test)]
mod tests;

use model::mtls::{EffectiveMtls, ModeOrigin, MtlsMode, PeerAuthentication, PeerAuthenticationScope};
use std::collections::BTreeMap;

/// Merges the policies that concern one workload, in whatever order they are given.
pub fn effective<'a>(policies: impl IntoIterator<Item = &'a PeerAuthentication>) -> EffectiveMtls {
    let mut counting: BTreeMap<PeerAuthenticationScope, &PeerAuthentication> = BTreeMap::new();
    for policy in policies {
        if policy.is_unreadable {
            return EffectiveMtls { mode: said(MtlsMode::Strict, policy), ports: BTreeMap::new() };
        }
        let known = counting.entry(policy.scope).or_insert(policy);
        if rank(policy) < rank(known) {
            *known = policy;
        }
    }
    let mut effective = EffectiveMtls::default();
    // From the widest to the narrowest, which overwrites.
    for policy in counting.values() {
        if let Some(mode) = policy.mode {
            effective.mode = said(mode, policy);
        }
    }
    if let Some(policy) = counting.get(&PeerAuthenticationScope::Workload) {
        let port = |(number, mode): (&u16, &Option<MtlsMode>)| {
            (*number, mode.map_or_else(|| effective.mode.clone(), |mode| said(mode, policy)))
        };
        effective.ports = policy.ports.iter().map(port).collect();
    }
    effective
}

/// Of one scope, the lowest counts.
pub fn rank(policy: &PeerAuthentication) -> (u64, &str, &str) {
    (policy.created_s, &policy.origin.object.namespace, &policy.origin.object.name)
}

fn said(mode: MtlsMode, policy: &PeerAuthentication) -> ModeOrigin {
    ModeOrigin { mode, origin: Some(policy.origin.clone()) }
}
