//! Whom STRICT shuts out, told as findings: before a change over the API makes a port STRICT, and as long as one refuses
//! whom it let in before. Who that is says `decide::mtls::plan`; who is behind an address, the registrations.

use crate::observed::Observed;
use crate::presence::{Presence, Registration};
use decide::mtls::plan::{
    CallerProxy, PlaintextCause, SEEN_WINDOW, SeenCaller, ShutPort, UnnamedCallers, shut_out, shut_out_now,
};
use model::mtls::EffectiveMtls;
use model::observed::PLAINTEXT_CALLERS_MAX;
use model::{Code, Finding, ObjectRef, Origin};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;
use translate::World;

/// Callers that one finding names; the rest is counted.
const CALLERS_NAMED_MAX: usize = 8;

/// Namespace and name of a group.
type GroupName = (Arc<str>, Arc<str>);
/// What the workloads of each group take.
pub(crate) type GroupModes = BTreeMap<GroupName, EffectiveMtls>;

/// Who is registered, what their proxies told, and the time.
pub(crate) struct Witness<'a> {
    presence: &'a Presence,
    observed: &'a Observed,
    now: SystemTime,
    by_address: HashMap<IpAddr, &'a Registration>,
}

impl<'a> Witness<'a> {
    pub(crate) fn new(presence: &'a Presence, observed: &'a Observed, now: SystemTime) -> Self {
        let mut by_address = HashMap::new();
        // Who is there comes last, and replaces who is missed.
        let absent = presence.absent(crate::presence::seconds(now)).map(|(registration, _)| registration);
        for registration in absent.chain(presence.present().map(|(registration, _)| registration)) {
            let addresses = registration.addresses.iter().map(IpAddr::to_canonical);
            by_address.extend(addresses.map(|address| (address, registration)));
        }
        Self { presence, observed, now, by_address }
    }

