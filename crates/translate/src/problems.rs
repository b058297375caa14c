//! What is wrong with objects as a whole: references, conflicts, policies that cannot mean what they say.

mod conflict;
mod policies;
mod survey;

use crate::hosts::{HostEntry, backend_service, find_export, service_host};
use crate::policies as world_policies;
use crate::routes::{self, nearest};
use crate::settings;
use crate::world::World;
use api::kinds::authorization_policy::AuthorizationPolicySpec;
use api::kinds::gateway::{CLASS, EAST_WEST_CLASS};
use api::kinds::global_service::{GlobalBackend, GlobalServiceSpec};
use api::kinds::http_route::{HttpRouteSpec, ParentRef};
use api::kinds::mesh_settings::MeshSettingsSpec;
use api::{Object, ROOT_NAMESPACE, Spec};
use model::service::Protocol;
use model::{Code, Finding, Hostname, ObjectRef};
use std::sync::Arc;
use survey::{Area, Survey};

/// All findings, sorted by file, line and code.
pub(crate) fn all(world: &World) -> Vec<Finding> {
    let mut findings = of(world.objects.values(), world);
    findings.sort_by(|a, b| {
        let place = |f: &Finding| (f.origin.file.clone(), f.origin.line, f.code, f.origin.object.clone());
        place(a).cmp(&place(b))
    });
    findings
}

/// The findings about these objects: what each says in vain, and what is wrong with it among all others.
pub(crate) fn of<'a>(objects: impl Iterator<Item = &'a Arc<Object>>, world: &'a World) -> Vec<Finding> {
    let survey = Survey::new(world);
    let mut findings = Vec::new();
    for object in objects {
        findings.extend_from_slice(&object.warnings);
        findings.extend(among_others(object, &survey));
    }
    findings
}

fn among_others<'a>(object: &'a Object, survey: &Survey<'a>) -> Vec<Finding> {
    let world = survey.world;
    match &object.spec {
        Spec::Service(spec) => {
            let groups = survey.groups_selected(&object.meta.namespace, &spec.selector);
            if !groups.is_empty() {
                return conflict::protocols(object, spec, &groups, world);
            }
            let cause = match spec.selector.is_empty() {
                true => "the service has no selector, so it has no workloads",
                false => "the selector matches no WorkloadGroup",
            };
            let fix = "let it match `spec.metadata.labels` of a WorkloadGroup of the namespace";
            vec![Finding::new(Code::NoWorkloads, &object.at(spec.line), cause, fix)]
        }
        Spec::HttpRoute(spec) => {
            let route = world.routes.get(&(object.meta.namespace.clone(), object.meta.name.clone()));
            let complete = |(finding, missing): &(Finding, Option<ObjectRef>)| match missing {
                Some(missing) => {
                    let (cause, fix) = about_missing(missing, finding.cause.clone(), world);
                    Finding { cause, fix, ..finding.clone() }
                }
                None => finding.clone(),
            };
            let known = route.iter().flat_map(|route| &route.findings).map(complete);
            known.chain(routes_on_tcp(object, spec, world)).collect()
        }
        Spec::Gateway(spec) => {
            let class = spec.gateway_class_name.as_str();
            if class == CLASS || class == EAST_WEST_CLASS {
                return Vec::new();
            }
            let cause =
                format!("gatewayClassName `{class}` is none of Leno's, so nothing here serves this gateway");
            // Who means ours has slipped; who names another's class may well mean that one.
            let (code, fix) = match api::suggest::nearest(class, &[CLASS, EAST_WEST_CLASS]) {
                Some(near) => (Code::ReferenceNotFound, format!("did you mean `{near}`?")),
                None => (
                    Code::Foreign,
                    "nothing needs to be done if another controller serves it; for Leno write `leno`".into(),
                ),
            };
            vec![Finding::new(code, &object.at(spec.line), cause, fix)]
        }
        Spec::GlobalService(spec) => global_service(object, spec, world),
        Spec::AuthorizationPolicy(spec) => {
            let area = survey.area(object, spec);
            let nobody = concerns_nobody(object, spec, &area).into_iter();
            nobody
                .chain(http_on_tcp(object, spec, &area, survey))
                .chain(self::policies::find(object, spec, &area, survey))
                .collect()
        }
        Spec::MeshSettings(spec) => mesh_settings(object, spec, world),
        _ => Vec::new(),
    }
}

