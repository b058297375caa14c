//! What STRICT would break.

use super::StrictVerdict::{InForce, Ready, Unknown, WouldBreak};
use super::*;
use model::mtls::MtlsMode::{Disable, Permissive, Strict};
use model::observed::PLAINTEXT_CALLERS_MAX;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const HOUR: u64 = 3600;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 * HOUR)
}

/// Of the lowest 100 addresses, each has a proxy beside it.
fn proxy_at(address: IpAddr) -> CallerProxy {
    match address {
        IpAddr::V4(v4) if v4.octets()[3] < 50 => CallerProxy::Registered { since: None },
        IpAddr::V4(v4) if v4.octets()[3] < 100 => {
            CallerProxy::Registered { since: Some(now() - Duration::from_secs(2 * HOUR)) }
        }
        _ => CallerProxy::Unknown,
    }
}

fn came(hours_ago: u64, open: u32) -> ConnectionCount {
    ConnectionCount { total: 3, open, last: now() - Duration::from_secs(hours_ago * HOUR) }
}

fn nothing() -> ObservedInbound {
    ObservedInbound {
        started: now() - Duration::from_secs(100 * HOUR),
        report_every: Duration::from_secs(5),
        plaintext: ConnectionTally::default(),
        refused: ConnectionTally::default(),
        mutual_tls: ConnectionTally::default(),
    }
}

fn caller(last: u8, port: u16, mode: MtlsMode) -> PlaintextCaller {
    PlaintextCaller { port, address: Ipv4Addr::new(10, 0, 0, last).into(), mode }
}

fn modes(all: MtlsMode, ports: &[(u16, MtlsMode)]) -> EffectiveMtls {
    let says = |mode| ModeOrigin { mode, origin: None };
    EffectiveMtls { mode: says(all), ports: ports.iter().map(|(port, mode)| (*port, says(*mode))).collect() }
}

/// Those who came in plaintext to port 80, at which hour and to which mode; who came in mutual TLS; the verdict.
fn check(mode: MtlsMode, plaintext: &[(u8, MtlsMode, u64, u32)], mutual_tls: Option<u64>, is: StrictVerdict) {
    let mut seen = nothing();
    for (last, mode, hours_ago, open) in plaintext {
        seen.plaintext.add(caller(*last, 80, *mode), came(*hours_ago, *open), PLAINTEXT_CALLERS_MAX);
    }
    if let Some(hours_ago) = mutual_tls {
        seen.mutual_tls.add(80, came(hours_ago, 0), 1);
    }
    let in_force = modes(mode, &[]);
    let plans = plan([80], &in_force, Some(&seen), now(), proxy_at);
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].verdict, is, "{mode:?} {plaintext:?} {mutual_tls:?}");
    let wanted = modes(Strict, &[]);
    let out = shut_out(&in_force, &wanted, &seen, now(), proxy_at);
    let callers = out.ports.iter().map(|port| port.callers.len()).sum::<usize>();
    let expected = if let WouldBreak { callers } = is { callers } else { 0 };
    assert_eq!((callers, out.is_empty()), (expected, expected == 0), "refused is what the plan warns of");
}

#[test]
fn what_strict_would_do_to_a_port() {
    // Nobody seen is no proof.
    check(Permissive, &[], None, Unknown);
    check(Permissive, &[], Some(1), Ready);
    check(Permissive, &[], Some(25), Unknown);
    check(Permissive, &[(200, Permissive, 1, 0)], Some(1), WouldBreak { callers: 1 });
    check(Permissive, &[(200, Permissive, 1, 0), (7, Permissive, 23, 0)], Some(1), WouldBreak { callers: 2 });
    // Not seen for a day, or still connected since before that.
    check(Permissive, &[(200, Permissive, 25, 0)], Some(1), Ready);
    check(Permissive, &[(200, Permissive, 25, 0)], None, Unknown);
    check(Permissive, &[(200, Permissive, 25, 1)], Some(1), WouldBreak { callers: 1 });
    // Before its proxy started, and past it.
    check(Permissive, &[(70, Permissive, 3, 0)], Some(1), Ready);
    check(Permissive, &[(70, Permissive, 3, 1)], Some(1), WouldBreak { callers: 1 });
    check(Permissive, &[(70, Permissive, 1, 0)], Some(1), WouldBreak { callers: 1 });
    // Under DISABLE those with a proxy come in plaintext because it was told to.
    check(Disable, &[(7, Disable, 1, 0)], None, Unknown);
    check(Permissive, &[(7, Disable, 1, 0)], Some(1), Ready);
    check(Disable, &[(200, Disable, 1, 0)], None, WouldBreak { callers: 1 });
    check(Strict, &[], None, InForce);
}

