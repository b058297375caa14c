//! The parents of a route, whichever kind it is of: which of those that it names take it.

use super::global_service::hosts_won;
use super::host::{find_host, service_host};
use super::missing::RouteFindings;
use super::workload_group::selects_namespace;
use super::{WorldReader, listener_set};
use api::fields::parent_ref::ParentRef;
use api::kinds::gateway::{CLASS, FromNamespaces, GatewaySpec, Listener};
use api::kinds::listener_set::ListenerSetSpec;
use api::kinds::{GATEWAY_GROUP, LENO_GROUP};
use api::{Object, Spec};
use model::route::Parent;
use model::{Code, Finding, Hostname, ObjectRef};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A route as its parents see it.
#[derive(Clone, Copy)]
pub(super) struct RouteParents<'a> {
    pub(super) object: &'a Object,
    pub(super) kind: RouteType,
    pub(super) parent_refs: &'a [ParentRef],
    /// Empty: all.
    pub(super) hostnames: &'a [String],
    /// Line of `spec`.
    pub(super) line: u32,
}

/// What a listener looks at to tell whether a route is for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteType {
    Http,
    Grpc,
    Tcp,
    Udp,
    Tls,
}

impl RouteType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
            Self::Tcp => "TCPRoute",
            Self::Udp => "UDPRoute",
            Self::Tls => "TLSRoute",
        }
    }

    /// Whether what comes in by this protocol can be routed so (Gateway API, "Supported Kinds").
    fn fits(self, protocol: &str) -> bool {
        match self {
            Self::Http | Self::Grpc => matches!(protocol, "HTTP" | "HTTPS"),
            Self::Tcp => matches!(protocol, "TCP" | "TLS"),
            Self::Udp => protocol == "UDP",
            Self::Tls => protocol == "TLS",
        }
    }
}

/// A parent that takes the route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteParent {
    pub(super) parent: Parent,
    /// The route is not of the service's namespace: it is for callers of its own (GAMMA).
    pub(super) consumer: Option<Arc<str>>,
}

/// All parents that take the route.
pub(super) fn compile(
    route: &RouteParents<'_>,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> BTreeSet<RouteParent> {
    if route.parent_refs.is_empty() {
        let (cause, fix) =
            ("the route has no parentRefs, so it has no effect", "name a Gateway or a service in parentRefs");
        let origin = route.object.at(route.line);
        findings.push((Finding::new(Code::ParentNotFound, &origin, cause, fix), None));
    }
    let mut parents = BTreeSet::new();
    for reference in route.parent_refs {
        match find_parents(reference, route, read) {
            Ok(found) => parents.extend(found),
            Err(finding) => {
                let missing = target(reference, route.object);
                let missing = read.object(&missing).is_none().then_some(missing);
                findings.push((*finding, missing));
            }
        }
    }
    parents
}

/// The object that a parentRef names.
pub(super) fn target(reference: &ParentRef, route: &Object) -> ObjectRef {
    let namespace = reference.namespace.as_deref().unwrap_or(&route.meta.namespace);
    ObjectRef::new(reference.kind.as_deref().unwrap_or("Gateway"), namespace, &reference.name)
}

/// The hosts of a `Service` or a `GlobalService`.
pub(super) fn hosts(parent: &Object, read: &WorldReader<'_>) -> Vec<Hostname> {
    let pair = (parent.meta.namespace.clone(), parent.meta.name.clone());
    match &parent.spec {
        Spec::Service(_) => service_host(&pair).into_iter().collect(),
        Spec::GlobalService(_) => hosts_won(&pair, read),
        _ => Vec::new(),
    }
}

