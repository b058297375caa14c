//! The parents of an `HTTPRoute`: which of those that it names take it.

use crate::units::WorldReader;
use crate::units::global_service::hosts_won;
use crate::units::host::{find_host, service_host};
use crate::units::workload_group::selects;
use api::kinds::gateway::{CLASS, FromNamespaces, GatewaySpec, Listener};
use api::kinds::http_route::{HttpRouteSpec, ParentRef};
use api::kinds::{GATEWAY_GROUP, LENO_GROUP};
use api::{Object, Spec};
use model::route::Parent;
use model::{Code, Finding, Hostname, ObjectRef};
use std::collections::BTreeSet;

/// All parents that take the route.
pub(super) fn compile(
    object: &Object,
    spec: &HttpRouteSpec,
    read: &WorldReader<'_>,
    findings: &mut Vec<(Finding, Option<ObjectRef>)>,
) -> BTreeSet<Parent> {
    if spec.parent_refs.is_empty() {
        let (cause, fix) =
            ("the route has no parentRefs, so it has no effect", "name a Gateway or a service in parentRefs");
        findings.push((Finding::new(Code::ParentNotFound, &object.at(spec.line), cause, fix), None));
    }
    let mut parents = BTreeSet::new();
    for reference in &spec.parent_refs {
        match find_parents(reference, object, spec, read) {
            Ok(found) => parents.extend(found),
            Err(finding) => {
                let missing = target(reference, object);
                let missing = read.object(&missing).is_none().then_some(missing);
                findings.push((*finding, missing));
            }
        }
    }
    parents
}

/// The object that a parentRef names.
pub(super) fn target(reference: &ParentRef, object: &Object) -> ObjectRef {
    let namespace = reference.namespace.as_deref().unwrap_or(&object.meta.namespace);
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
    object: &Object,
    spec: &HttpRouteSpec,
    read: &WorldReader<'_>,
) -> Result<Vec<Parent>, Box<Finding>> {
    let own = &*object.meta.namespace;
    let namespace = reference.namespace.as_deref().unwrap_or(own);
    let target = target(reference, object);
    let origin = object.at(reference.line);
    let finding = |code, cause: String, fix: &str| Box::new(Finding::new(code, &origin, cause, fix));
    let Some(parent) = read.object(&target) else {
        return Err(finding(Code::ParentNotFound, format!("parent {target} does not exist"), ""));
    };
    match (reference.group.as_deref().unwrap_or(GATEWAY_GROUP), &parent.spec) {
        (GATEWAY_GROUP, Spec::Gateway(gateway)) => {
            gateway_parents(reference, object, spec, (parent, gateway), read)
                .map_err(|(cause, fix)| finding(Code::ParentNotFound, cause, fix))
        }
        (_, Spec::Service(_) | Spec::GlobalService(_)) if namespace != own => {
            let cause =
                format!("parent {target} is in another namespace, and consumer routes are not supported yet");
            Err(finding(Code::Unsupported, cause, "put the route into the service's namespace"))
        }
        ("", Spec::Service(_)) | (LENO_GROUP, Spec::GlobalService(_)) => {
            let hosts = hosts(parent, read);
            let port = reference.port.unwrap_or(0);
            let known = |host| {
                find_host(host, read).is_none_or(|entry| entry.service.ports.iter().any(|p| p.port == port))
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

/// Cause and fix.
type CauseAndFix = (String, &'static str);

/// The listeners that take the route; one parent for all of them if they are all there are.
fn gateway_parents(
    reference: &ParentRef,
    route: &Object,
    spec: &HttpRouteSpec,
    (object, gateway): (&Object, &GatewaySpec),
    read: &WorldReader<'_>,
) -> Result<Vec<Parent>, CauseAndFix> {
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
        named.into_iter().filter(|listener| admits(listener, object, route, read)).collect();
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

fn admits(listener: &Listener, gateway: &Object, route: &Object, read: &WorldReader<'_>) -> bool {
    let Some(allowed) = listener.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref())
    else {
        return gateway.meta.namespace == route.meta.namespace;
    };
    match allowed.from.unwrap_or(FromNamespaces::Same) {
        FromNamespaces::All => true,
        FromNamespaces::Same => gateway.meta.namespace == route.meta.namespace,
        FromNamespaces::Selector => {
            let object = read.object(&ObjectRef::new("Namespace", "", &route.meta.namespace));
            let selector = allowed.selector.as_ref();
            object
                .zip(selector)
                .is_some_and(|(object, selector)| selects(&selector.match_labels, &object.meta.labels))
        }
    }
}
