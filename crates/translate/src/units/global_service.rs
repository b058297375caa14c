//! One `GlobalService`: which hosts it wants, and on which services it stands. Who gets a host is `winner`; what it
//! is then, `global_host`.

use super::host::CompiledHost;
use super::missing::about_missing;
use super::{Topic, Unit, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::global_service::{GlobalBackend, GlobalServiceSpec};
use api::{Object, ROOT_NAMESPACE, Spec, suggest};
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::collections::BTreeSet;

/// What a `GlobalService` wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostClaims {
    /// When it was created: the eldest gets a host.
    created: u64,
    pub(crate) hosts: Vec<Hostname>,
    /// The services behind it that it may name.
    pub(super) services: Vec<Pair>,
}

pub(crate) struct GlobalServiceUnit;

impl Unit for GlobalServiceUnit {
    type Key = Pair;
    type Output = HostClaims;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::GlobalService(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<HostClaims> {
        let (object, spec) = global_service(key, read)?;
        Some(HostClaims {
            created: object.meta.created,
            hosts: hosts(spec),
            services: spec.backends.iter().filter_map(|backend| backend_service(object, backend)).collect(),
        })
    }

    fn topics(_key: &Pair, claims: &HostClaims) -> Vec<Topic> {
        let hosts = claims.hosts.iter().cloned().map(Topic::Claiming);
        hosts.chain(claims.services.iter().cloned().map(Topic::OnService)).collect()
    }

    /// A name exists as soon as somebody wants it.
    fn touches(
        _key: &Pair,
        _old: Option<&HostClaims>,
        _new: Option<&HostClaims>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        vec![Subscription::Mesh, Subscription::Exports]
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = global_service(key, read) else { return Vec::new() };
        let mut findings = lost_hosts(key, object, spec, read);
        findings.extend(disagreements(key, object, spec, read));
        findings.extend(unknown_clusters(object, spec, read));
        findings.extend(missing_services(object, spec, read));
        findings
    }
}

/// The object, for a unit that it makes.
pub(super) fn global_service<'w>(
    (namespace, name): &Pair,
    read: &WorldReader<'w>,
) -> Option<(&'w Object, &'w GlobalServiceSpec)> {
    let object = read.own_object(&ObjectRef::new("GlobalService", namespace, name))?;
    match &object.spec {
        Spec::GlobalService(spec) => Some((object, spec)),
        _ => None,
    }
}

pub(super) fn hosts(spec: &GlobalServiceSpec) -> Vec<Hostname> {
    spec.hosts.iter().filter_map(|host| Hostname::parse(host)).collect()
}

/// Namespace and name of the service behind a `GlobalService`; `None` for one of another namespace, whose
/// owners nobody asked. In the root namespace the mesh's operators write, who may name any.
fn backend_service(object: &Object, backend: &GlobalBackend) -> Option<Pair> {
    let own = &object.meta.namespace;
    let namespace = backend.service.namespace.as_deref().unwrap_or(own);
    let may_name = *namespace == **own || **own == *ROOT_NAMESPACE;
    may_name.then(|| (namespace.into(), backend.service.name.as_str().into()))
}

/// The `GlobalService` that has a host: the eldest, then the first by namespace and name.
pub(super) fn winner<'w>(host: &Hostname, read: &WorldReader<'w>) -> Option<&'w Pair> {
    let claiming = read.members(Topic::Claiming(host.clone())).into_iter();
    let pairs = claiming.filter_map(|member| match member {
        UnitKey::GlobalService(pair) => Some(pair),
        _ => None,
    });
    pairs.min_by_key(|pair| (read.global_service(pair).map(|claims| claims.created), *pair))
}

/// The hosts that a `GlobalService` has won, as it names them.
pub(super) fn hosts_won(key: &Pair, read: &WorldReader<'_>) -> Vec<Hostname> {
    let wanted = read.global_service(key).into_iter().flat_map(|claims| &claims.hosts);
    wanted.filter(|host| winner(host, read) == Some(key)).cloned().collect()
}

