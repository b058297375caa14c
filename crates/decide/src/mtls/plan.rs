//! What STRICT would break, from what proxies have seen: a caller in plaintext whom a port lets in now would be refused.
//! Whoever was not seen is not known of, so no traffic is no proof of anything.
//!
//! Read `mtls` for which mode is in force.

#[cfg(test)]
mod tests;

use model::mtls::{EffectiveMtls, ModeOrigin, MtlsMode, TransportSecurity};
use model::observed::{ConnectionCount, ConnectionTally, ObservedInbound, PlaintextCaller};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Callers that were seen within this time count; whoever has not called for longer is told of, and breaks nothing.
pub const SEEN_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a registered workload has an address: then there is a proxy beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerProxy {
    /// There is one, as far as known since then.
    Registered {
        /// When the proxy started.
        since: Option<SystemTime>,
    },
    /// None is known.
    Unknown,
}

/// Why somebody came in plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaintextCause {
    /// There is no proxy beside the caller.
    NoProxy,
    /// There is one, and the call did not go through it: it is excluded from capture, or was made to an address while the proxy could not ask whose that is.
    PastProxy,
    /// There is one now, and was none then.
    BeforeProxy,
    /// Its proxy was told to, because the port took nothing else (DISABLE); it will speak mutual TLS where that is taken.
    ByMode,
}

/// Somebody who called in plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenCaller<'a> {
    /// Who, and what.
    pub caller: &'a PlaintextCaller,
    /// How often.
    pub count: &'a ConnectionCount,
    /// Why in plaintext.
    pub cause: PlaintextCause,
    /// Whether STRICT would shut it out, as far as is known.
    pub breaks: Breaks,
}

/// Whether STRICT shuts a caller out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// It was seen within [`SEEN_WINDOW`].
    Yes,
    /// It was not seen for longer than that, or will come in mutual TLS.
    No,
}

/// What STRICT would do to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrictVerdict {
    /// It is STRICT.
    InForce,
    /// So many callers would be refused; with 0, those alone whose names nobody kept.
    WouldBreak {
        /// Callers with a name.
        callers: usize,
    },
    /// All who were seen within [`SEEN_WINDOW`] came in mutual TLS.
    Ready,
    /// Nobody was seen, or nobody who could have come in mutual TLS.
    Unknown,
}

/// One port of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPlan<'a> {
    /// Of the application.
    pub port: u16,
    /// What it takes, and who says so.
    pub mode: &'a ModeOrigin,
    /// Let in, in plaintext.
    pub plaintext: Vec<SeenCaller<'a>>,
    /// Refused for their plaintext.
    pub refused: Vec<SeenCaller<'a>>,
    /// In mutual TLS, while the port was not STRICT.
    pub mutual_tls: Option<&'a ConnectionCount>,
    /// What STRICT would do.
    pub verdict: StrictVerdict,
}

/// Whom a change of modes would shut out of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutOut<'a> {
    /// By port, those with somebody to be shut out.
    pub ports: Vec<ShutPort<'a>>,
    /// Of those it is not known whether they called a port that would be closed to them.
    pub unnamed: UnnamedCallers,
}

/// A port that would not take plaintext any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutPort<'a> {
    /// Of the application.
    pub port: u16,
    /// Who would be shut out.
    pub callers: Vec<SeenCaller<'a>>,
}

/// Whether callers in plaintext came of whom nobody kept which port they called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnnamedCallers {
    /// Within [`SEEN_WINDOW`].
    Seen,
    /// None, or longer ago.
    None,
}

impl UnnamedCallers {
    /// Those of a workload.
    pub fn of(seen: &ObservedInbound, now: SystemTime) -> Self {
        match &seen.plaintext.unnamed {
            Some(count) if is_recent(count, now) => Self::Seen,
            _ => Self::None,
        }
    }
}

/// The ports of a workload: those that are declared, named by a mode, or called.
pub fn plan<'a>(
    declared: impl IntoIterator<Item = u16>,
    in_force: &'a EffectiveMtls,
    seen: Option<&'a ObservedInbound>,
    now: SystemTime,
    proxy_at: impl Fn(IpAddr) -> CallerProxy,
) -> Vec<PortPlan<'a>> {
    let mut ports: BTreeSet<u16> = declared.into_iter().chain(in_force.ports.keys().copied()).collect();
    let Some(seen) = seen else {
        let nothing = |port| PortPlan {
            port,
            mode: in_force.at(port),
            plaintext: Vec::new(),
            refused: Vec::new(),
            mutual_tls: None,
            verdict: verdict(in_force.at(port).mode, &[], None, UnnamedCallers::None, now),
        };
        return ports.into_iter().map(nothing).collect();
    };
    ports.extend(seen.plaintext.counted.keys().chain(seen.refused.counted.keys()).map(|caller| caller.port));
    ports.extend(seen.mutual_tls.counted.keys());
    let unnamed = UnnamedCallers::of(seen, now);
    let port = |port| {
        let mode = in_force.at(port);
        let plaintext = callers(&seen.plaintext, port, now, &proxy_at);
        let mutual_tls = seen.mutual_tls.counted.get(&port);
        let verdict = verdict(mode.mode, &plaintext, mutual_tls, unnamed, now);
        let refused = callers(&seen.refused, port, now, &proxy_at);
        PortPlan { port, mode, plaintext, refused, mutual_tls, verdict }
    };
    ports.into_iter().map(port).collect()
}

