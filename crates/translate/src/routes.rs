//! One `HTTPRoute`: a rule resource for each of its rules under each of its parents.

mod rule;

pub(crate) use rule::host_match;

use crate::hosts::service_host;
use crate::world::{World, selects};
use api::kinds::gateway::{CLASS, FromNamespaces, GatewaySpec, Listener};
use api::kinds::http_route::{HttpRouteSpec, ParentRef};
use api::kinds::{GATEWAY_GROUP, LENO_GROUP};
use api::{Object, Spec};
use model::route::{Parent, RouteRule};
use model::{Code, Finding, ObjectRef, ResourceKey, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A compiled route.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RouteEntry {
    /// Sorted by key. Lists, because most routes have one or two of each, and a map's first node is for eleven.
    pub(crate) rules: Box<[(ResourceKey, Arc<RouteRule>)]>,
    /// Every object that the outcome depends on, existing or not.
    pub(crate) mentions: Vec<ObjectRef>,
    /// What is wrong, and the missing object if that is what is wrong: a better name for it depends on
    /// which objects exist, so `problems` looks for one when it is asked.
    pub(crate) findings: Vec<(Finding, Option<ObjectRef>)>,
}

impl RouteEntry {
    pub(crate) fn find(&self, key: &ResourceKey) -> Option<&Arc<RouteRule>> {
        let at = self.rules.binary_search_by(|(own, _)| own.cmp(key)).ok()?;
        self.rules.get(at).map(|(_, rule)| rule)
    }
}

/// Which subscription carries rules of this parent.
pub(crate) fn subscription(parent: &Parent) -> Subscription {
    match parent {
        Parent::Service { host, .. } => Subscription::Host(host.clone()),
        Parent::Gateway { namespace, name, .. } => {
            Subscription::Gateway { namespace: namespace.clone(), name: name.clone() }
        }
    }
}

pub(crate) fn compile(object: &Object, world: &World) -> RouteEntry {
    let mut entry = RouteEntry::default();
    let Spec::HttpRoute(spec) = &object.spec else { return entry };
    if spec.parent_refs.is_empty() {
        let (cause, fix) =
            ("the route has no parentRefs, so it has no effect", "name a Gateway or a service in parentRefs");
        entry.findings.push((Finding::new(Code::ParentNotFound, &object.at(spec.line), cause, fix), None));
    }
    let mut parents = BTreeSet::new();
    for reference in &spec.parent_refs {
        match find_parents(reference, object, spec, world, &mut entry.mentions) {
            Ok(found) => parents.extend(found),
            Err(finding) => {
                let missing = target(reference, object);
                let missing = (!world.objects.contains_key(&missing)).then_some(missing);
                entry.findings.push((*finding, missing));
            }
        }
    }
    let rules = rule::compile(object, spec, world, &mut entry);
    entry.mentions.sort_unstable();
    entry.mentions.dedup();
    entry.mentions.shrink_to_fit();
    let mut all = Vec::with_capacity(parents.len() * rules.len());
    for parent in &parents {
        for rule in &rules {
            let key = ResourceKey::Rule {
                parent: parent.clone(),
                namespace: object.meta.namespace.clone(),
                route: object.meta.name.clone(),
                index: rule.index,
            };
            let mut rule = RouteRule { parent: parent.clone(), ..rule.clone() };
            if matches!(parent, Parent::Service { .. }) {
                // GAMMA: host names of the route do not count in the mesh.
                rule.hosts.clear();
            }
            all.push((key, Arc::new(rule)));
        }
    }
    all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    entry.rules = all.into();
    entry
}

/// The object that a parentRef names.
pub(crate) fn target(reference: &ParentRef, object: &Object) -> ObjectRef {
    let namespace = reference.namespace.as_deref().unwrap_or(&object.meta.namespace);
    ObjectRef::new(reference.kind.as_deref().unwrap_or("Gateway"), namespace, &reference.name)
}

fn find_parents(
    reference: &ParentRef,
    object: &Object,
    spec: &HttpRouteSpec,
    world: &World,
    mentions: &mut Vec<ObjectRef>,
) -> Result<Vec<Parent>, Box<Finding>> {
    let own = &*object.meta.namespace;
    let namespace = reference.namespace.as_deref().unwrap_or(own);
    let target = target(reference, object);
    mentions.push(target.clone());
    let origin = object.at(reference.line);
    let finding = |code, cause: String, fix: &str| Box::new(Finding::new(code, &origin, cause, fix));
    let Some(parent) = world.objects.get(&target) else {
        return Err(finding(Code::ParentNotFound, format!("parent {target} does not exist"), ""));
    };
    match (reference.group.as_deref().unwrap_or(GATEWAY_GROUP), &parent.spec) {
        (GATEWAY_GROUP, Spec::Gateway(gateway)) => {
            gateway_parents(reference, object, spec, (parent, gateway), world)
                .map_err(|(cause, fix)| finding(Code::ParentNotFound, cause, fix))
        }
        (_, Spec::Service(_) | Spec::GlobalService(_)) if namespace != own => {
            let cause =
                format!("parent {target} is in another namespace, and consumer routes are not supported yet");
            Err(finding(Code::Unsupported, cause, "put the route into the service's namespace"))
        }
        ("", Spec::Service(_)) | (LENO_GROUP, Spec::GlobalService(_)) => {
            let hosts = match &parent.spec {
                Spec::Service(_) => service_host(namespace, &reference.name).into_iter().collect(),
                _ => world.hosts_won(parent),
            };
            let port = reference.port.unwrap_or(0);
            let known = |host| {
                world.hosts.get(host).is_none_or(|entry| entry.service.ports.iter().any(|p| p.port == port))
            };
            if port != 0 && !hosts.iter().any(known) {
                let cause = format!("parent {target} has no port {port}");
                return Err(finding(
                    Code::PortNotFound,
                    cause,
                    "name a port of the service, or none for all",
                ));
            }
            Ok(hosts.into_iter().map(|host| Parent::Service { host, port }).collect())
        }
        (group, _) => {
            let cause = format!("parent {target} is not of group `{group}`");
            Err(finding(Code::ParentNotFound, cause, "correct `group`"))
        }
    }
}

type Refusal = (String, &'static str);

/// The listeners that take the route; one parent for all of them if they are all there are.
fn gateway_parents(
    reference: &ParentRef,
    route: &Object,
    spec: &HttpRouteSpec,
    (object, gateway): (&Object, &GatewaySpec),
    world: &World,
) -> Result<Vec<Parent>, Refusal> {
    if gateway.gateway_class_name != CLASS {
        let cause = format!(
            "{} has the class {}, which takes no routes here",
            object.object, gateway.gateway_class_name
        );
        return Err((cause, "use a Gateway with gatewayClassName leno"));
    }
    let named = |listener: &&Listener| {
        reference.section_name.as_deref().is_none_or(|name| name == listener.name)
            && reference.port.is_none_or(|port| port == listener.port)
    };
    let named: Vec<&Listener> = gateway.listeners.iter().filter(named).collect();
    if named.is_empty() {
        let cause = format!("{} has no such listener", object.object);
        return Err((cause, "correct sectionName or port"));
    }
    let allowed: Vec<&Listener> =
        named.into_iter().filter(|listener| admits(listener, object, route, world)).collect();
    if allowed.is_empty() {
        let cause =
            format!("{} does not allow routes from namespace {}", object.object, route.meta.namespace);
        return Err((cause, "set allowedRoutes.namespaces.from on its listener"));
    }
    let meets = |listener: &&&Listener| {
        let host = listener.hostname.as_deref();
        spec.hostnames.is_empty()
            || host.is_none_or(|host| spec.hostnames.iter().any(|name| overlap(host, name)))
    };
    if allowed.iter().filter(meets).count() == 0 {
        let cause = format!("no hostname of the route fits a listener of {}", object.object);
        return Err((cause, "correct hostnames"));
    }
    let parent = |listener: &str| Parent::Gateway {
        namespace: object.meta.namespace.clone(),
        name: object.meta.name.clone(),
        listener: listener.into(),
    };
    if allowed.len() == gateway.listeners.len() {
        return Ok(vec![parent("")]);
    }
    Ok(allowed.iter().map(|listener| parent(&listener.name)).collect())
}

/// Whether two host names, each perhaps with a wildcard, have a name in common.
fn overlap(a: &str, b: &str) -> bool {
    let below = |name: &str, suffix: &str| {
        name.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    };
    match (a.strip_prefix("*."), b.strip_prefix("*.")) {
        (None, None) => a == b,
        (Some(suffix), None) => below(b, suffix),
        (None, Some(suffix)) => below(a, suffix),
        (Some(x), Some(y)) => x == y || below(x, y) || below(y, x),
    }
}

fn admits(listener: &Listener, gateway: &Object, route: &Object, world: &World) -> bool {
    let Some(allowed) = listener.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref())
    else {
        return gateway.meta.namespace == route.meta.namespace;
    };
    match allowed.from.unwrap_or(FromNamespaces::Same) {
        FromNamespaces::All => true,
        FromNamespaces::Same => gateway.meta.namespace == route.meta.namespace,
        FromNamespaces::Selector => {
            let object = world.objects.get(&ObjectRef::new("Namespace", "", &route.meta.namespace));
            let selector = allowed.selector.as_ref();
            object
                .zip(selector)
                .is_some_and(|(object, selector)| selects(&selector.match_labels, &object.meta.labels))
        }
    }
}

/// Advice for a reference to nothing: the object of this kind and namespace with the nearest name.
pub(crate) fn nearest(target: &ObjectRef, world: &World) -> String {
    let same = world.objects_of(&target.kind, Some(&target.namespace));
    let names: Vec<Arc<str>> = same.map(|object| object.meta.name.clone()).collect();
    let known: Vec<&str> = names.iter().map(|name| &**name).collect();
    match api::suggest::nearest(&target.name, &known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("create {target} or correct the name"),
    }
}
