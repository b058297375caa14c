//! What findings about many objects have in common, looked at once: which groups and gateways a policy means, what
//! is there, and which other policies let somebody in. So what is costly is done once for each place, and once for
//! each policy, and not for each pair of them.

use super::rules::{Opaque, asks_identity, is_invalid, of_opaque};
use crate::units::WorldReader;
use crate::units::authorization_policy::{CompiledPolicy, target_refs, targets};
use crate::units::gateway::edge_gateway;
use crate::units::inbound::{exports, inbound};
use api::kinds::authorization_policy::AuthorizationPolicySpec;
use model::authz::{Action, Policy};
use model::listener::GatewayListener;
use model::service::Protocol;
use model::{ObjectRef, Subscription};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// What decides which workloads a policy concerns: its namespace, its selector, and what its `targetRefs` name.
type Aim<'a> = (&'a Arc<str>, Option<&'a BTreeMap<String, String>>, Vec<(&'a str, &'a str)>);

/// Where a policy applies: the inbound side of a group, or what comes in at a gateway.
pub(super) struct PolicyPlace {
    pub(super) object: ObjectRef,
    /// At a gateway for callers from outside that asks nobody for a certificate and is no Service's: there nobody has an
    /// identity.
    pub(super) is_anonymous: bool,
    /// The number that policies mean, and what is spoken there.
    pub(super) ports: BTreeMap<u16, Protocol>,
    /// Port of a service, and the port of the workload that it means, where they differ.
    pub(super) aliases: Vec<(u16, u16, String)>,
    /// As it is subscribed to: by that its policies are found.
    target: Subscription,
}

/// What the ALLOW policies in force of an area can say yes to.
struct AllowAnswers {
    /// Opaque ports where one of them can be answered.
    opaque: BTreeSet<u16>,
    /// Whether one of them does not ask who calls.
    strangers: bool,
}

/// What no ALLOW policy in force can let anybody in to.
#[derive(Default)]
pub(super) struct Closed {
    /// Opaque ports, each with where it is.
    pub(super) opaque: Vec<(Rc<PolicyPlace>, u16)>,
    /// Gateways where all of them ask who calls.
    pub(super) edges: Vec<Rc<PolicyPlace>>,
}

/// Everywhere that a policy applies. Policies with the same selection share it.
#[derive(Default)]
pub(super) struct Area<'a> {
    pub(super) targets: Vec<Subscription>,
    terrain: OnceCell<Terrain>,
    /// Its ALLOW policies in force; there once `Survey::allowing` is.
    allow: RefCell<Vec<&'a Policy>>,
    answers: OnceCell<AllowAnswers>,
    closed: OnceCell<Closed>,
}

/// What is there.
pub(super) struct Terrain {
    pub(super) places: Vec<Rc<PolicyPlace>>,
    /// All ports.
    pub(super) ports: BTreeSet<u16>,
    /// Opaque ports of groups.
    pub(super) tcp_of_groups: BTreeSet<u16>,
    /// Opaque ports, each with where it is.
    pub(super) opaque: Vec<(Rc<PolicyPlace>, u16)>,
}

