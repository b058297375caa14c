//! Where a route's `backendRefs` lead, whichever kind the route is of.

use super::WorldReader;
use super::global_service::hosts_won;
use super::missing::RouteFindings;
use super::reference_grant::{is_granted, not_granted};
use api::fields::backend_ref::BackendTarget;
use api::kinds::LENO_GROUP;
use api::{Object, Spec};
use model::route::RouteBackend;
use model::service::{Protocol, Service, ServicePort};
use model::{Code, Finding, Hostname, ObjectRef};

/// The destination of a backend. One that cannot be used is told, and has no host: its share of requests is answered with
/// 500, of connections refused (Gateway API).
pub(super) fn compile(
    backend: &BackendTarget<'_>,
    route: &Object,
    read: &WorldReader<'_>,
    findings: &mut RouteFindings,
) -> RouteBackend {
    match resolve(backend, route, read) {
        Ok((host, port)) => RouteBackend::new(Some(host), port, backend.weight),
        Err(UnusableBackend { finding, missing }) => {
            findings.push((*finding, missing));
            RouteBackend::new(None, backend.port.unwrap_or(0), backend.weight)
        }
    }
}

/// Why a backend cannot be used.
struct UnusableBackend {
    finding: Box<Finding>,
    missing: Option<ObjectRef>,
}

fn resolve(
    backend: &BackendTarget<'_>,
    route: &Object,
    read: &WorldReader<'_>,
) -> Result<(Hostname, u16), UnusableBackend> {
    let BackendTarget { group, kind, .. } = *backend;
    let namespace = backend.namespace.unwrap_or(&route.meta.namespace);
    let target = ObjectRef::new(kind, namespace, backend.name);
    let refuse = |code, cause: String, fix: &str| UnusableBackend {
        finding: Box::new(Finding::new(code, &route.at(backend.line), cause, fix)),
        missing: None,
    };
    if !matches!((group, kind), ("", "Service") | (LENO_GROUP, "GlobalService" | "Backend")) {
        let cause = format!("backend kind {kind} of group `{group}` is not known");
        let fix = "use Service, or GlobalService or Backend of group leno.dev";
        return Err(refuse(Code::ReferenceNotFound, cause, fix));
    }
    if !is_granted(route, group, &target, read) {
        let finding = Box::new(not_granted(route, backend.line, group, &target));
        return Err(UnusableBackend { finding, missing: None });
    }
    let Some(found) = read.object(&target) else {
        let refused = refuse(Code::ReferenceNotFound, format!("backend {target} does not exist"), "");
        return Err(UnusableBackend { missing: Some(target), ..refused });
    };
    let Some(service) = service_of(found, read) else {
        let cause = format!("backend {target} has no port that the mesh carries");
        let fix = "give it a TCP port, or wait for a cluster that has it";
        return Err(refuse(Code::ReferenceNotFound, cause, fix));
    };
    let port = choose_port(backend.port, service, route, &target)
        .map_err(|(cause, fix)| refuse(Code::PortNotFound, cause, &fix))?;
    Ok((service.host.clone(), port))
}

/// What a `Service`, `Backend` or `GlobalService` is compiled to.
fn service_of<'w>(object: &Object, read: &WorldReader<'w>) -> Option<&'w Service> {
    let pair = (object.meta.namespace.clone(), object.meta.name.clone());
    let known = match &object.spec {
        Spec::Service(_) => read.service(&pair),
        Spec::Backend(_) => read.backend(&pair),
        _ => hosts_won(&pair, read).first().and_then(|host| read.global_host(host)),
    };
    known.map(|known| &known.service)
}

/// The port that is named, or the only one, of those that the route is for; otherwise cause and fix.
fn choose_port(
    named: Option<u16>,
    service: &Service,
    route: &Object,
    target: &ObjectRef,
) -> Result<u16, (String, String)> {
    let is_udp = matches!(route.spec, Spec::UdpRoute(_));
    let fits = |known: &&ServicePort| (known.protocol == Protocol::Udp) == is_udp;
    let ports: Vec<u16> = service.ports.iter().filter(fits).map(|known| known.port).collect();
    let transport = if is_udp { "UDP" } else { "TCP" };
    match (named, ports.as_slice()) {
        (_, []) => {
            let fix = match is_udp {
                true => "name a Backend with `protocol: udp`; Services have no UDP ports here yet",
                false => "name one that speaks TCP",
            };
            Err((format!("backend {target} has no {transport} port"), fix.to_owned()))
        }
        (Some(port), ports) if ports.contains(&port) => Ok(port),
        (Some(port), ports) => {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            Err((format!("backend {target} has no port {port}"), format!("its ports: {}", ports.join(", "))))
        }
        (None, [only]) => Ok(*only),
        (None, _) => {
            Err((format!("backend {target} has several ports, and none is named"), "add `port`".to_owned()))
        }
    }
}