fn mesh_settings(object: &Object, spec: &MeshSettingsSpec, world: &World) -> Vec<Finding> {
    let own = world.place.trust_domain.as_str();
    let mut findings = Vec::new();
    if let Some(domain) = spec.trust_domain.as_deref().filter(|domain| *domain != own) {
        let cause = format!("trustDomain `{domain}` is not that of the running control plane, `{own}`");
        let fix = "write that one, or restart the control plane with the new one";
        findings.push(Finding::new(Code::BadValue, &object.at(spec.line), cause, fix));
    }
    if let Some((winner, _)) = settings::in_force(world).filter(|(winner, _)| winner.object != object.object)
    {
        let cause = format!("{} is in force; of this one only `dns.suffixes` count", winner.object);
        let fix = "put all settings into one object named `default`";
        findings.push(Finding::new(Code::Ignored, &object.at(spec.line), cause, fix));
    }
    findings
}

fn global_service(object: &Object, spec: &GlobalServiceSpec, world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hosts: Vec<Hostname> = spec.hosts.iter().filter_map(|host| Hostname::parse(host)).collect();
    for host in &hosts {
        match world.winner(host) {
            Some(winner) if winner.object != object.object => {
                let cause = format!("host {host} already belongs to {}", winner.object);
                let fix = "use another host, or remove one of the two";
                findings.push(Finding::new(Code::HostConflict, &object.at(spec.line), cause, fix));
            }
            _ => {}
        }
    }
    findings.extend(disagreements(object, spec, world));
    findings.extend(conflict::unknown_clusters(object, spec, world));
    // The same document goes to every cluster: a service that is missing here may well be elsewhere.
    let elsewhere = hosts.iter().any(|host| world.others().any(|remote| find_export(remote, host).is_some()));
    for backend in &spec.backends {
        if backend_service(object, backend).is_none() {
            let cause = format!(
                "service {} is in another namespace, which no ReferenceGrant can allow yet",
                backend.service.name
            );
            let fix = "put the GlobalService into the service's namespace";
            findings.push(Finding::new(Code::ReferenceNotFound, &object.at(backend.line), cause, fix));
            continue;
        }
        if elsewhere {
            continue;
        }
        let namespace = backend.service.namespace.as_deref().unwrap_or(&object.meta.namespace);
        let target = ObjectRef::new("Service", namespace, &backend.service.name);
        let known = service_host(namespace, &backend.service.name)
            .is_some_and(|host| world.hosts.contains_key(&host));
        if !known {
            let cause = format!("{target} exists neither here nor in another cluster");
            let (cause, fix) = about_missing(&target, cause, world);
            findings.push(Finding::new(Code::BackendNotFound, &object.at(backend.line), cause, fix));
        }
    }
    findings
}

/// Cause and fix for a reference to what is not there: it may be written, and refused.
fn about_missing(target: &ObjectRef, cause: String, world: &World) -> (String, String) {
    match world.refused.get(target) {
        Some(origin) if origin.file.is_empty() => {
            (format!("{target} was refused, so it is not in force"), "correct that object".to_owned())
        }
        Some(origin) => {
            let fix = format!("correct that object ({}:{})", origin.file, origin.line);
            (format!("{target} was refused, so it is not in force"), fix)
        }
        None => (cause, nearest(target, world)),
    }
}

/// Parents of a route where it can never apply: what arrives at a TCP port is not read as HTTP.
fn routes_on_tcp(route: &Object, spec: &HttpRouteSpec, world: &World) -> Vec<Finding> {
    let on_tcp = |reference: &&ParentRef| {
        let hosts = match world.objects.get(&routes::target(reference, route)) {
            Some(parent) if parent.meta.namespace == route.meta.namespace => match &parent.spec {
                Spec::Service(_) => {
                    service_host(&parent.meta.namespace, &parent.meta.name).into_iter().collect()
                }
                _ => world.hosts_won(parent),
            },
            _ => Vec::new(),
        };
        let entry = hosts.first().and_then(|host| world.hosts.get(host));
        let ports = entry.iter().flat_map(|entry| &entry.service.ports);
        let mut meant =
            ports.filter(|port| reference.port.is_none_or(|number| number == port.port)).peekable();
        meant.peek().is_some() && meant.all(|port| port.protocol == Protocol::Tcp)
    };
    let finding = |reference: &ParentRef| {
        let parent = routes::target(reference, route);
        let what = reference.port.map_or("each port".to_owned(), |port| format!("port {port}"));
        let cause = format!("{what} of parent {parent} is TCP, where no HTTPRoute has an effect");
        let fix = "declare the port as HTTP (`appProtocol: http`, or a name like `http-web`), or remove the parentRef";
        Finding::new(Code::Ignored, &route.at(reference.line), cause, fix)
    };
    spec.parent_refs.iter().filter(on_tcp).map(finding).collect()
}