/// One look at the world.
pub(super) struct Survey<'a> {
    read: WorldReader<'a>,
    areas: RefCell<HashMap<Aim<'a>, Rc<Area<'a>>>>,
    places: RefCell<HashMap<Subscription, Option<Rc<PolicyPlace>>>>,
    /// Areas that have ALLOW policies, by each place of theirs.
    allowing: OnceCell<HashMap<Subscription, Vec<Rc<Area<'a>>>>>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(read: WorldReader<'a>) -> Self {
        Self { read, areas: RefCell::default(), places: RefCell::default(), allowing: OnceCell::new() }
    }

    /// Everywhere that this policy applies.
    pub(super) fn area(&self, policy: &'a CompiledPolicy, spec: &'a AuthorizationPolicySpec) -> Rc<Area<'a>> {
        let namespace = &policy.object.meta.namespace;
        let selector = spec.selector.as_ref().map(|selector| &selector.match_labels);
        let named = target_refs(spec).map(|target| (target.kind.as_str(), target.name.as_str()));
        let aim = (namespace, selector.filter(|labels| !labels.is_empty()), named.collect());
        if let Some(area) = self.areas.borrow().get(&aim) {
            return area.clone();
        }
        let targets = targets(policy, &self.read);
        let area = Rc::new(Area { targets, ..Area::default() });
        self.areas.borrow_mut().insert(aim, area.clone());
        area
    }

    /// What is there.
    pub(super) fn terrain<'b>(&self, area: &'b Area<'_>) -> &'b Terrain {
        area.terrain.get_or_init(|| {
            let places: Vec<_> = area.targets.iter().filter_map(|target| self.place(target)).collect();
            let opaque = places.iter().flat_map(|place| {
                let opaque = place.ports.iter().filter(|(_, protocol)| **protocol == Protocol::Tcp);
                opaque.map(|(port, _)| (place.clone(), *port))
            });
            let opaque: Vec<(Rc<PolicyPlace>, u16)> = opaque.collect();
            let of_groups = opaque.iter().filter(|(place, _)| &*place.object.kind == "WorkloadGroup");
            Terrain {
                ports: places.iter().flat_map(|place| place.ports.keys().copied()).collect(),
                tcp_of_groups: of_groups.map(|(_, port)| *port).collect(),
                opaque,
                places,
            }
        })
    }

    fn place(&self, target: &Subscription) -> Option<Rc<PolicyPlace>> {
        if let Some(known) = self.places.borrow().get(target) {
            return known.clone();
        }
        let place = look(target, &self.read).map(Rc::new);
        self.places.borrow_mut().insert(target.clone(), place.clone());
        place
    }

    /// What no ALLOW policy in force can let anybody in to. The policies of other areas count where they meet this one.
    pub(super) fn closed<'b>(&self, area: &'b Area<'_>) -> &'b Closed {
        area.closed.get_or_init(|| {
            let allowing = self.allowing.get_or_init(|| self.find_allowing());
            let answers = |place: &PolicyPlace| {
                allowing.get(&place.target).into_iter().flatten().map(|area| self.answers(area))
            };
            let terrain = self.terrain(area);
            let is_shut = |(place, port): &&(Rc<PolicyPlace>, u16)| {
                !answers(place).any(|answers| answers.opaque.contains(port))
            };
            let is_strange = |place: &&Rc<PolicyPlace>| {
                place.is_anonymous && !answers(place).any(|answers| answers.strangers)
            };
            Closed {
                opaque: terrain.opaque.iter().filter(is_shut).cloned().collect(),
                edges: terrain.places.iter().filter(is_strange).cloned().collect(),
            }
        })
    }

    fn answers<'b>(&self, area: &'b Area<'_>) -> &'b AllowAnswers {
        area.answers.get_or_init(|| {
            let allow = area.allow.borrow();
            let rules = || allow.iter().flat_map(|policy| &policy.rules);
            let ports: BTreeSet<u16> = self.terrain(area).opaque.iter().map(|(_, port)| *port).collect();
            let is_answered = |port: &u16| rules().any(|rule| of_opaque(rule, *port) == Opaque::Answered);
            AllowAnswers {
                opaque: ports.into_iter().filter(is_answered).collect(),
                strangers: rules().any(|rule| !asks_identity(rule) && !is_invalid(rule)),
            }
        })
    }

    fn find_allowing(&self) -> HashMap<Subscription, Vec<Rc<Area<'a>>>> {
        let mut found: HashMap<Subscription, Vec<Rc<Area<'a>>>> = HashMap::new();
        for entry in self.read.outputs().authorization_policy.values() {
            let Some(spec) = entry.spec() else { continue };
            if entry.policy.action != Action::Allow || entry.policy.dry_run {
                continue;
            }
            let area = self.area(entry, spec);
            if area.allow.borrow().is_empty() {
                for target in &area.targets {
                    found.entry(target.clone()).or_default().push(area.clone());
                }
            }
            area.allow.borrow_mut().push(&entry.policy);
        }
        found
    }
}

fn look(target: &Subscription, read: &WorldReader<'_>) -> Option<PolicyPlace> {
    let new = |kind: &str, namespace: &str, name: &str, is_anonymous: bool| PolicyPlace {
        object: ObjectRef::new(kind, namespace, name),
        is_anonymous,
        ports: BTreeMap::new(),
        aliases: Vec::new(),
        target: target.clone(),
    };
    match target {
        Subscription::Inbound { namespace, group } => {
            let mut place = new("WorkloadGroup", namespace, group, false);
            for port in inbound(&(namespace.clone(), group.clone()), read)?.ports {
                place.ports.insert(port.port, port.protocol);
                let differs = port.names.iter().filter(|(_, service_port)| *service_port != port.port);
                place.aliases.extend(differs.map(|(host, of)| (*of, port.port, host.to_string())));
            }
            Some(place)
        }
        Subscription::Gateway { namespace, name } => {
            let edge = edge_gateway(&(namespace.clone(), name.clone()), read);
            let asks_client =
                |listener: &GatewayListener| listener.tls.as_ref().is_some_and(|tls| tls.client.is_some());
            // Whoever calls it through the mesh, as an egress gateway, has one.
            let is_called = |listener: &GatewayListener| {
                let inbound = inbound(&(namespace.clone(), name.clone()), read);
                inbound.is_some_and(|inbound| inbound.ports.iter().any(|port| port.port == listener.port))
            };
            let is_anonymous = edge.is_some_and(|gateway| {
                !gateway.listeners.iter().any(|listener| asks_client(listener) || is_called(listener))
            });
            let mut place = new("Gateway", namespace, name, is_anonymous);
            if let Some(gateway) = edge {
                let ports = gateway.listeners.iter().map(|listener| (listener.port, Protocol::Http1));
                place.ports.extend(ports);
            } else {
                // Between networks: ports of services, and bytes that nobody can read.
                let exports = exports(read).hosts;
                place.ports.extend(exports.into_iter().map(|(_, port)| (port, Protocol::Tcp)));
            }
            Some(place)
        }
        _ => None,
    }
}
