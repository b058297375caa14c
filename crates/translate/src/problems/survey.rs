//! What findings about many objects have in common, looked at once: which groups and gateways a policy means, what
//! is there, and which other policies let somebody in. So what is costly is done once for each place, and once for
//! each policy, and not for each pair of them.

use super::policies::{Opaque, asks_identity, is_invalid, of_opaque};
use crate::gateways::{self, inbound_subscription};
use crate::policies;
use crate::world::{Pair, World, selects};
use api::kinds::authorization_policy::AuthorizationPolicySpec;
use api::kinds::gateway::CLASS;
use api::{Object, ROOT_NAMESPACE, Spec};
use model::authz::{Action, Policy};
use model::service::Protocol;
use model::{ObjectRef, Subscription};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// Namespace, and key and value of a label.
type Label<'a> = (&'a str, &'a str, &'a str);
/// What decides whom a policy concerns: its namespace, its selector, and what its `targetRefs` name.
type Aim<'a> = (&'a str, Option<&'a BTreeMap<String, String>>, Vec<(&'a str, &'a str)>);

/// Where a policy applies: the inbound side of a group, or what comes in at a gateway.
pub(super) struct Place {
    pub(super) object: ObjectRef,
    pub(super) is_edge: bool,
    /// The number that policies mean, and what is spoken there.
    pub(super) ports: BTreeMap<u16, Protocol>,
    /// Port of a service, and the port of the workload that it means, where they differ.
    pub(super) aliases: Vec<(u16, u16, String)>,
    /// As it is subscribed to: by that its policies are found.
    target: Subscription,
}

/// What the ALLOW policies in force of an area can say yes to.
struct Answers {
    /// Opaque ports where one of them can be answered.
    opaque: BTreeSet<u16>,
    /// Whether one of them does not ask who calls.
    strangers: bool,
}

/// What no ALLOW policy in force can let anybody in to.
#[derive(Default)]
pub(super) struct Closed {
    /// Opaque ports, each with where it is.
    pub(super) opaque: Vec<(Rc<Place>, u16)>,
    /// Gateways where all of them ask who calls.
    pub(super) edges: Vec<Rc<Place>>,
}

/// Everywhere that a policy applies. Policies that say the same of whom they concern share it.
#[derive(Default)]
pub(super) struct Area {
    pub(super) targets: Vec<Subscription>,
    terrain: OnceCell<Terrain>,
    /// Its ALLOW policies in force; there once `Survey::allowing` is.
    allow: RefCell<Vec<Policy>>,
    answers: OnceCell<Answers>,
    closed: OnceCell<Closed>,
}

/// What is there.
pub(super) struct Terrain {
    pub(super) places: Vec<Rc<Place>>,
    /// All ports.
    pub(super) ports: BTreeSet<u16>,
    /// Opaque ports of groups.
    pub(super) tcp_of_groups: BTreeSet<u16>,
    /// Opaque ports, each with where it is.
    pub(super) opaque: Vec<(Rc<Place>, u16)>,
}

/// One look at the world.
pub(crate) struct Survey<'a> {
    pub(super) world: &'a World,
    groups: OnceCell<HashMap<Label<'a>, Vec<&'a Pair>>>,
    areas: RefCell<HashMap<Aim<'a>, Rc<Area>>>,
    places: RefCell<HashMap<Subscription, Option<Rc<Place>>>>,
    /// Areas that have ALLOW policies, by each place of theirs.
    allowing: OnceCell<HashMap<Subscription, Vec<Rc<Area>>>>,
}