fn find_parents(
    reference: &ParentRef,
    route: &RouteParents<'_>,
    read: &WorldReader<'_>,
) -> Result<Vec<RouteParent>, Box<Finding>> {
    let target = target(reference, route.object);
    let origin = route.object.at(reference.line);
    let finding = |code, cause: String, fix: &str| Box::new(Finding::new(code, &origin, cause, fix));
    let Some(parent) = read.object(&target) else {
        return Err(finding(Code::ParentNotFound, format!("parent {target} does not exist"), ""));
    };
    match (reference.group.as_deref().unwrap_or(GATEWAY_GROUP), &parent.spec) {
        (GATEWAY_GROUP, Spec::Gateway(gateway)) => gateway_parents(reference, route, (parent, gateway), read)
            .map_err(|(cause, fix)| finding(Code::ParentNotFound, cause, fix)),
        (GATEWAY_GROUP, Spec::ListenerSet(set)) => set_parents(reference, route, (parent, set), read)
            .map_err(|(cause, fix)| finding(Code::ParentNotFound, cause, fix)),
        ("", Spec::Service(_)) | (LENO_GROUP, Spec::GlobalService(_)) if route.kind == RouteType::Udp => {
            let cause =
                format!("parent {target} takes no UDPRoute: between workloads the mesh carries TCP alone");
            Err(finding(Code::Unsupported, cause, "name a Gateway with a UDP listener"))
        }
        ("", Spec::Service(_)) | (LENO_GROUP, Spec::GlobalService(_)) => {
            service_parents(reference, route, parent, read)
                .map_err(|(cause, fix)| finding(Code::PortNotFound, cause, fix))
        }
        (group, _) => {
            let cause = format!("parent {target} is not of group `{group}`");
            Err(finding(Code::ParentNotFound, cause, "correct `group`"))
        }
    }
}