fn lost_hosts(key: &Pair, object: &Object, spec: &GlobalServiceSpec, read: &WorldReader<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in hosts(spec) {
        if let Some((namespace, name)) = winner(&host, read).filter(|winner| *winner != key) {
            let winner = ObjectRef::new("GlobalService", namespace, name);
            let cause = format!("host {host} already belongs to {winner}");
            let fix = "use another host, or remove one of the two";
            findings.push(Finding::new(Code::HostConflict, &object.at(spec.line), cause, fix));
        }
    }
    findings
}

/// Services behind one host that have other ports than the first: an endpoint has no port of its own, so all
/// are called at that one's.
fn disagreements(
    key: &Pair,
    object: &Object,
    spec: &GlobalServiceSpec,
    read: &WorldReader<'_>,
) -> Vec<Finding> {
    let hosts = hosts_won(key, read);
    let Some(entry) = hosts.first().and_then(|host| read.global_host(host)) else { return Vec::new() };
    let services: Vec<(&GlobalBackend, &CompiledHost)> = spec
        .backends
        .iter()
        .filter_map(|backend| Some((backend, read.service(&backend_service(object, backend)?)?)))
        .collect();
    // One that is written in the GlobalService itself is meant for all.
    let is_written =
        |port: u16| spec.ports.iter().any(|written| written.port == port && written.target_port.is_some());
    let find = |entry: &CompiledHost, port: u16| {
        entry.service.ports.iter().find(|known| known.port == port).map(|known| known.target_port)
    };
    let mut findings = Vec::new();
    for port in entry.service.ports.iter().map(|port| port.port).filter(|port| !is_written(*port)) {
        let first = services.iter().find_map(|(_, entry)| Some((entry, find(entry, port)?)));
        let Some((first, target)) = first else { continue };
        for (backend, other) in &services {
            let (own, theirs) = (other.owner(), first.owner());
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

/// Clusters in `failover.order` that are neither this one nor another that is known. As long as no other is
/// known at all (files alone, or no management plane yet), nothing is said.
fn unknown_clusters(object: &Object, spec: &GlobalServiceSpec, read: &WorldReader<'_>) -> Vec<Finding> {
    if spec.failover.order.is_empty() {
        return Vec::new();
    }
    let mut known: BTreeSet<&str> = read.clusters().map(|cluster| &**cluster).collect();
    known.extend(read.names("Cluster", None).into_iter().map(|cluster| &**cluster));
    if known.is_empty() {
        return Vec::new();
    }
    known.insert(&read.started_as().cluster);
    let known: Vec<&str> = known.into_iter().collect();
    let unknown = spec.failover.order.iter().filter(|cluster| !known.contains(&cluster.as_str()));
    let finding = |cluster: &String| {
        let cause = format!(
            "`spec.failover.order` names cluster `{cluster}`, which is not known, so it has no effect"
        );
        let fix = match suggest::nearest(cluster, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known clusters: {}", known.join(", ")),
        };
        Finding::new(Code::Ignored, &object.at(spec.line), cause, fix)
    };
    unknown.map(finding).collect()
}

/// Services that do not exist, or that it may not name.
fn missing_services(object: &Object, spec: &GlobalServiceSpec, read: &WorldReader<'_>) -> Vec<Finding> {
    // The same document goes to every cluster: a service that is missing here may well be elsewhere.
    let elsewhere = hosts(spec).iter().any(|host| !read.exports(host).is_empty());
    let mut findings = Vec::new();
    for backend in &spec.backends {
        let Some(service) = backend_service(object, backend) else {
            let cause = format!(
                "service {} is in another namespace, which only a GlobalService of leno-system may name",
                backend.service.name
            );
            let fix = "put the GlobalService into the service's namespace";
            findings.push(Finding::new(Code::ReferenceNotFound, &object.at(backend.line), cause, fix));
            continue;
        };
        if elsewhere || read.service(&service).is_some() {
            continue;
        }
        let target = ObjectRef::new("Service", &service.0, &service.1);
        let cause = format!("{target} exists neither here nor in another cluster");
        let (cause, fix) = about_missing(&target, cause, read);
        findings.push(Finding::new(Code::BackendNotFound, &object.at(backend.line), cause, fix));
    }
    findings
}