    /// Who has an address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<&'a Registration> {
        self.by_address.get(&address.to_canonical()).copied()
    }

    /// Whether there is a proxy at an address.
    pub(crate) fn proxy_at(&self, address: IpAddr) -> CallerProxy {
        match self.at(address) {
            Some(registration) => {
                let told = self.observed.find(&registration.uid);
                CallerProxy::Registered { since: told.map(|told| told.seen.started) }
            }
            None => CallerProxy::Unknown,
        }
    }

    /// Who is registered and has told something.
    fn workloads(&self) -> impl Iterator<Item = (&'a Registration, &'a crate::observed::InboundObservation)> {
        let observed = self.observed;
        let all = self.presence.present().map(|(registration, _)| registration);
        all.filter_map(move |registration| Some((registration, observed.find(&registration.uid)?)))
    }

    /// What the groups take that have such workloads.
    pub(crate) fn modes(&self, world: &World) -> GroupModes {
        let groups: BTreeSet<_> = self.workloads().map(|(one, _)| group(one)).collect();
        let modes = groups.into_iter().filter_map(|group| {
            let mtls = world.mtls(&group.0, &group.1)?;
            Some((group, mtls))
        });
        modes.collect()
    }

    /// What stands against a change that makes `after` of `before`.
    pub(crate) fn refusals(&self, before: &GroupModes, after: &GroupModes) -> Vec<Finding> {
        let mut named: BTreeMap<_, Vec<String>> = BTreeMap::new();
        let mut unnamed = BTreeSet::new();
        for (registration, told) in self.workloads() {
            let group = group(registration);
            let (Some(from), Some(to)) = (before.get(&group), after.get(&group)) else { continue };
            let out = shut_out(from, to, &told.seen, self.now, |address| self.proxy_at(address));
            if out.unnamed == UnnamedCallers::Seen {
                unnamed.insert(group.clone());
            }
            for port in out.ports {
                let callers = named.entry((group.clone(), port.port)).or_default();
                callers.extend(port.callers.iter().map(|caller| self.describe(caller)));
            }
        }
        let fix = "see `leno mtls plan`: put a proxy beside each, or let capture take what those that have one send; or make the \
                   change all the same with `leno apply --force` or `leno delete --force`";
        let refused = |group: &GroupName, port: Option<u16>, who: String| {
            let said = |modes: &GroupModes| {
                let modes = modes.get(group)?;
                let mode = port.map_or(&modes.mode, |port| modes.at(port));
                mode.origin.clone()
            };
            let origin = said(after).or_else(|| said(before)).unwrap_or_else(|| origin_of(group));
            let what = port.map_or("ports".to_owned(), |port| format!("port {port}"));
            let cause = format!(
                "{what} of {}/{} would become STRICT and refuse callers in plaintext of the last {} h: {who}",
                group.0,
                group.1,
                SEEN_WINDOW.as_secs() / 3600,
            );
            Finding::new(Code::StrictRefused, &origin, cause, fix)
        };
        let named = named.iter().map(|((group, port), callers)| refused(group, Some(*port), list(callers)));
        let unnamed = unnamed.iter().map(|group| {
            let who = format!("some beyond the {PLAINTEXT_CALLERS_MAX} that a proxy keeps by name");
            refused(group, None, who)
        });
        named.chain(unnamed).collect()
    }

    /// What STRICT breaks at this moment.
    pub(crate) fn broken(&self, world: &World) -> Vec<Finding> {
        let modes = self.modes(world);
        let mut named: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (registration, told) in self.workloads() {
            let group = group(registration);
            let Some(in_force) = modes.get(&group) else { continue };
            let shut = shut_out_now(in_force, &told.seen, self.now, |address| self.proxy_at(address));
            for ShutPort { port, callers } in shut {
                let of_port = named.entry((group.clone(), port)).or_default();
                of_port.extend(callers.iter().map(|caller| self.describe(caller)));
            }
        }
        let finding = |((group, port), callers): (&(GroupName, u16), &Vec<String>)| {
            let said = modes.get(group).and_then(|modes| modes.at(*port).origin.clone());
            let origin = said.unwrap_or_else(|| origin_of(group));
            let cause = format!(
                "port {port} of {}/{} is STRICT and refuses who came in plaintext before: {}",
                group.0,
                group.1,
                list(callers)
            );
            let fix = "see `leno mtls plan`: put a proxy beside each, or let capture take what those that have one send; until \
                       then say PERMISSIVE for the port";
            Finding::new(Code::StrictBreaks, &origin, cause, fix)
        };
        named.iter().map(finding).collect()
    }

    /// Who it is, why it came in plaintext, and when.
    fn describe(&self, seen: &SeenCaller<'_>) -> String {
        let who = match self.at(seen.caller.address) {
            Some(registration) => format!("{} at {}", registration.uid, seen.caller.address),
            None => seen.caller.address.to_string(),
        };
        let why = match seen.cause {
            PlaintextCause::NoProxy => "no proxy",
            PlaintextCause::PastProxy => "calls past its proxy",
            PlaintextCause::BeforeProxy => "before its proxy started",
            PlaintextCause::ByMode => "told to by DISABLE",
        };
        let age = match seen.count.open {
            0 => format!("last {} ago", model::time::span(seen.count.age(self.now))),
            open => format!("{open} open"),
        };
        format!("{who} ({why}, {age})")
    }
}

fn group(registration: &Registration) -> GroupName {
    (registration.namespace.clone(), registration.group.clone())
}

/// Where nobody says STRICT, and it is the default.
fn origin_of((namespace, name): &GroupName) -> Origin {
    let object = ObjectRef { kind: "WorkloadGroup".into(), namespace: namespace.clone(), name: name.clone() };
    Origin { object, file: "".into(), line: 0 }
}

/// The first of them, and how many more there are.
fn list(callers: &[String]) -> String {
    let mut named: Vec<&str> = callers.iter().map(String::as_str).collect();
    named.sort_unstable();
    named.dedup();
    let more = named.len().saturating_sub(CALLERS_NAMED_MAX);
    named.truncate(CALLERS_NAMED_MAX);
    let text = named.join(", ");
    if more > 0 { format!("{text}, and {more} more") } else { text }
}