/// Cause and fix.
type CauseAndFix = (String, &'static str);

/// Every host of the service. A route of its namespace is the producer's, and for all callers.
fn service_parents(
    reference: &ParentRef,
    route: &RouteParents<'_>,
    object: &Object,
    read: &WorldReader<'_>,
) -> Result<Vec<RouteParent>, CauseAndFix> {
    let hosts = hosts(object, read);
    let port = reference.port.unwrap_or(0);
    let known = |host| {
        find_host(host, read).is_none_or(|entry| entry.service.ports.iter().any(|known| known.port == port))
    };
    if port != 0 && !hosts.iter().any(known) {
        let cause = format!("parent {} has no port {port}", object.object);
        return Err((cause, "name a port of the service, or none for all"));
    }
    let own = &route.object.meta.namespace;
    let consumer = (object.meta.namespace != *own).then(|| own.clone());
    let parent = |host| RouteParent { parent: Parent::Service { host, port }, consumer: consumer.clone() };
    Ok(hosts.into_iter().map(parent).collect())
}

/// Listeners that a route may name together.
struct NamedListeners<'a> {
    /// What lists them: a `Gateway` or a `ListenerSet`.
    owner: &'a Object,
    /// The gateway that has them.
    gateway: &'a Object,
    /// Each with its name among all of the gateway.
    listeners: Vec<(Arc<str>, &'a Listener)>,
}

/// Those that the gateway lists itself; one parent for all of them if all take the route.
fn gateway_parents(
    reference: &ParentRef,
    route: &RouteParents<'_>,
    (object, gateway): (&Object, &GatewaySpec),
    read: &WorldReader<'_>,
) -> Result<Vec<RouteParent>, CauseAndFix> {
    if gateway.gateway_class_name != CLASS {
        let cause = format!(
            "{} has the class {}, which takes no routes here",
            object.object, gateway.gateway_class_name
        );
        return Err((cause, "use a Gateway with gatewayClassName leno"));
    }
    let listeners =
        gateway.listeners.iter().map(|listener| (listener.name.as_str().into(), listener)).collect();
    let named = NamedListeners { owner: object, gateway: object, listeners };
    let parents = listener_parents(reference, route, &named, read)?;
    if parents.len() == gateway.listeners.len() && matches!(route.kind, RouteType::Http | RouteType::Grpc) {
        let (namespace, name) = (object.meta.namespace.clone(), object.meta.name.clone());
        let parent = Parent::Gateway { namespace, name, listener: "".into() };
        return Ok(vec![RouteParent { parent, consumer: None }]);
    }
    Ok(parents)
}

/// Those of a set that its gateway has taken up.
fn set_parents(
    reference: &ParentRef,
    route: &RouteParents<'_>,
    (object, set): (&Object, &ListenerSetSpec),
    read: &WorldReader<'_>,
) -> Result<Vec<RouteParent>, CauseAndFix> {
    let gateway = read.object(&listener_set::target(object, set));
    let gateway = gateway.and_then(|gateway| match &gateway.spec {
        Spec::Gateway(spec) => Some((&**gateway, &**spec)),
        _ => None,
    });
    let taken =
        gateway.map(|(gateway, spec)| (gateway, listener_set::listeners_of_sets(gateway, spec, read).0));
    let Some((gateway, taken)) = taken else {
        return Err((format!("the Gateway of {} does not exist", object.object), "correct its parentRef"));
    };
    let of_set = taken.into_iter().filter(|taken| taken.set.object == object.object);
    let listeners = of_set.map(|taken| (taken.name, taken.listener)).collect();
    listener_parents(reference, route, &NamedListeners { owner: object, gateway, listeners }, read)
}

/// The listeners that take the route.
fn listener_parents(
    reference: &ParentRef,
    route: &RouteParents<'_>,
    all: &NamedListeners<'_>,
    read: &WorldReader<'_>,
) -> Result<Vec<RouteParent>, CauseAndFix> {
    let owner = &all.owner.object;
    let mut left = all.listeners.clone();
    left.retain(|(_, listener)| {
        reference.section_name.as_deref().is_none_or(|name| name == listener.name)
            && reference.port.is_none_or(|port| port == listener.port)
    });
    if left.is_empty() {
        return Err((format!("{owner} has no such listener"), "correct sectionName or port"));
    }
    left.retain(|(_, listener)| takes_kind(listener, route.kind));
    if left.is_empty() {
        let cause = format!("no listener of {owner} takes a {}", route.kind.name());
        return Err((cause, "name a listener of a protocol and allowedRoutes.kinds that fit"));
    }
    left.retain(|(_, listener)| admits(listener, all.owner, route.object, read));
    if left.is_empty() {
        let cause = format!("{owner} does not allow routes from namespace {}", route.object.meta.namespace);
        return Err((cause, "set allowedRoutes.namespaces.from on its listener"));
    }
    let meets = |(_, listener): &(Arc<str>, &Listener)| {
        let host = listener.hostname.as_deref();
        route.hostnames.is_empty()
            || host.is_none_or(|host| route.hostnames.iter().any(|name| overlap(host, name)))
    };
    left.retain(meets);
    if left.is_empty() {
        return Err((format!("no hostname of the route fits a listener of {owner}"), "correct hostnames"));
    }
    let parent = |(listener, _)| {
        let (namespace, name) = (all.gateway.meta.namespace.clone(), all.gateway.meta.name.clone());
        RouteParent { parent: Parent::Gateway { namespace, name, listener }, consumer: None }
    };
    Ok(left.into_iter().map(parent).collect())
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

/// Whether a listener takes routes of this kind: its protocol first, then what it allows of that.
fn takes_kind(listener: &Listener, kind: RouteType) -> bool {
    let kinds = listener.allowed_routes.as_ref().map_or(&[][..], |allowed| &allowed.kinds);
    kind.fits(&listener.protocol)
        && (kinds.is_empty() || kinds.iter().any(|allowed| allowed.kind == kind.name()))
}

/// `owner` lists it: the gateway, or a ListenerSet.
fn admits(listener: &Listener, owner: &Object, route: &Object, read: &WorldReader<'_>) -> bool {
    let Some(allowed) = listener.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref())
    else {
        return owner.meta.namespace == route.meta.namespace;
    };
    match allowed.from.unwrap_or(FromNamespaces::Same) {
        FromNamespaces::All => true,
        FromNamespaces::Same => owner.meta.namespace == route.meta.namespace,
        FromNamespaces::Selector => selects_namespace(allowed.selector.as_ref(), &route.meta.namespace, read),
    }
}