#[test]
fn each_caller_is_told_with_why_it_came_in_plaintext() {
    let mut seen = nothing();
    for (last, mode) in [(200, Permissive), (7, Permissive), (8, Disable)] {
        seen.plaintext.add(caller(last, 80, mode), came(1, 0), PLAINTEXT_CALLERS_MAX);
    }
    seen.refused.add(caller(201, 22, Strict), came(1, 0), 1);
    let in_force = modes(Permissive, &[(22, Strict), (443, Disable)]);
    let plans = plan([80, 9090], &in_force, Some(&seen), now(), proxy_at);
    assert_eq!(plans.iter().map(|plan| plan.port).collect::<Vec<_>>(), [22, 80, 443, 9090]);
    let causes: BTreeMap<_, _> = plans[1].plaintext.iter().map(|c| (c.caller.address, c.cause)).collect();
    let address = |last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
    assert_eq!(
        causes,
        BTreeMap::from([
            (address(200), PlaintextCause::NoProxy),
            (address(7), PlaintextCause::PastProxy),
            (address(8), PlaintextCause::ByMode),
        ])
    );
    assert_eq!((plans[0].refused.len(), plans[0].verdict), (1, InForce));
    let unreported: Vec<_> = plan([80], &in_force, None, now(), proxy_at);
    assert_eq!(unreported.iter().map(|plan| plan.verdict).collect::<Vec<_>>(), [InForce, Unknown, Unknown]);
}

#[test]
fn only_a_port_that_is_closed_by_the_change_shuts_anybody_out() {
    let mut seen = nothing();
    seen.plaintext.add(caller(200, 80, Permissive), came(1, 0), PLAINTEXT_CALLERS_MAX);
    seen.plaintext.add(caller(200, 81, Permissive), came(1, 0), PLAINTEXT_CALLERS_MAX);
    let ports = |from: &EffectiveMtls, to: &EffectiveMtls| {
        let out = shut_out(from, to, &seen, now(), proxy_at);
        out.ports.iter().map(|port| port.port).collect::<Vec<_>>()
    };
    let (strict, permissive) = (modes(Strict, &[]), modes(Permissive, &[]));
    assert_eq!(ports(&permissive, &strict), [80, 81]);
    assert_eq!(ports(&permissive, &modes(Strict, &[(80, Permissive)])), [81]);
    assert_eq!(ports(&permissive, &modes(Permissive, &[(80, Strict)])), [80]);
    assert_eq!(ports(&modes(Permissive, &[(80, Strict)]), &strict), [81]);
    assert_eq!(ports(&permissive, &modes(Disable, &[])), [] as [u16; 0]);
    // It is broken already, and not by this.
    assert_eq!(ports(&strict, &strict), [] as [u16; 0]);
}

#[test]
fn who_is_refused_now_and_was_let_in_before_is_told() {
    let mut seen = nothing();
    let (let_in, never) = (200, 201);
    seen.plaintext.add(caller(let_in, 80, Permissive), came(30, 0), PLAINTEXT_CALLERS_MAX);
    for (last, port, hours_ago) in [(let_in, 80, 1), (let_in, 81, 1), (never, 80, 1)] {
        seen.refused.add(caller(last, port, Strict), came(hours_ago, 0), PLAINTEXT_CALLERS_MAX);
    }
    let told = |mode| {
        let ports = shut_out_now(&modes(mode, &[]), &seen, now(), proxy_at);
        let callers = |port: &ShutPort<'_>| port.callers.iter().map(|c| c.caller.address).collect();
        ports.iter().map(|port| (port.port, callers(port))).collect::<Vec<(u16, Vec<IpAddr>)>>()
    };
    assert_eq!(told(Strict), [(80, vec![Ipv4Addr::new(10, 0, 0, let_in).into()])]);
    assert_eq!(told(Permissive), [], "it was mended");
}

#[test]
fn callers_without_a_name_count_against_strict() {
    let mut seen = nothing();
    seen.plaintext.add_unnamed(came(1, 0));
    seen.mutual_tls.add(80, came(1, 0), 1);
    let in_force = modes(Permissive, &[]);
    let out = |wanted: &EffectiveMtls, seen: &ObservedInbound| {
        let out = shut_out(&in_force, wanted, seen, now(), proxy_at);
        assert!(out.ports.is_empty());
        out.unnamed
    };
    assert_eq!(plan([80], &in_force, Some(&seen), now(), proxy_at)[0].verdict, WouldBreak { callers: 0 });
    assert_eq!(out(&modes(Strict, &[]), &seen), UnnamedCallers::Seen);
    assert_eq!(out(&modes(Permissive, &[(81, Strict)]), &seen), UnnamedCallers::Seen);
    assert_eq!(out(&in_force, &seen), UnnamedCallers::None);
    seen.plaintext.unnamed = Some(came(25, 0));
    assert_eq!(out(&modes(Strict, &[]), &seen), UnnamedCallers::None);
    assert_eq!(plan([80], &in_force, Some(&seen), now(), proxy_at)[0].verdict, Ready);
}