/// Whom `wanted` would shut out of a workload that lets them in under `in_force`.
pub fn shut_out<'a>(
    in_force: &EffectiveMtls,
    wanted: &EffectiveMtls,
    seen: &'a ObservedInbound,
    now: SystemTime,
    proxy_at: impl Fn(IpAddr) -> CallerProxy,
) -> ShutOut<'a> {
    let takes = |mode: &ModeOrigin| mode.mode.takes(TransportSecurity::Plaintext);
    let closes = |port: &u16| takes(in_force.at(*port)) && !takes(wanted.at(*port));
    let called: BTreeSet<u16> = seen.plaintext.counted.keys().map(|caller| caller.port).collect();
    let of_port = |port| {
        let mut callers = callers(&seen.plaintext, port, now, &proxy_at);
        callers.retain(|caller| caller.breaks == Breaks::Yes);
        ShutPort { port, callers }
    };
    let ports = called.into_iter().filter(closes).map(of_port);
    let closes_any = takes(&in_force.mode) && !takes(&wanted.mode)
        || in_force.ports.keys().chain(wanted.ports.keys()).any(closes);
    ShutOut {
        ports: ports.filter(|port| !port.callers.is_empty()).collect(),
        unnamed: if closes_any { UnnamedCallers::of(seen, now) } else { UnnamedCallers::None },
    }
}

/// Who was let in in plaintext, and is refused now at a port that has become STRICT.
pub fn shut_out_now<'a>(
    in_force: &EffectiveMtls,
    seen: &'a ObservedInbound,
    now: SystemTime,
    proxy_at: impl Fn(IpAddr) -> CallerProxy,
) -> Vec<ShutPort<'a>> {
    let was_let_in = |caller: &PlaintextCaller| {
        let mut let_in = seen.plaintext.counted.keys();
        let_in.any(|known| (known.port, known.address) == (caller.port, caller.address))
    };
    let ports: BTreeSet<u16> = seen.refused.counted.keys().map(|caller| caller.port).collect();
    let strict = ports.into_iter().filter(|port| in_force.at(*port).mode == MtlsMode::Strict);
    let of_port = |port| {
        let mut callers = callers(&seen.refused, port, now, &proxy_at);
        callers.retain(|seen| seen.breaks == Breaks::Yes && was_let_in(seen.caller));
        ShutPort { port, callers }
    };
    strict.map(of_port).filter(|port| !port.callers.is_empty()).collect()
}

impl ShutOut<'_> {
    /// Whether nobody would be.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.unnamed == UnnamedCallers::None
    }
}

fn verdict(
    mode: MtlsMode,
    plaintext: &[SeenCaller<'_>],
    mutual_tls: Option<&ConnectionCount>,
    unnamed: UnnamedCallers,
    now: SystemTime,
) -> StrictVerdict {
    if mode == MtlsMode::Strict {
        return StrictVerdict::InForce;
    }
    let callers = plaintext.iter().filter(|caller| caller.breaks == Breaks::Yes).count();
    match (callers, unnamed, mutual_tls) {
        (0, UnnamedCallers::None, Some(count)) if is_recent(count, now) => StrictVerdict::Ready,
        (0, UnnamedCallers::None, _) => StrictVerdict::Unknown,
        (callers, _, _) => StrictVerdict::WouldBreak { callers },
    }
}

fn callers<'a>(
    tally: &'a ConnectionTally<PlaintextCaller>,
    port: u16,
    now: SystemTime,
    proxy_at: &impl Fn(IpAddr) -> CallerProxy,
) -> Vec<SeenCaller<'a>> {
    let of_port = tally.counted.iter().filter(|(caller, _)| caller.port == port);
    let seen = of_port.map(|(caller, count)| {
        let cause = match proxy_at(caller.address) {
            CallerProxy::Unknown => PlaintextCause::NoProxy,
            CallerProxy::Registered { since: Some(since) } if count.open == 0 && count.last < since => {
                PlaintextCause::BeforeProxy
            }
            CallerProxy::Registered { .. } if caller.mode == MtlsMode::Disable => PlaintextCause::ByMode,
            CallerProxy::Registered { .. } => PlaintextCause::PastProxy,
        };
        let breaks = match cause {
            PlaintextCause::NoProxy | PlaintextCause::PastProxy if is_recent(count, now) => Breaks::Yes,
            _ => Breaks::No,
        };
        SeenCaller { caller, count, cause, breaks }
    });
    seen.collect()
}

fn is_recent(count: &ConnectionCount, now: SystemTime) -> bool {
    count.age(now) <= SEEN_WINDOW
}