/// Services behind one host that have other ports than the first: an endpoint has no port of its own, so all
/// are called at that one's.
fn disagreements(object: &Object, spec: &GlobalServiceSpec, world: &World) -> Vec<Finding> {
    let hosts = world.hosts_won(object);
    let Some(entry) = hosts.first().and_then(|host| world.hosts.get(host)) else { return Vec::new() };
    let services: Vec<(&GlobalBackend, &HostEntry)> = spec
        .backends
        .iter()
        .filter_map(|backend| {
            let (namespace, name) = backend_service(object, backend)?;
            Some((backend, world.hosts.get(&service_host(namespace, name)?)?))
        })
        .collect();
    // One that is written in the GlobalService itself is meant for all.
    let is_written =
        |port: u16| spec.ports.iter().any(|written| written.port == port && written.target_port.is_some());
    let find = |entry: &HostEntry, port: u16| {
        entry.service.ports.iter().find(|known| known.port == port).map(|known| known.target_port)
    };
    let mut findings = Vec::new();
    for port in entry.service.ports.iter().map(|port| port.port).filter(|port| !is_written(*port)) {
        let first = services.iter().find_map(|(_, entry)| Some((entry, find(entry, port)?)));
        let Some((first, target)) = first else { continue };
        for (backend, other) in &services {
            let (own, theirs) = (&other.owner, &first.owner);
            let cause = match find(other, port) {
                Some(same) if same == target => continue,
                Some(differs) => format!("{own} maps port {port} to {differs}, but {theirs} to {target}"),
                None => format!("{own} has no port {port}, but {theirs} maps it to {target}"),
            };
            let cause = format!("{cause}, where all requests go");
            let fix = "give both the same port and targetPort, or each service a GlobalService of its own";
            findings.push(Finding::new(Code::PortConflict, &object.at(backend.line), cause, fix));
        }
    }
    findings
}

/// A policy that selects nothing: mostly a slip in a label, or Istio's root namespace instead of ours.
fn concerns_nobody(object: &Object, spec: &AuthorizationPolicySpec, area: &Area) -> Option<Finding> {
    const ISTIO_ROOT: &str = "istio-system";
    if !area.targets.is_empty() {
        return None;
    }
    let (cause, fix) = if &*object.meta.namespace == ISTIO_ROOT {
        let cause = format!("{ISTIO_ROOT} is a namespace like others here, so the policy concerns nobody");
        (cause, format!("for the whole mesh, put it into {}", ROOT_NAMESPACE))
    } else {
        let fix = "let `selector` match `spec.metadata.labels` of a WorkloadGroup of the namespace, or \
                   `targetRefs` name a Gateway of it";
        ("the policy concerns no workload and no gateway".to_owned(), fix.to_owned())
    };
    Some(Finding::new(Code::NoWorkloads, &object.at(spec.line), cause, fix))
}

/// HTTP conditions on ports that are declared as TCP: they can never match there (TS-07).
fn http_on_tcp(
    object: &Object,
    spec: &AuthorizationPolicySpec,
    area: &Area,
    survey: &Survey<'_>,
) -> Vec<Finding> {
    // Most policies name no ports: then there is nothing to look for among all workloads.
    if spec.rules.iter().all(|rule| rule.to.iter().all(|to| to.operation.ports.is_empty())) {
        return Vec::new();
    }
    let policy = world_policies::compile(object, spec, &survey.world.place.trust_domain);
    let tcp = &survey.terrain(area).tcp_of_groups;
    let mut findings = Vec::new();
    for (rule, written) in policy.rules.iter().zip(&spec.rules) {
        let headers = rule.when.iter().any(|when| matches!(when.key, model::authz::ConditionKey::Header(_)));
        for (operation, to) in rule.to.iter().zip(&written.to) {
            let wrong: Vec<String> =
                operation.ports.iter().filter(|port| tcp.contains(port)).map(u16::to_string).collect();
            if !wrong.is_empty() && (headers || operation.needs_http()) {
                let cause =
                    format!("an HTTP condition stands beside port {}, which is TCP", wrong.join(", "));
                let fix = "remove the port or the HTTP condition, or declare the port's protocol as http";
                findings.push(Finding::new(Code::HttpFieldOnTcp, &object.at(to.operation.line), cause, fix));
            }
        }
    }
    findings
}
