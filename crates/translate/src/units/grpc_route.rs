//! One `GRPCRoute`: a rule resource for each of its rules under each of its parents.

mod rule;

use super::host::find_host;
use super::parent::{RouteParents, RouteType};
use super::request_route::CompiledRoute;
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::grpc_route::GrpcRouteSpec;
use api::{Object, Spec};
use model::route::RouteBackend;
use model::service::Protocol;
use model::{Code, Finding, ObjectRef, Subscription};
use std::collections::BTreeSet;

pub(crate) struct GrpcRouteUnit;

impl Unit for GrpcRouteUnit {
    type Key = Pair;
    type Output = CompiledRoute;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::GrpcRoute(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledRoute> {
        let (object, spec) = own(key, read)?;
        let route = parents(object, spec);
        let (rules, findings) = rule::compile(&route, spec, read);
        Some(CompiledRoute::new(&route, &rules, findings, read))
    }

    fn topics(_key: &Pair, route: &CompiledRoute) -> Vec<Topic> {
        let mut topics = route.topics();
        let under = |topic: &Topic| match topic {
            Topic::Under(subscription) => Some(Topic::CallsUnder(subscription.clone())),
            _ => None,
        };
        let of_calls: Vec<Topic> = topics.iter().filter_map(under).collect();
        topics.extend(of_calls);
        topics.into_iter().collect()
    }

    fn touches(
        _key: &Pair,
        old: Option<&CompiledRoute>,
        new: Option<&CompiledRoute>,
        _read: &WorldReader<'_>,
    ) -> Vec<Subscription> {
        CompiledRoute::touches(old, new)
    }

    fn findings(key: &Pair, read: &WorldReader<'_>) -> Vec<Finding> {
        let Some((object, spec)) = own(key, read) else { return Vec::new() };
        let Some(route) = read.grpc_route(key) else { return Vec::new() };
        let mut findings = route.findings(&parents(object, spec), read);
        findings.extend(backends_of_http1(object, route, read));
        findings
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w GrpcRouteSpec)> {
    let object = read.own_object(&ObjectRef::new("GRPCRoute", namespace, name))?;
    match &object.spec {
        Spec::GrpcRoute(spec) => Some((object, spec)),
        _ => None,
    }
}

fn parents<'a>(object: &'a Object, spec: &'a GrpcRouteSpec) -> RouteParents<'a> {
    RouteParents {
        object,
        kind: RouteType::Grpc,
        parent_refs: &spec.parent_refs,
        hostnames: &spec.hostnames,
        line: spec.line,
    }
}

/// Backends that are declared to speak HTTP/1.1, by which no call of gRPC can reach them.
fn backends_of_http1(object: &Object, route: &CompiledRoute, read: &WorldReader<'_>) -> Vec<Finding> {
    let declared = |backend: &RouteBackend| {
        let host = find_host(backend.host.as_ref()?, read)?;
        let port = host.service.ports.iter().find(|port| port.port == backend.port)?;
        (port.protocol == Protocol::Http1).then(|| format!("port {} of {}", port.port, host.service.host))
    };
    let backends = route.rules.iter().flat_map(|rule| {
        rule.backends.iter().filter_map(|backend| Some((rule.origin.line, declared(backend)?)))
    });
    // A rule stands under each of its parents.
    let backends: BTreeSet<(u32, String)> = backends.collect();
    let finding = |(line, port): (u32, String)| {
        let cause = format!("{port} is declared as HTTP/1.1, which carries no gRPC");
        let fix = "declare the port as gRPC (`appProtocol: kubernetes.io/h2c`, or a name like `grpc-api`)";
        Finding::new(Code::ProtocolConflict, &object.at(line), cause, fix)
    };
    backends.into_iter().map(finding).collect()
}
