//! Which mode holds where.

use super::effective;
use model::mtls::MtlsMode::{Disable, Permissive, Strict};
use model::mtls::{EffectiveMtls, MtlsMode, PeerAuthentication, PeerAuthenticationScope, TransportSecurity};
use model::{ObjectRef, Origin};
use std::collections::BTreeMap;

const MODES: [Option<MtlsMode>; 4] = [None, Some(Strict), Some(Permissive), Some(Disable)];

fn policy(name: &str, scope: PeerAuthenticationScope, mode: Option<MtlsMode>) -> PeerAuthentication {
    let object = ObjectRef::new("PeerAuthentication", "default", name);
    let origin = Origin { object, file: "".into(), line: 0 };
    PeerAuthentication { scope, origin, created_s: 0, mode, ports: BTreeMap::new(), is_unreadable: false }
}

fn at_port(policy: PeerAuthentication, port: u16, mode: Option<MtlsMode>) -> PeerAuthentication {
    PeerAuthentication { ports: BTreeMap::from([(port, mode)]), ..policy }
}

fn older(policy: PeerAuthentication, created_s: u64) -> PeerAuthentication {
    PeerAuthentication { created_s, ..policy }
}

/// The same in whatever order they are given.
fn merged(policies: &[PeerAuthentication]) -> EffectiveMtls {
    let first = effective(policies);
    for turn in 1..policies.len() {
        let mut policies = policies.to_vec();
        policies.rotate_left(turn);
        assert_eq!(effective(&policies), first);
    }
    first
}

/// The mode at port 80, and the name of who says so.
fn check(policies: &[PeerAuthentication], mode: MtlsMode, by: Option<&str>) {
    let merged = merged(policies);
    let at = merged.at(80);
    let origin = at.origin.as_ref().map(|origin| &*origin.object.name);
    assert_eq!((at.mode, origin), (mode, by), "{policies:?}");
    assert_eq!(merged.inbound().at(80), mode, "{policies:?}");
}

/// Sixteen pairs of a wider and a narrower mode: what the narrower leaves unset it inherits, and what nobody sets is
/// STRICT.
#[test]
fn a_narrower_scope_counts_and_unset_inherits() {
    use PeerAuthenticationScope::{Mesh, Namespace, Workload};
    for wide in MODES {
        for narrow in MODES {
            let mode = narrow.or(wide).unwrap_or(Strict);
            let by = narrow.map(|_| "narrow").or(wide.map(|_| "wide"));
            for (a, b) in [(Mesh, Namespace), (Mesh, Workload), (Namespace, Workload)] {
                check(&[policy("wide", a, wide), policy("narrow", b, narrow)], mode, by);
            }
            let port = at_port(policy("narrow", Workload, None), 80, narrow);
            check(&[policy("wide", Mesh, wide), port], mode, by);
            let own = at_port(policy("wide", Workload, wide), 80, narrow);
            check(&[own], mode, narrow.or(wide).map(|_| "wide"));
        }
    }
}

#[test]
fn of_one_scope_the_oldest_counts_alone_then_the_first_by_name() {
    use PeerAuthenticationScope::{Mesh, Namespace, Workload};
    for scope in [Mesh, Namespace, Workload] {
        let new = older(policy("a", scope, Some(Disable)), 2);
        let old = older(policy("b", scope, Some(Permissive)), 1);
        check(&[new, old], Permissive, Some("b"));
        check(
            &[policy("b", scope, Some(Disable)), policy("a", scope, Some(Permissive))],
            Permissive,
            Some("a"),
        );
        // The oldest says nothing, and the younger one does not speak for it.
        let silent = older(policy("b", scope, None), 1);
        check(&[older(policy("a", scope, Some(Disable)), 2), silent], Strict, None);
    }
}

#[test]
fn a_port_counts_for_itself_alone_and_only_in_the_scope_of_workloads() {
    use PeerAuthenticationScope::{Mesh, Namespace, Workload};
    let policies = [policy("mesh", Mesh, Some(Permissive)), {
        let own = policy("own", Workload, Some(Strict));
        PeerAuthentication { ports: BTreeMap::from([(81, Some(Disable)), (82, None)]), ..own }
    }];
    check(&policies, Strict, Some("own"));
    let merged = merged(&policies);
    assert_eq!(merged.at(81).mode, Disable);
    assert_eq!(merged.at(82).mode, Strict);
    assert_eq!(merged.inbound().ports, BTreeMap::from([(81, Disable)]), "82 is as all others");
    for scope in [Mesh, Namespace] {
        check(&[at_port(policy("wide", scope, None), 80, Some(Disable))], Strict, None);
    }
}

#[test]
fn each_mode_takes_what_its_name_says() {
    let takes =
        |mode: MtlsMode| (mode.takes(TransportSecurity::MutualTls), mode.takes(TransportSecurity::Plaintext));
    assert_eq!(takes(Strict), (true, false));
    assert_eq!(takes(Permissive), (true, true));
    assert_eq!(takes(Disable), (false, true));
    assert_eq!(MtlsMode::default(), Strict);
}

/// It may have been the narrowest, the oldest, and about any port.
#[test]
fn one_that_cannot_be_read_is_strict_whatever_others_say() {
    use PeerAuthenticationScope::{Mesh, Namespace, Workload};
    let unreadable = |scope| PeerAuthentication {
        is_unreadable: true,
        ..older(policy("unreadable", scope, Some(Strict)), 9)
    };
    let others = [
        older(policy("mesh", Mesh, Some(Permissive)), 1),
        older(policy("namespace", Namespace, Some(Disable)), 1),
        at_port(older(policy("own", Workload, Some(Permissive)), 1), 80, Some(Disable)),
    ];
    assert_eq!(effective(&others).at(80).mode, Disable);
    for scope in [Mesh, Namespace, Workload] {
        let all = others.iter().cloned().chain([unreadable(scope)]).collect::<Vec<_>>();
        let found = effective(&all);
        assert!(found.ports.is_empty() && found.at(80).mode == Strict, "{scope:?}");
        assert_eq!(found.mode.origin.unwrap().object.name.as_ref(), "unreadable");
    }
}
