//! One `TLSRoute`: a rule resource for each of its rules under each listener that takes it, by server name.

use super::l4_route::{CompiledL4Route, L4RouteParts};
use super::parent::RouteType;
use super::{Topic, Unit, WorldReader};
use crate::world::inputs::Pair;
use api::kinds::tls_route::TlsRouteSpec;
use api::{Object, Spec};
use model::{Finding, ObjectRef, Subscription};

pub(crate) struct TlsRouteUnit;

impl Unit for TlsRouteUnit {
    type Key = Pair;
    type Output = CompiledL4Route;

    fn keys(object: &Object) -> Vec<Pair> {
        match &object.spec {
            Spec::TlsRoute(_) => vec![(object.meta.namespace.clone(), object.meta.name.clone())],
            _ => Vec::new(),
        }
    }

    fn compile(key: &Pair, read: &WorldReader<'_>) -> Option<CompiledL4Route> {
        let (object, spec) = own(key, read)?;
        let parts = L4RouteParts {
            object,
            kind: RouteType::Tls,
            parent_refs: &spec.parent_refs,
            hostnames: &spec.hostnames,
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
        read.tls_route(key).map_or_else(Vec::new, |route| route.findings(read))
    }
}

fn own<'w>((namespace, name): &Pair, read: &WorldReader<'w>) -> Option<(&'w Object, &'w TlsRouteSpec)> {
    let object = read.own_object(&ObjectRef::new("TLSRoute", namespace, name))?;
    match &object.spec {
        Spec::TlsRoute(spec) => Some((object, spec)),
        _ => None,
    }
}
