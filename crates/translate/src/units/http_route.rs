//! One `HTTPRoute`: a rule resource for each of its rules under each of its parents.

mod filters;
mod rule;

use super::parent::{RouteParents, RouteType};
use super::request_route::CompiledRoute;
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::http_route::HttpRouteSpec;
use api::{Object, Spec};
use model::{Finding, ObjectRef, Subscription};

pub(crate) struct HttpRouteUnit;

impl Unit for HttpRouteUnit {
    type Key = Pair;
    type Output = CompiledRoute;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::HttpRoute(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
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
        route.topics().into_iter().collect()
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
        read.http_route(key).map_or_else(Vec::new, |route| route.findings(&parents(object, spec), read))
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w HttpRouteSpec)> {
    let object = read.own_object(&ObjectRef::new("HTTPRoute", namespace, name))?;
    match &object.spec {
        Spec::HttpRoute(spec) => Some((object, spec)),
        _ => None,
    }
}

fn parents<'a>(object: &'a Object, spec: &'a HttpRouteSpec) -> RouteParents<'a> {
    RouteParents {
        object,
        kind: RouteType::Http,
        parent_refs: &spec.parent_refs,
        hostnames: &spec.hostnames,
        line: spec.line,
    }
}
