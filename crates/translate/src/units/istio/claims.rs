//! What one `VirtualService` names: hosts whose calls it wants, and subsets that it sends to. It is made of the object
//! alone, so that what depends on it can be compiled before its rules.

use super::name::{Audience, HostPattern, resolve};
use crate::units::host::{find_host, subset_host};
use crate::units::{Topic, Unit, UnitKey, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::virtual_service::{DestinationSpec, VirtualServiceSpec};
use api::{Object, Spec};
use model::{Code, Finding, Hostname, ObjectRef, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a `VirtualService` names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VirtualClaims {
    /// When it was created: of two that want a host the elder gets it.
    pub(super) created: u64,
    /// Whose calls it is for.
    pub(super) audience: Audience,
    /// Hosts of the mesh; none where it is for gateways alone.
    pub(super) hosts: Vec<HostPattern>,
    /// Subsets that it sends to.
    subsets: Vec<Hostname>,
}

pub(crate) struct VirtualClaimsUnit;

impl Unit for VirtualClaimsUnit {
    type Key = Pair;
    type Output = VirtualClaims;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::VirtualService(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<VirtualClaims> {
        let (object, spec) = own(key, read)?;
        let namespace = &object.meta.namespace;
        let hosts = spec.hosts.iter().filter(|_| spec.is_for_mesh());
        Some(VirtualClaims {
            created: object.meta.created,
            audience: Audience::new(&spec.export_to, namespace),
            hosts: hosts.filter_map(|host| HostPattern::new(host, namespace)).collect(),
            subsets: subsets(object, spec),
        })
    }

    fn topics(_key: &Pair, claims: &VirtualClaims) -> Vec<Topic> {
        let hosts = claims.hosts.iter().cloned().map(Topic::VirtualHost);
        hosts.chain(claims.subsets.iter().cloned().map(Topic::NamingSubset)).collect()
    }

    fn touches(
        _key: &Pair,
        _old: Option<&VirtualClaims>,
        _new: Option<&VirtualClaims>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        Vec::new()
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let (Some((object, spec)), Some(claims)) = (own(key, read), read.virtual_claims(key)) else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        for pattern in claims.hosts.iter().filter(|_| spec.is_for_mesh()) {
            let hosts = pattern.hosts(read);
            if !hosts.iter().any(|host| find_host(host, read).is_some()) {
                findings.push(unknown(object, spec, pattern));
            }
            // A host with a `*` stands back for who names one that it covers.
            let exact = pattern.exact();
            findings.extend(exact.and_then(|host| lost(key, object, spec, &host, claims, read)));
        }
        findings
    }
}

fn unknown(object: &Object, spec: &VirtualServiceSpec, pattern: &HostPattern) -> Finding {
    let (cause, fix) = match pattern.exact() {
        Some(host) => (
            format!("host {host} is no service that is known here, so nothing calls it in the mesh"),
            "create the Service, or write its whole name, NAME.NAMESPACE.svc.cluster.local",
        ),
        None => (
            format!("no service that is known here matches {pattern}, so nothing calls it in the mesh"),
            "correct the name behind the `*`",
        ),
    };
    Finding::new(Code::ParentNotFound, &object.at(spec.line), cause, fix)
}

fn lost(
    key: &Pair,
    object: &Object,
    spec: &VirtualServiceSpec,
    host: &Hostname,
    claims: &VirtualClaims,
    read: &WorldReader<'_>,
) -> Option<Finding> {
    let (namespace, name) = winner(host, &claims.audience, read).filter(|winner| *winner != key)?;
    let winner = ObjectRef::new("VirtualService", namespace, name);
    let cause =
        format!("has no effect on {host} in the mesh: {winner} names it too, and is older or first by name");
    let fix = "merge the two, or let one delegate to the other";
    Some(Finding::new(Code::RouteConflict, &object.at(spec.line), cause, fix))
}

/// The object, for a unit that it makes.
pub(super) fn own<'w>(
    (namespace, name): &Pair,
    read: &WorldReader<'w>,
) -> Option<(&'w Arc<Object>, &'w VirtualServiceSpec)> {
    let object = read.own_object(&ObjectRef::new("VirtualService", namespace, name))?;
    match &object.spec {
        Spec::VirtualService(spec) => Some((object, spec)),
        _ => None,
    }
}

/// Every destination of a `VirtualService`, mirrors too.
fn destinations(spec: &VirtualServiceSpec) -> impl Iterator<Item = &DestinationSpec> {
    let http = spec.http.iter().flat_map(|route| {
        let routes = route.route.iter().map(|one| &one.destination);
        let mirrors = route.mirrors.iter().map(|mirror| &mirror.destination);
        routes.chain(route.mirror.as_deref()).chain(mirrors)
    });
    let tls = spec.tls.iter().flat_map(|route| &route.route);
    let tcp = spec.tcp.iter().flat_map(|route| &route.route);
    http.chain(tls.chain(tcp).map(|one| &one.destination))
}

/// The subsets that a `VirtualService` sends to, as hosts.
pub(super) fn subsets(object: &Object, spec: &VirtualServiceSpec) -> Vec<Hostname> {
    let named =
        destinations(spec).filter_map(|destination| destination_subset(destination, &object.meta.namespace));
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The subset that a destination names, as a host; `None`: it names none.
pub(super) fn destination_subset(destination: &DestinationSpec, namespace: &Arc<str>) -> Option<Hostname> {
    let subset = destination.subset.as_deref().filter(|subset| !subset.is_empty())?;
    subset_host(subset, &resolve(&destination.host, namespace)?)
}

/// The `VirtualService` that has a host of the mesh for the calls of `audience`: of those with the most specific name of
/// it the eldest, then the first by namespace and name.
pub(super) fn winner<'w>(host: &Hostname, audience: &Audience, read: &WorldReader<'w>) -> Option<&'w Pair> {
    let wanting = |pattern: HostPattern| {
        let members = read.members(Topic::VirtualHost(pattern)).into_iter();
        let pairs = members.filter_map(|member| match member {
            UnitKey::VirtualClaims(pair) => Some(pair),
            _ => None,
        });
        let same =
            pairs.filter(|pair| read.virtual_claims(pair).is_some_and(|claims| claims.audience == *audience));
        same.min_by_key(|pair| (read.virtual_claims(pair).map(|claims| claims.created), *pair))
    };
    HostPattern::covering(host).find_map(wanting)
}