impl<'a> Survey<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let (groups, allowing) = (OnceCell::new(), OnceCell::new());
        Self { world, groups, areas: RefCell::default(), places: RefCell::default(), allowing }
    }

    /// Groups of `namespace` with all labels of `selector`, as [`World::groups_selected`].
    pub(super) fn groups_selected(
        &self,
        namespace: &str,
        selector: &'a BTreeMap<String, String>,
    ) -> Vec<&'a Pair> {
        let index = self.groups.get_or_init(|| index(self.world));
        let with = |(key, value): (&'a String, &'a String)| {
            index.get(&(namespace, key.as_str(), value.as_str())).map_or(&[][..], Vec::as_slice)
        };
        let Some(fewest) = selector.iter().map(with).min_by_key(|found| found.len()) else {
            return Vec::new();
        };
        let has_all = |pair: &&&Pair| {
            self.world.groups.get(**pair).is_some_and(|group| selects(selector, &group.labels))
        };
        fewest.iter().filter(has_all).copied().collect()
    }

    /// Everywhere that this policy applies.
    pub(super) fn area(&self, policy: &'a Object, spec: &'a AuthorizationPolicySpec) -> Rc<Area> {
        let selector = spec.selector.as_ref().map(|selector| &selector.match_labels);
        let named = policies::target_refs(spec).map(|target| (target.kind.as_str(), target.name.as_str()));
        let aim = (&*policy.meta.namespace, selector.filter(|labels| !labels.is_empty()), named.collect());
        if let Some(area) = self.areas.borrow().get(&aim) {
            return area.clone();
        }
        let targets = match aim.1 {
            Some(labels) if aim.2.is_empty() && aim.0 != ROOT_NAMESPACE => {
                let groups = self.groups_selected(aim.0, labels).into_iter().map(inbound_subscription);
                groups.chain(policies::gateway_targets(policy, spec, self.world)).collect()
            }
            _ => policies::targets(policy, self.world),
        };
        let area = Rc::new(Area { targets, ..Area::default() });
        self.areas.borrow_mut().insert(aim, area.clone());
        area
    }

    /// What is there.
    pub(super) fn terrain<'b>(&self, area: &'b Area) -> &'b Terrain {
        area.terrain.get_or_init(|| {
            let places: Vec<_> = area.targets.iter().filter_map(|target| self.place(target)).collect();
            let opaque = places.iter().flat_map(|place| {
                let opaque = place.ports.iter().filter(|(_, protocol)| **protocol == Protocol::Tcp);
                opaque.map(|(port, _)| (place.clone(), *port))
            });
            let opaque: Vec<(Rc<Place>, u16)> = opaque.collect();
            let of_groups = opaque.iter().filter(|(place, _)| &*place.object.kind == "WorkloadGroup");
            Terrain {
                ports: places.iter().flat_map(|place| place.ports.keys().copied()).collect(),
                tcp_of_groups: of_groups.map(|(_, port)| *port).collect(),
                opaque,
                places,
            }
        })
    }

    fn place(&self, target: &Subscription) -> Option<Rc<Place>> {
        if let Some(known) = self.places.borrow().get(target) {
            return known.clone();
        }
        let place = look(target, self.world).map(Rc::new);
        self.places.borrow_mut().insert(target.clone(), place.clone());
        place
    }

    /// What no ALLOW policy in force can let anybody in to. The policies of other areas count where they meet this one.
    pub(super) fn closed<'b>(&self, area: &'b Area) -> &'b Closed {
        area.closed.get_or_init(|| {
            let allowing = self.allowing.get_or_init(|| self.find_allowing());
            let answers = |place: &Place| {
                allowing.get(&place.target).into_iter().flatten().map(|area| self.answers(area))
            };
            let terrain = self.terrain(area);
            let is_shut = |(place, port): &&(Rc<Place>, u16)| {
                !answers(place).any(|answers| answers.opaque.contains(port))
            };
            let is_strange =
                |place: &&Rc<Place>| place.is_edge && !answers(place).any(|answers| answers.strangers);
            Closed {
                opaque: terrain.opaque.iter().filter(is_shut).cloned().collect(),
                edges: terrain.places.iter().filter(is_strange).cloned().collect(),
            }
        })
    }

    fn answers<'b>(&self, area: &'b Area) -> &'b Answers {
        area.answers.get_or_init(|| {
            let allow = area.allow.borrow();
            let rules = || allow.iter().flat_map(|policy| &policy.rules);
            let ports: BTreeSet<u16> = self.terrain(area).opaque.iter().map(|(_, port)| *port).collect();
            let is_answered = |port: &u16| rules().any(|rule| of_opaque(rule, *port) == Opaque::Answered);
            Answers {
                opaque: ports.into_iter().filter(is_answered).collect(),
                strangers: rules().any(|rule| !asks_identity(rule) && !is_invalid(rule)),
            }
        })
    }

    fn find_allowing(&self) -> HashMap<Subscription, Vec<Rc<Area>>> {
        let mut found: HashMap<Subscription, Vec<Rc<Area>>> = HashMap::new();
        for object in self.world.objects_of("AuthorizationPolicy", None) {
            let Spec::AuthorizationPolicy(spec) = &object.spec else { continue };
            let policy = policies::compile(object, spec, &self.world.place.trust_domain);
            if policy.action != Action::Allow || policy.dry_run {
                continue;
            }
            let area = self.area(object, spec);
            if area.allow.borrow().is_empty() {
                for target in &area.targets {
                    found.entry(target.clone()).or_default().push(area.clone());
                }
            }
            area.allow.borrow_mut().push(policy);
        }
        found
    }
}

/// All groups by their labels.
fn index(world: &World) -> HashMap<Label<'_>, Vec<&Pair>> {
    let mut index: HashMap<Label<'_>, Vec<&Pair>> = HashMap::new();
    for (pair, group) in &world.groups {
        for (key, value) in &group.labels {
            index.entry((&pair.0, key, value)).or_default().push(pair);
        }
    }
    index
}

fn look(target: &Subscription, world: &World) -> Option<Place> {
    let new = |kind: &str, namespace: &str, name: &str, is_edge: bool| Place {
        object: ObjectRef::new(kind, namespace, name),
        is_edge,
        ports: BTreeMap::new(),
        aliases: Vec::new(),
        target: target.clone(),
    };
    match target {
        Subscription::Inbound { namespace, group } => {
            let mut place = new("WorkloadGroup", namespace, group, false);
            for port in gateways::inbound(&(namespace.clone(), group.clone()), world)?.ports {
                place.ports.insert(port.port, port.protocol);
                let differs = port.names.iter().filter(|(_, service_port)| *service_port != port.port);
                place.aliases.extend(differs.map(|(host, of)| (*of, port.port, host.to_string())));
            }
            Some(place)
        }
        Subscription::Gateway { namespace, name } => {
            let is_edge = gateways::find_gateway(namespace, name, CLASS, world).is_some();
            let mut place = new("Gateway", namespace, name, is_edge);
            if is_edge {
                let gateway = gateways::gateway(namespace, name, world)?;
                let ports = gateway.listeners.iter().map(|listener| (listener.port, Protocol::Http1));
                place.ports.extend(ports);
            } else {
                // Between networks: ports of services, and bytes that nobody can read.
                let exports = gateways::exports(world).hosts;
                place.ports.extend(exports.into_iter().map(|(_, port)| (port, Protocol::Tcp)));
            }
            Some(place)
        }
        _ => None,
    }
}
