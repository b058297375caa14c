//! One `TCPRoute`: a rule resource for each of its rules under each of its parents.

use super::host::find_host;
use super::l4_route::{CompiledL4Route, L4RouteParts};
use super::parent::{self, RouteType};
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::fields::parent_ref::ParentRef;
use api::kinds::tcp_route::TcpRouteSpec;
use api::{Object, Spec};
use model::service::Protocol;
use model::{Code, Finding, ObjectRef, Subscription};

pub(crate) struct TcpRouteUnit;

impl Unit for TcpRouteUnit {
    type Key = Pair;
    type Output = CompiledL4Route;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::TcpRoute(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledL4Route> {
        let (object, spec) = own(key, read)?;
        let parts = L4RouteParts {
            object,
            kind: RouteType::Tcp,
            parent_refs: &spec.parent_refs,
            hostnames: &[],
            rules: &spec.rules,
            line: spec.line,
        };
        Some(CompiledL4Route::new(&parts, read))
    }

    fn topics(_key: &Pair, route: &CompiledL4Route) -> Vec<Topic> {
        route.topics()
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledL4Route>,
        new: Option<&CompiledL4Route>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        CompiledL4Route::touches(old, new)
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let mut findings = read.tcp_route(key).map_or_else(Vec::new, |route| route.findings(read));
        findings.extend(parents_on_http(object, spec, read));
        findings
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w TcpRouteSpec)> {
    let object = read.own_object(&ObjectRef::new("TCPRoute", namespace, name))?;
    match &object.spec {
        Spec::TcpRoute(spec) => Some((object, spec)),
        _ => None,
    }
}

/// Parents of a route where it can never apply: what arrives at an HTTP port is read as requests.
fn parents_on_http(route: &Object, spec: &TcpRouteSpec, read: &WorldReader<'_>) -> Vec<Finding> {
    let on_http = |reference: &&ParentRef| {
        let hosts = match read.object(&parent::target(reference, route)) {
            Some(parent) => parent::hosts(parent, read),
            None => Vec::new(),
        };
        let entry = hosts.first().and_then(|host| find_host(host, read));
        let ports = entry.iter().flat_map(|entry| &entry.service.ports);
        let mut meant =
            ports.filter(|port| reference.port.is_none_or(|number| number == port.port)).peekable();
        meant.peek().is_some() && meant.all(|port| matches!(port.protocol, Protocol::Http1 | Protocol::Http2))
    };
    let finding = |reference: &ParentRef| {
        let parent = parent::target(reference, route);
        let what = reference.port.map_or("each port".to_owned(), |port| format!("port {port}"));
        let cause = format!("{what} of parent {parent} is HTTP, where no TCPRoute has an effect");
        let fix =
            "declare the port as TCP (`appProtocol: tcp`, or a name like `tcp-db`), or write an HTTPRoute";
        Finding::new(Code::Ignored, &route.at(reference.line), cause, fix)
    };
    spec.parent_refs.iter().filter(on_http).map(finding).collect()
}
